-- Reports hosts that are active in an hour of the week in which they never or seldom were.
-- Takes: flow events from a source inside; others pass
-- Emits: the event as it came, to default_analyzer; a finding "rare hour", to default_output, once per host and day
--
-- Hours are those of flow.start as it is written, so in the time zone of the sensor. Of each host it keeps, for WEEKS
-- weeks, in which of the 168 hours it was active. For an hour that begins, k is the number of weeks in which the host was
-- active then or an hour earlier or later. chance is how often the host does such a thing: the share of its active hours
-- of the weeks before that were active in at most k of the other weeks (with one added above and below, as for a
-- conformal p-value). So a host without habits is not reported, whatever it does, and one that works from nine to five,
-- or only for the backup at night, is when it leaves its hours. A chance of 0.02 wants 49 active hours in the past.
-- score is 1 - chance.
-- Look when: the host is a person's and nobody was there, or a server that gets work at a new time; holidays and changes
-- of shift or of a schedule are seen here too, once.
--
-- Keys: df:hour:{ADDRESS}:WEEK, 21 bytes, for WEEKS + 1 weeks; df:hour:told:... a day. One round trip per host and hour.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"start":"2026-11-20T03:00:00.000000+0100"}}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"start":null}}
-- {"event_type":"dns"}
-- Example output:
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"start":"2026-11-20T03:00:00.000000+0100"}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"start":null}}
-- next {"event_type":"dns"}

local state = require 'lib/state'

local WEEKS = 8 -- that are remembered
local LEARN = 3 -- weeks with activity before a host is judged
local SELDOM = 0.15 -- share of these weeks: more is usual
local CHANCE = 0.02 -- of a finding, at most
local QUIET = 86400 -- seconds without another finding about the host
local CACHE = 50000 -- hosts and hours that this worker knows to be noted

local WEEK = 7 * 86400
local DAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

local AGO = {} -- 1 to WEEKS
for i = 1, WEEKS do AGO[i] = i end

local noted = sketch.lru(CACHE)

-- place returns the number of the week, from Monday, and the hour in it, 0 to 167.
local function place(start)
  local date, hour = start:match("^(%d%d%d%d%-%d%d%-%d%d)T(%d%d):")
  local midnight = date and dragonfly.date2epoch(date .. "T00:00:00Z")
  hour = tonumber(hour)
  if not midnight or hour > 23 then return nil end
  local day = midnight / 86400 + 3 -- since Monday, 29 December 1969
  return math.floor(day / 7), day % 7 * 24 + hour
end

-- spread reads the 21 bytes of a week into hours: 1 for active.
local function spread(bitmap)
  local hours = {}
  for i = 0, 20 do
    local byte = bitmap:byte(i + 1) or 0
    for b = 7, 0, -1 do
      hours[i * 8 + b] = byte % 2
      byte = math.floor(byte / 2)
    end
  end
  return hours
end

-- near is 1 if a week was active in an hour or next to it.
local function near(hours, h)
  return (hours[h] == 1 or hours[(h + 1) % 168] == 1 or hours[(h + 167) % 168] == 1) and 1 or 0
end

-- habits returns how many weeks were active near each hour.
local function habits(weeks)
  local active = {}
  for h = 0, 167 do
    local n = 0
    for _, hours in ipairs(weeks) do n = n + near(hours, h) end
    active[h] = n
  end
  return active
end

-- share returns the chance of an hour like one with k active weeks, and how many hours it is drawn from.
local function share(weeks, active, k)
  local all, such = 0, 0
  for _, hours in ipairs(weeks) do
    for h = 0, 167 do
      if hours[h] == 1 then
        all = all + 1
        if active[h] - 1 <= k then such = such + 1 end -- without its own week
      end
    end
  end
  return (such + 1) / (all + 1), all
end

local function report(event, host, hour, k, weeks, chance, hours)
  if not state.once("df:hour:told:" .. host .. ":" .. event.flow.start:sub(1, 10), QUIET) then return end
  state.mark(host, "rare hour")
  local finding = state.finding(event, "rare hour")
  finding.host, finding.time = host, event.flow.start
  finding.hour, finding.weekday = hour % 24, DAYS[math.floor(hour / 24) + 1]
  finding.active_weeks, finding.weeks, finding.active_hours = k, weeks, hours
  finding.score = 1 - chance
  dragonfly.output_event(default_output, finding)
end

local function judge(event, host, hour, past)
  local weeks, k = {}, 0
  for i = 1, #past do
    if past[i] then
      local hours = spread(past[i])
      weeks[#weeks + 1] = hours
      k = k + near(hours, hour)
    end
  end
  if #weeks < LEARN or k > SELDOM * #weeks then return end
  local chance, hours = share(weeks, habits(weeks), k)
  if chance <= CHANCE then report(event, host, hour, k, #weeks, chance, hours) end
end

local function look(event, host, start)
  local id = host .. " " .. start:sub(1, 13)
  if noted:get(id) then return end
  local week, hour = place(start)
  if not week then return end
  local key = "df:hour:{" .. host .. "}:" -- in braces: one slot of a cluster, as MGET wants
  local past = {"MGET"}
  for i = 1, #AGO do past[i + 1] = key .. week - AGO[i] end
  local r = state.run({{"SETBIT", key .. week, hour, 1}, {"EXPIRE", key .. week, (WEEKS + 1) * WEEK}, past})
  if not r then return end
  noted:put(id, true)
  if r[1] == 0 then judge(event, host, hour, r[3]) end
end

function loop(event)
  if event.event_type == "flow" then
    local host, start = state.address(event.src_ip), state.member(event.flow, "start")
    if host and type(start) == "string" and state.inside(host) then look(event, host, start) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
