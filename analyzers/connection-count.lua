-- Counts the distinct peers of each inner host per hour, and reports hosts that reach far more than they used to.
-- Takes: flow events from a source inside; others pass
-- Emits: the event, to default_analyzer, with analytics.peers: count, the distinct destinations of the source in this hour
-- so far; a finding "fan-out", to default_output, once per host and hour
--
-- The count is a HyperLogLog's: nearly exact for the few, 0.8 % off (one standard deviation) for the many. Of each host
-- the counts of the last 168 active hours at most are kept. With LEARN of them, more than FACTOR times the second busiest
-- and at least LEAST are a finding (the second, so that one scan does not hide the next); before, more than LIMIT.
-- score is the count by what was allowed. The hour is that of flow.start, as a scan's flows end long after it.
-- Look when: always, unless the host is a scanner, a resolver or a proxy that is new; a scan, a worm, or file sharing.
--
-- Keys: df:peers:HOUR:ADDRESS, 12 kB at most, two hours; df:peers:past:ADDRESS, a hash of 169 counts, eight days.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"start":"2026-11-20T10:00:00.000000+0000"}}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.2","flow":{"start":"2026-11-20T10:00:01.000000+0000"}}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.2","flow":{"start":"2026-11-20T10:00:02.000000+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.2","dest_ip":"10.0.0.1"}
-- Example output:
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"start":"2026-11-20T10:00:00.000000+0000"},"analytics":{"peers":{"count":1}}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.2",\
--   "flow":{"start":"2026-11-20T10:00:01.000000+0000"},"analytics":{"peers":{"count":2}}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.2",\
--   "flow":{"start":"2026-11-20T10:00:02.000000+0000"},"analytics":{"peers":{"count":2}}}
-- next {"event_type":"flow","src_ip":"192.0.2.2","dest_ip":"10.0.0.1"}

local state = require 'lib/state'

local LIMIT = 200 -- peers in an hour, while little is known of the host
local LEAST = 50 -- peers of a finding, however few the host had
local FACTOR = 3 -- times the second busiest hour
local LEARN = 24 -- active hours
local HOURS = 169 -- that are kept: a week, and this one
local KEEP = 8 * 86400 -- seconds
local CACHE = 20000 -- hosts whose limit this worker knows

local limits = sketch.lru(CACHE) -- {hour, allowed, usual} by host

-- limit returns how many peers a host may have in this hour, and its second busiest, if that is why.
local function limit(host, hour)
  local known = limits:get(host)
  if known and known.hour == hour then return known end
  known = {hour = hour, allowed = LIMIT}
  local reply = redis.command("HGETALL", "df:peers:past:" .. host)
  if not reply then return nil end
  local n, first, second, this = 0, 0, 0, tostring(hour % HOURS)
  for i, value in ipairs(reply) do
    if i % 2 == 0 and reply[i - 1] ~= this then
      local count = tonumber(value) or 0
      n = n + 1
      if count > first then
        second = first
        first = count
      elseif count > second then
        second = count
      end
    end
  end
  if n >= LEARN then known.usual, known.allowed = second, math.max(LEAST, FACTOR * second) end
  limits:put(host, known)
  return known
end

local function report(event, host, hour, count, known)
  if not state.once("df:peers:told:" .. host .. ":" .. hour, 2 * 3600) then return end
  state.mark(host, "fan-out")
  local finding = state.finding(event, "fan-out")
  finding.host, finding.count, finding.allowed, finding.usual = host, count, known.allowed, known.usual
  finding.dest_port, finding.proto, finding.score = event.dest_port, event.proto, count / known.allowed
  dragonfly.output_event(default_output, finding)
end

-- note keeps the count of an hour that went up, and judges it.
local function note(event, host, hour, count)
  local past = "df:peers:past:" .. host
  state.run({{"HSET", past, hour % HOURS, count}, {"EXPIRE", past, KEEP}})
  if count < LEAST then return end
  local known = limit(host, hour)
  if known and not known.told and count > known.allowed then
    known.told = true
    report(event, host, hour, count, known)
  end
end

local function look(event, host, peer)
  local start = state.member(event.flow, "start")
  local time = type(start) == "string" and dragonfly.date2epoch(start) or state.time(event)
  local hour = math.floor(time / 3600)
  local key = "df:peers:" .. hour .. ":" .. host
  local r = state.run({{"PFADD", key, peer}, {"EXPIRE", key, 2 * 3600}, {"PFCOUNT", key}})
  if not r then return end
  state.add(event, "peers", {count = r[3]})
  if r[1] == 1 then note(event, host, hour, r[3]) end
end

function loop(event)
  if event.event_type == "flow" then
    local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
    if src and dest and state.inside(src) then look(event, src, dest) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
