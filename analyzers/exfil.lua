-- Reports hosts inside that send out much more than they use to, or more than any host should.
-- Takes: flow events from inside to outside; others pass
-- Emits: every event to default_analyzer, unchanged; a finding "exfiltration" to default_output, once per source and QUIET
--   seconds, with the bytes of the hour, what is usual, and the destinations that got the most
--
-- It sums up flow.bytes_toserver per source and hour (by the timestamp of the event) of flows that sent out at least as much
-- as came back: downloads do not count, whatever they acknowledge. An hour is too much above
--   ABSOLUTE  whatever is usual
--   FACTOR times the USUAL quantile of the source's hours in the last DAYS days in which it sent anything, but at least FLOOR,
--             once there are LEARN such hours
--   UNKNOWN   before that
-- Destinations in ALLOWED (backups, own clouds) do not count. Which networks are inside says lib/state.lua. Slow
-- exfiltration stays below all that; priority.lua adds this finding to others about the host.
--
-- Keys: df:exfil:SOURCE:DAY, a hash of at most 24 hours, for DAYS days; df:exfil:to:SOURCE:HOUR, a sorted set of at most
-- DESTINATIONS destinations, for two hours; df:exfil:told:SOURCE. Flows below SMALL bytes are not kept.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","flow_id":1,"src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"bytes_toserver":2000000000,"bytes_toclient":10}}
-- {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.2",\
--   "flow":{"bytes_toserver":1000000,"bytes_toclient":90000000}}
-- Example output:
-- findings {"event_type":"finding","finding":"exfiltration","timestamp":"2026-11-20T10:00:00.000000+0000","flow_id":1,\
--   "src_ip":"10.0.0.1","dest_ip":"192.0.2.1","host":"10.0.0.1","bytes_out":2000000000,"limit":1000000000,\
--   "bound":"unknown","usual":0,"hours":0,"destinations":[{"dest_ip":"192.0.2.1","bytes":2000000000}]}
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","flow_id":1,"src_ip":"10.0.0.1",\
--   "dest_ip":"192.0.2.1","flow":{"bytes_toserver":2000000000,"bytes_toclient":10}}
-- next {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","flow_id":2,"src_ip":"10.0.0.1",\
--   "dest_ip":"192.0.2.2","flow":{"bytes_toserver":1000000,"bytes_toclient":90000000}}

local state = require 'lib/state'

local ABSOLUTE = 20e9 -- bytes an hour
local UNKNOWN = 1e9 -- bytes an hour
local FACTOR = 5
local USUAL = 0.95 -- quantile
local FLOOR = 100e6 -- bytes an hour
local LEARN = 24 -- hours
local DAYS = 14 -- at most 100
local SMALL = 1000 -- bytes
local ALLOWED = nil -- destinations, such as {"192.0.2.0/24"}
local QUIET = 6 * 3600 -- seconds
local DESTINATIONS, SHOWN = 100, 5
local SOURCES = 5000 -- whose bound is remembered

local allowed = ALLOWED and net.cidr(ALLOWED)
local bounds = sketch.lru(SOURCES) -- by source: see bound

local function number(x) return type(x) == "number" and x or 0 end

-- sent returns source, destination and bytes of a flow that counts, else nil.
local function sent(event, flow)
  local out = number(flow.bytes_toserver)
  if out < SMALL or out < number(flow.bytes_toclient) or out > 2^53 then return nil end
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  if not src or not dest or not state.inside(src) or net.class(dest) ~= "global" and net.class(dest) ~= "documentation" then return nil end
  if state.inside(dest) or allowed and allowed:contains(dest) then return nil end
  return src, dest, math.floor(out)
end

-- add notes bytes and returns the sum of the source's hour.
local function add(src, dest, bytes, hour)
  local day, to = "df:exfil:" .. src .. ":" .. math.floor(hour / 24), "df:exfil:to:" .. src .. ":" .. hour
  local r = state.run({{"HINCRBY", day, hour, bytes}, {"EXPIRE", day, DAYS * 86400}, {"ZINCRBY", to, bytes, dest},
    {"ZREMRANGEBYRANK", to, 0, -DESTINATIONS - 1}, {"EXPIRE", to, 7200}})
  return r and tonumber(r[1])
end

-- usual returns the quantile of the hours before, and how many they are.
local function usual(src, hour)
  local commands, today = {}, math.floor(hour / 24)
  for i = 1, 100 do
    if i > DAYS then break end
    commands[i] = {"HGETALL", "df:exfil:" .. src .. ":" .. today - i + 1}
  end
  local r = state.run(commands)
  if not r then return nil end
  local hours = {}
  for day = 1, 100 do
    local fields = r[day]
    if not fields then break end
    for i = 1, #fields, 2 do
      if tonumber(fields[i]) < hour then hours[#hours + 1] = tonumber(fields[i + 1]) end
    end
  end
  table.sort(hours)
  return hours[math.max(1, math.ceil(USUAL * #hours))] or 0, #hours
end

-- bound returns what the source may send in an hour: {hour, most, name, usual, hours}; within the hour it is looked up once.
local function bound(src, hour)
  local b = bounds:get(src)
  if b and b.hour == hour then return b end
  local before, n = usual(src, hour)
  if not before then return nil end
  b = {hour = hour, usual = before, hours = n, most = UNKNOWN, name = "unknown"}
  if n >= LEARN then b.most, b.name = math.max(FACTOR * before, FLOOR), "baseline" end
  if b.most > ABSOLUTE then b.most, b.name = ABSOLUTE, "absolute" end
  bounds:put(src, b)
  return b
end

local function destinations(src, hour)
  local r = state.run({{"ZREVRANGE", "df:exfil:to:" .. src .. ":" .. hour, 0, SHOWN - 1, "WITHSCORES"}})
  local found, list = r and r[1] or {}, {}
  for i = 1, #found, 2 do
    list[#list + 1] = {dest_ip = found[i], bytes = tonumber(found[i + 1])}
  end
  return list
end

local function judge(event, src, sum, hour)
  local b = bound(src, hour)
  local told = "df:exfil:told:" .. src .. ":" .. math.floor(hour * 3600 / QUIET)
  if not b or sum < b.most or not state.once(told, QUIET) then return end
  state.mark(src, "exfiltration")
  local finding = state.finding(event, "exfiltration")
  finding.host, finding.bytes_out, finding.limit, finding.bound = src, sum, math.floor(b.most), b.name
  finding.usual, finding.hours, finding.destinations = b.usual, b.hours, destinations(src, hour)
  dragonfly.output_event(default_output, finding)
end

function setup()
end

function loop(event)
  local flow = event.event_type == "flow" and event.flow
  if type(flow) == "table" then
    local src, dest, bytes = sent(event, flow)
    if src then
      local hour = math.floor(state.time(event) / 3600)
      local sum = add(src, dest, bytes, hour)
      if sum and sum >= FLOOR then judge(event, src, sum, hour) end
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
