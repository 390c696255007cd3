-- Reports flows whose size is far from what is usual for their service.
-- Takes: flow events; others pass
-- Emits: the event as it came, to default_analyzer; a finding, to default_output
--
-- Sizes spread over many powers of ten, so it works on their logarithm: of log10(bytes in both directions + 1) it keeps
-- the median and the MAD (median distance to the median) per service, and z = 0.6745 * (size - median) / MAD is how many
-- standard deviations a flow is away, were the sizes normal. Half of the flows may be strange before that moves. Old
-- flows count less and less. With several workers use shard_by = "dest_port". Bounded: SERVICES services of some kB.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":100}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":110}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":120}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":130}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":140}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":150}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":160}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":170}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":180}}
-- {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":190}}
-- {"event_type":"flow","flow_id":7,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1","proto":"UDP",\
--   "dest_port":53,"flow":{"bytes_toserver":90000,"bytes_toclient":9000000}}
-- {"event_type":"dns"}
-- Example output:
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":100}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":110}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":120}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":130}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":140}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":150}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":160}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":170}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":180}}
-- next {"event_type":"flow","proto":"UDP","dest_port":53,"flow":{"bytes_toserver":70,"bytes_toclient":190}}
-- findings {"event_type":"finding","finding":"large flow","service":"UDP/53","bytes":9090000,\
--   "usual_bytes":"*","score":"*","flows":10,"flow_id":7,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1"}
-- next {"event_type":"flow","flow_id":7,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1","proto":"UDP",\
--   "dest_port":53,"flow":{"bytes_toserver":90000,"bytes_toclient":9000000}}
-- next {"event_type":"dns"}

local LEARN = 10 -- flows of a service before it is judged; the fewer there are, the wider is what counts as usual
local SCORE = 6 -- |z| of a finding
local LEAST_MAD = 0.1 -- of log10: a finding is at least 7.7 times larger or smaller than usual
local MEMORY = 5000 -- flows; then all counts are halved
local SERVICES = 1000 -- that are remembered

local services = sketch.lru(SERVICES) -- {sizes, n, due, median, mad} by name

-- service returns the application protocol, or "TCP/443" where Suricata knows none.
local function service(event)
  local app = event.app_proto
  if type(app) == "string" and app ~= "failed" and app ~= "unknown" then return app end
  local port, proto = event.dest_port, event.proto
  if type(port) ~= "number" or type(proto) ~= "string" then return nil end
  return proto .. "/" .. port
end

local function known(name)
  local s = services:get(name)
  if not s then
    s = {sizes = sketch.quantiles(0.002), n = 0, due = LEARN, median = 0, mad = 0}
    services:put(name, s)
  end
  return s
end

-- learn adds a size. Median and MAD are computed anew when a tenth more flows are known, at least every 100.
local function learn(s, size)
  s.sizes:add(size)
  s.n = s.n + 1
  if s.n < s.due then return end
  s.due = s.n + math.max(1, math.min(100, math.floor(s.n / 10)))
  if s.sizes:count() > MEMORY then s.sizes:decay(0.5) end
  s.median = s.sizes:median()
  s.mad = math.max(s.sizes:mad(), LEAST_MAD) * (1 + 10 / s.n)
end

local function judge(event, s, name, bytes, size)
  local z = 0.6745 * (size - s.median) / s.mad
  if math.abs(z) < SCORE then return end
  dragonfly.output_event(default_output, {event_type = "finding", finding = z > 0 and "large flow" or "small flow", timestamp = event.timestamp,
    service = name, bytes = bytes, usual_bytes = math.floor(10 ^ s.median - 0.5), score = math.floor(z * 10 + 0.5) / 10, flows = s.n,
    flow_id = event.flow_id, src_ip = event.src_ip, dest_ip = event.dest_ip})
end

local function look(event, flow)
  local out, back = flow.bytes_toserver, flow.bytes_toclient
  local name = service(event)
  if not name or type(out) ~= "number" or type(back) ~= "number" then return end
  local size = math.log10(out + back + 1)
  local s = known(name)
  if s.n >= LEARN then judge(event, s, name, out + back, size) end
  learn(s, size)
end

function loop(event)
  if event.event_type == "flow" then
    local flow = event.flow
    if type(flow) == "table" then look(event, flow) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
