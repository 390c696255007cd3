-- Makes events smaller before they go on: drops packets, payloads and Suricata's statistics, and names the sensor.
-- Takes: any EVE event
-- Emits: the event without payload, payload_printable, packet and stream, with sensor, to default_analyzer
-- Example config:
-- default_analyzer = "write"
-- Example input:
-- {"event_type":"alert","payload":"AAEC","packet":"RQAA","alert":{"signature_id":1}}
-- {"event_type":"stats","stats":{}}
-- {"event_type":"dns","host":"probe-2"}
-- Example output:
-- write {"event_type":"alert","alert":{"signature_id":1},"sensor":"*"}
-- write {"event_type":"dns","host":"probe-2","sensor":"probe-2"}

local SENSOR

function setup()
  SENSOR = os.getenv("HOSTNAME") or "sensor"
end

function loop(event)
  if event.event_type == "stats" then return end
  event.payload = nil
  event.payload_printable = nil
  event.packet = nil
  event.stream = nil
  event.sensor = event.host or SENSOR
  dragonfly.analyze_event(default_analyzer, event)
end
