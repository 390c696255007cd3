-- Reports clients that call the same service at even intervals, as implants do.
-- Takes: flow, of TCP and UDP. Other types pass.
-- Emits: every event to default_analyzer, unchanged; a notice "beacon" to default_output, once per client and
--   service in QUIET seconds.
--
-- Of the starts of flows from one src_ip to one dest_ip and port it keeps the last KEEP intervals. Their median is the period.
-- A beacon are COUNT intervals whose mean distance from it is below JITTER of it; or more of which 80 % are that near, so that
-- calls that failed or a host that slept do not matter; or MANY of which 65 % are within LOOSE of it, as of implants that wait
-- up to half a period less. Of random calls 1 in 10,000 pairs gets there by chance, of people's some. Flows that start
-- less than SHORTEST seconds after another are the same call, and so are the pieces into which active_timeout cuts a connection:
-- flows from the same port, without SYN, that start within GAP seconds of the end of the one before. The notice has the interval and the median deviation in seconds,
-- the share of intervals that were near, and the median of the bytes sent: equal ones are the more suspicious.
-- Software that asks for updates or the time is one, too: list its ports in IGNORE, its networks in ALLOWED. With several
-- workers use shard_by = {"src_ip", "dest_ip"}. Bounded: the PAIRS pairs seen last are known, with KEEP numbers each.
--
-- Example config:
-- default_analyzer = "write"
-- default_output = "notices"
-- Example input:
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:00:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:01:00.5+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:02:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:03:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:04:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:05:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:06:00.0+0000"}}
-- Example output:
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:00:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:01:00.5+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:02:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:03:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:04:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:05:00.0+0000"}}
-- notices {"event_type":"notice","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","notice":{"name":"beacon","message":"every 60.0 s to 203.0.113.9:443/TCP",\
--   "interval":60,"deviation":0,"near":1,"flows":7}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:06:00.0+0000"}}

local eve = require 'lib/eve'

local COUNT, MANY = 6, 16 -- intervals
local JITTER, LOOSE = 0.1, 0.25 -- shares of the period
local MOST, SOME = 0.8, 0.65 -- shares of the intervals, for JITTER and LOOSE
local KEEP = 24 -- intervals, at least MANY
local SHORTEST = 5 -- seconds
local GAP = 600 -- seconds: the idle timeout of flows
local QUIET = 86400 -- seconds
local IGNORE = { [53] = true, [67] = true, [123] = true, [137] = true, [138] = true } -- dest_port: DNS, DHCP, NTP, NetBIOS
local ALLOWED = nil -- destinations, such as {"192.0.2.0/24"}
local PAIRS = 5000

local allowed = ALLOWED and net.cidr(ALLOWED)
local pairs_of = sketch.lru(PAIRS) -- by client and service: see begin

-- begin is the state of a pair: last and told are times in seconds, gaps and sizes rings of the last KEEP, n counts them all;
-- port and ends are the source port and the end of the last flow.
local function begin(now)
  return {last = now, n = 0, gaps = {}, sizes = {}}
end

-- goes_on tells whether a flow is another piece of the last one, and makes it the last.
local function goes_on(event, flow, p, now)
  local port, tcp, ends = event.src_port, event.tcp, flow["end"]
  local same = port and port == p.port and p.ends and now >= p.ends - 1 and now - p.ends <= GAP
    and not (type(tcp) == "table" and tcp.syn == true)
  p.port, p.ends = port, type(ends) == "string" and dragonfly.date2epoch(ends) or nil
  return same
end

local function median(list)
  table.sort(list)
  local half = math.floor(#list / 2)
  if #list % 2 == 1 then return list[half + 1] end
  return (list[half] + list[half + 1]) / 2
end

-- spread returns the median of a list, the median and the mean of the distances to it.
local function spread(list)
  local sorted, distances, sum = {}, {}, 0
  for i = 1, #list do sorted[i] = list[i] end
  local middle = median(sorted)
  for i = 1, #list do
    distances[i] = math.abs(list[i] - middle)
    sum = sum + distances[i]
  end
  return middle, median(distances), sum / #list
end

-- near returns the share of a list that lies within a distance of x.
local function near(list, x, distance)
  local n = 0
  for i = 1, #list do
    if math.abs(list[i] - x) <= distance then n = n + 1 end
  end
  return n / #list
end

local function round(x) return math.floor(x * 1000 + 0.5) / 1000 end

local function report(event, p, period, deviation, share)
  local notice = eve.notice(event, "beacon", ("every %.1f s to %s"):format(period, eve.service(event)))
  local found = notice.notice
  found.interval, found.deviation, found.near, found.flows = round(period), round(deviation), round(share), p.n + 1
  if #p.sizes > 0 then found.bytes = spread(p.sizes) end
  dragonfly.output_event(default_output, notice)
end

-- judge looks at the intervals when there are enough, and then at every fourth.
local function judge(event, p, now)
  if p.n < COUNT or p.n > COUNT and p.n % 4 > 0 or p.told and now - p.told < QUIET then return end
  local period, deviation, mean = spread(p.gaps)
  local share, enough = near(p.gaps, period, JITTER * period), MOST
  if p.n >= MANY and share < MOST then share, enough = near(p.gaps, period, LOOSE * period), SOME end
  if p.n > COUNT and share >= enough or p.n == COUNT and mean < JITTER * period then
    p.told = now
    report(event, p, period, deviation, share)
  end
end

local function look(event, flow)
  local start = flow.start
  local now, class = type(start) == "string" and dragonfly.date2epoch(start), net.class(event.dest_ip)
  if not now or class == "multicast" or class == "broadcast" or allowed and allowed:contains(event.dest_ip) then
    return
  end
  local key = eve.pair(event)
  local p = pairs_of:get(key)
  if not p then
    p = begin(now)
    goes_on(event, flow, p, now)
    pairs_of:put(key, p)
    return
  end
  if goes_on(event, flow, p, now) then return end
  local interval = now - p.last
  if interval < SHORTEST then -- the same call, or one that ended late
    return
  end
  local place = p.n % KEEP + 1
  p.last, p.n, p.gaps[place] = now, p.n + 1, interval
  if type(flow.bytes_toserver) == "number" then
    p.sizes[#p.sizes < KEEP and #p.sizes + 1 or place] = flow.bytes_toserver
  end
  judge(event, p, now)
end

function loop(event)
  if event.event_type == "flow" then
    local flow, port = event.flow, event.dest_port
    if type(flow) == "table" and port and not IGNORE[port] then
      look(event, flow)
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
