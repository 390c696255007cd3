-- Reports flows that lasted long or sent much out: tunnels, beacons that keep a connection, exfiltration.
-- Takes: flow events; others pass
-- Emits: the event as it came, to default_analyzer; a finding, to default_output
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","flow_id":1,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"age":7200,\
--   "bytes_toserver":10,"bytes_toclient":10}}
-- {"event_type":"flow","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"age":5,\
--   "bytes_toserver":2000000000,"bytes_toclient":10}}
-- {"event_type":"flow","flow_id":3,"flow":{"age":5,"bytes_toserver":10,"bytes_toclient":10}}
-- Example output:
-- findings {"event_type":"finding","finding":"long flow","flow_id":1,"src_ip":"10.0.0.1",\
--   "dest_ip":"192.0.2.1","seconds":7200,"bytes_out":10,"bytes_in":10}
-- next {"event_type":"flow","flow_id":1,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"age":7200,"bytes_toserver":10,"bytes_toclient":10}}
-- findings {"event_type":"finding","finding":"much sent out","flow_id":2,"src_ip":"10.0.0.1",\
--   "dest_ip":"192.0.2.1","seconds":5,"bytes_out":2000000000,"bytes_in":10}
-- next {"event_type":"flow","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"age":5,"bytes_toserver":2000000000,"bytes_toclient":10}}
-- next {"event_type":"flow","flow_id":3,"flow":{"age":5,"bytes_toserver":10,"bytes_toclient":10}}

local LONG = 3600 -- seconds
local MUCH = 1e9 -- bytes to the server, more than ten times what came back

local function judge(flow)
  local out, back = flow.bytes_toserver or 0, flow.bytes_toclient or 0
  if out > MUCH and out > 10 * back then return "much sent out" end
  if (flow.age or 0) >= LONG then return "long flow" end
end

function setup()
end

function loop(event)
  local flow = event.event_type == "flow" and event.flow
  if flow then
    local finding = judge(flow)
    if finding then
      dragonfly.output_event(default_output, {event_type = "finding", finding = finding, flow_id = event.flow_id, src_ip = event.src_ip,
        dest_ip = event.dest_ip, seconds = flow.age, bytes_out = flow.bytes_toserver, bytes_in = flow.bytes_toclient})
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
