-- Keeps what people need not or must not see out of the logs, and writes the sensor's name into each event.
-- Takes: every EVE event.
-- Emits: the event to default_analyzer without packet bytes and secrets, with "sensor"; nothing for the types in NOISE.
--
-- The sensor's name is the environment variable DRAGONFLY_SENSOR, else the event keeps its `host`, else "sensor".
-- An event that has a "sensor" already keeps it.
--
-- Example config:
-- default_analyzer = "count"
-- Example input:
-- {"event_type":"stats","stats":{"uptime":1}}
-- {"event_type":"alert","host":"s1","payload":"AAA=","payload_printable":".","packet":"AAA=",\
--   "alert":{"signature_id":1}}
-- {"event_type":"ftp","sensor":"s2","ftp":{"command":"PASS","command_data":"secret"}}
-- {"event_type":"http","host":"s1","http":{"hostname":"a.test",\
--   "request_headers":[{"name":"Cookie","value":"x"}]}}
-- Example output:
-- count {"event_type":"alert","host":"s1","alert":{"signature_id":1},"sensor":"*"}
-- count {"event_type":"ftp","sensor":"s2","ftp":{"command":"PASS"}}
-- count {"event_type":"http","host":"s1","http":{"hostname":"a.test"},"sensor":"*"}

local NOISE = { stats = true, frame = true, engine = true } -- event types that are dropped

local SENSOR -- nil: no name was given

function setup()
  SENSOR = os.getenv("DRAGONFLY_SENSOR")
end

local function hide_payload(event)
  event.payload, event.payload_printable, event.packet, event.packet_info = nil, nil, nil, nil
end

local function hide_secrets(event)
  local http = event.http
  if type(http) == "table" then
    http.request_headers, http.response_headers = nil, nil -- cookies and passwords
    http.http_request_body, http.http_response_body = nil, nil
    http.http_request_body_printable, http.http_response_body_printable = nil, nil
  end
  local ftp = event.ftp
  if type(ftp) == "table" and ftp.command == "PASS" then
    ftp.command_data = nil
  end
end

function loop(event)
  if NOISE[event.event_type] then
    return
  end
  hide_payload(event)
  hide_secrets(event)
  if not event.sensor then
    event.sensor = SENSOR or event.host or "sensor"
  end
  dragonfly.analyze_event(default_analyzer, event)
end
