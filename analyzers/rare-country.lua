-- Says how rare the country of the other end is for this network, and reports hosts that talk to a rare one.
-- Takes: flow and alert events with one end inside; others pass. The country is analytics.ip_geo.location.country_code,
-- else that of the outer address in FILE, if there is one
-- Emits: the event, to default_analyzer, with analytics.country: country_code, direction ("out" if the inner end is the
-- source), count and total of flows of that direction in the window, score, rare; a finding "rare country", to
-- default_output, once per inner host, country and day
--
-- score is 1 - count / total: 0.999 means that one flow of a thousand goes there. Few flows prove little, so rare asks
-- for more: before this flow, the upper end of the 95 % interval (Wilson) of the country's share is below RARE. A country
-- never seen is rare after 3.84 * (1 / RARE - 1) flows, 764 for 0.5 %, and LEARN seconds after the first of all. Only flows
-- count, each once; those from outside only when answered, else scans would be the statistics. The window slides over
-- PERIOD seconds: the period before counts by the part of it that is still in.
-- Look when: the direction is "out" and the host has no business there; what a user visits on travel is seen here too.
--
-- Keys: df:country:PERIOD, a hash of at most 1400 fields, for two periods; df:country:since; df:country:told:... a day.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "analytics":{"ip_geo":{"location":{"country_code":"CH"}}}}
-- {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.9",\
--   "analytics":{"ip_geo":{"location":{"country_code":"US"}}}}
-- {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"192.0.2.9","dest_ip":"10.0.0.1",\
--   "analytics":{"ip_geo":{"location":{"country_code":"US"}}}}
-- {"event_type":"stats"}
-- Example output:
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "analytics":{"ip_geo":{"location":{"country_code":"CH"}},\
--   "country":{"country_code":"CH","direction":"out","count":1,"total":1,"score":0,"rare":false}}}
-- next {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.9",\
--   "analytics":{"ip_geo":{"location":{"country_code":"US"}},\
--   "country":{"country_code":"US","direction":"out","count":1,"total":2,"score":0.5,"rare":false}}}
-- next {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"192.0.2.9","dest_ip":"10.0.0.1",\
--   "analytics":{"ip_geo":{"location":{"country_code":"US"}},\
--   "country":{"country_code":"US","direction":"in","count":0,"total":0,"score":1,"rare":false}}}
-- next {"event_type":"stats"}

local state = require 'lib/state'

local FILE = "analyzers/countries.csv" -- IP2Location LITE DB1, ip2asn or alike: ranges, and two capital letters in a column
local PERIOD = 30 * 86400 -- seconds of the window
local LEARN = 86400 -- seconds after the first flow without findings
local RARE = 0.005 -- share of flows
local QUIET = 86400 -- seconds without the same finding

local countries -- set of networks, or nil
local since -- time of the first flow that was ever counted

local function number(x) return tonumber(x) or 0 end

local function code(x)
  return type(x) == "string" and x:find("^%u%u$") and x
end

local function country(event, peer)
  local geo = state.member(event.analytics, "ip_geo")
  local known = code(state.member(state.member(geo, "location"), "country_code"))
  if known or not countries then return known end
  local a, b, c = countries:columns(peer)
  return code(a) or code(b) or code(c)
end

-- ends returns the inner and the outer address and the direction, or nil if not exactly one end is inside.
local function ends(event)
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  if not src or not dest then return nil end
  local src_inside, dest_inside = state.inside(src), state.inside(dest)
  if src_inside and not dest_inside then return src, dest, "out" end
  if dest_inside and not src_inside then return dest, src, "in" end
end

-- counts tells whether a flow is part of the statistics.
local function counts(event, direction)
  if event.event_type ~= "flow" then return false end
  local packets = state.member(event.flow, "pkts_toclient")
  return direction == "out" or type(packets) == "number" and packets > 0
end

-- learned tells whether the learning phase is over.
local function learned(now)
  if not since then
    local r = state.run({{"SET", "df:country:since", math.floor(now), "NX"}, {"GET", "df:country:since"}})
    since = r and tonumber(r[2])
  end
  return since and now - since >= LEARN
end

-- look returns count and total of the window with this flow, and 1 if it counts, else 0.
local function look(event, now, field, total, direction)
  local n, part = state.period(now, PERIOD)
  local key, before = "df:country:" .. n, {"HMGET", "df:country:" .. n - 1, field, total}
  local one = counts(event, direction) and 1 or 0
  local r
  if one == 1 then
    r = state.run({before, {"HINCRBY", key, field, 1}, {"HINCRBY", key, total, 1}, {"EXPIRE", key, 2 * PERIOD}})
  else
    r = state.run({before, {"HMGET", key, field, total}})
  end
  if not r then return nil end
  local old, new = r[1], one == 1 and {r[2], r[3]} or r[2]
  return number(new[1]) + part * number(old[1]), number(new[2]) + part * number(old[2]), one
end

local function report(event, inner, peer, found)
  if not state.once("df:country:told:" .. inner .. ":" .. found.country_code .. ":" .. found.direction .. ":" .. state.day(event), QUIET) then return end
  state.mark(inner, "rare country")
  local finding = state.finding(event, "rare country")
  finding.host, finding.peer, finding.country_code, finding.direction = inner, peer, found.country_code, found.direction
  finding.count, finding.total, finding.score = found.count, found.total, found.score
  dragonfly.output_event(default_output, finding)
end

local function judge(event)
  local inner, peer, direction = ends(event)
  local where = inner and country(event, peer)
  if not where then return end
  local now = state.time(event)
  local ripe = learned(now)
  local count, total, one = look(event, now, direction .. ":" .. where, direction .. ":total", direction)
  if not count then return end
  local rare = ripe and state.upper(count - one, total - one) < RARE or false
  local found = {country_code = where, direction = direction, count = math.floor(count + 0.5), total = math.floor(total + 0.5),
    score = total > 0 and 1 - count / total or 1, rare = rare}
  state.add(event, "country", found)
  if rare and one == 1 then report(event, inner, peer, found) end
end

function setup()
  local message
  countries, message = net.load_cidr(FILE)
  if countries and message then
    dragonfly.log_event({analyzer = "rare-country", file = FILE, message = message})
  end
end

function loop(event)
  local kind = event.event_type
  if kind == "flow" or kind == "alert" then judge(event) end
  dragonfly.analyze_event(default_analyzer, event)
end
