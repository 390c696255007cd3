-- Reports flows that lasted long or sent much out: tunnels, beacons that keep a connection, exfiltration.
-- Takes: flow events; others pass
-- Emits: the event as it came, to default_analyzer; a finding, to default_output
--
-- A connection that active_timeout cuts into pieces is one: a flow of the same ends and ports that starts before the idle
-- timeout (GAP_TCP, GAP) after the end of the last one goes on with its time and bytes. Then the finding has the number of flows, and it comes again
-- each time the time or the bytes have doubled. Destinations in ALLOWED (VPN, backups) are none. With several workers use
-- shard_by = {"src_ip", "dest_ip"}. Bounded: the CONNECTIONS connections seen last that were cut.
--
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
local GAP_TCP, GAP = 600, 300 -- seconds: the idle timeouts of flows
local ALLOWED = nil -- destinations, such as {"192.0.2.0/24"}
local CONNECTIONS = 20000

local eve = require 'lib/eve'

local allowed = ALLOWED and net.cidr(ALLOWED)
local open = sketch.lru(CONNECTIONS) -- {starts, ends, age, out, back, flows, next_age, next_out} by connection; times in seconds

local function number(x) return type(x) == "number" and x or 0 end

local function epoch(x) return type(x) == "string" and dragonfly.date2epoch(x) or nil end

-- whole returns the connection that a flow is the last piece of, which for most is the flow itself.
local function whole(event, flow)
  local c = {age = number(flow.age), out = number(flow.bytes_toserver), back = number(flow.bytes_toclient), flows = 1, next_age = LONG, next_out = MUCH}
  local starts, ends = epoch(flow.start), epoch(flow["end"])
  if not starts or not ends or type(event.src_port) ~= "number" then return c end
  local key = event.src_port .. " " .. eve.pair(event)
  local before = open:get(key)
  local gap = event.proto == "TCP" and GAP_TCP or GAP
  if before and starts - before.ends <= gap and starts >= before.ends - 1 then
    starts = before.starts
    c.age, c.out, c.back, c.flows = math.floor(ends - starts), c.out + before.out, c.back + before.back, before.flows + 1
    c.next_age, c.next_out = before.next_age, before.next_out
  end
  c.starts, c.ends = starts, ends
  open:put(key, c)
  return c
end

local function judge(c)
  if c.out > c.next_out and c.out > 10 * c.back then
    c.next_out, c.next_age = 2 * c.out, math.max(c.next_age, 2 * c.age)
    return "much sent out"
  end
  if c.age >= c.next_age then
    c.next_age = 2 * c.age
    return "long flow"
  end
end

function setup()
end

function loop(event)
  local flow = event.event_type == "flow" and event.flow
  if type(flow) == "table" and not (allowed and allowed:contains(event.dest_ip)) then
    local c = whole(event, flow)
    local finding = judge(c)
    if finding then
      dragonfly.output_event(default_output, {timestamp = event.timestamp, event_type = "finding", finding = finding, flow_id = event.flow_id,
        community_id = event.community_id, src_ip = event.src_ip, dest_ip = event.dest_ip, dest_port = event.dest_port, proto = event.proto,
        app_proto = event.app_proto, seconds = c.age, bytes_out = c.out, bytes_in = c.back, flows = c.flows > 1 and c.flows or nil})
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
