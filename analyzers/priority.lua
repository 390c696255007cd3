-- Gives each alert one priority, from what the sensor and the other analyzers say, with the reasons.
-- Takes: alert events; others pass
-- Emits: the event, to default_analyzer, with analytics.priority: score 0 to 100, level 1 (look now) to 5, and reasons; a
-- finding "urgent alert", to default_output, for level 1, once per signature, pair of addresses and day
--
-- The score is a sum of points, cut to 0..100; each reason names its points, largest first, so an analyst can see and
-- disagree. It is an order of work, no probability: change POINTS to what your network needs. Levels begin at 80, 60,
-- 40 and 20 points. Severity (1 is the highest) is where it starts; what was found out about the two hosts by other
-- analyzers within a day (rare hour, rare country, fan-out, ...) counts whichever event it was found on. An alert of
-- high severity alone is level 3; that, going out, on a listed address or with two findings is level 1.
-- Put it behind the analyzers whose fields it reads: rare-signature, rare-country, bytes-rank, invalid-cert, dns-cache.
--
-- Keys: reads df:host:ADDRESS; df:priority:told:... a day.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"alert","timestamp":"2026-11-20T10:00:00.000000+0000","src_ip":"10.0.9.1","dest_ip":"192.0.2.200",\
--   "alert":{"signature_id":2000001,"severity":1,"signature":"A","category":"A Network Trojan was detected"},\
--   "analytics":{"signature":{"rare":true,"new_for_host":true},"dga":{"score":0.97}}}
-- {"event_type":"alert","src_ip":"8.8.8.8","dest_ip":"10.0.9.1",\
--   "alert":{"signature_id":2200074,"severity":3,"category":"Generic Protocol Command Decode"}}
-- {"event_type":"alert","alert":null}
-- Example output:
-- findings {"event_type":"finding","finding":"urgent alert","timestamp":"2026-11-20T10:00:00.000000+0000",\
--   "src_ip":"10.0.9.1","dest_ip":"192.0.2.200","signature_id":2000001,"signature":"A","score":100,\
--   "reasons":["severity 1: 45","address on list ip-blocklist: 25","generated name (DGA): 20",\
--   "rare signature, new for the host: 15","goes out: 10"]}
-- next {"event_type":"alert","timestamp":"2026-11-20T10:00:00.000000+0000","src_ip":"10.0.9.1",\
--   "dest_ip":"192.0.2.200","alert":{"signature_id":2000001,"severity":1,"signature":"A",\
--   "category":"A Network Trojan was detected"},\
--   "analytics":{"signature":{"rare":true,"new_for_host":true},"dga":{"score":0.97},"priority":{"score":100,"level":1,\
--   "reasons":["severity 1: 45","address on list ip-blocklist: 25","generated name (DGA): 20",\
--   "rare signature, new for the host: 15","goes out: 10"]}}}
-- next {"event_type":"alert","src_ip":"8.8.8.8","dest_ip":"10.0.9.1",\
--   "alert":{"signature_id":2200074,"severity":3,"category":"Generic Protocol Command Decode"},\
--   "analytics":{"priority":{"score":0,"level":5,"reasons":["category of noise: -20","severity 3: 15"]}}}
-- next {"event_type":"alert","alert":null}

local state = require 'lib/state'

local POINTS = {
  severity = {45, 30, 15, 5}, -- by alert.severity; what has none counts as 3
  out = 10, lateral = 10, foreign = -10, -- from inside to outside; both inside; neither
  blocked = -15, -- the sensor stopped it
  noise = -20,
  listed = 25, dga = 20, rare_signature = 15, new_signature = 5, rare_country = 10, bytes = 5, certificate = 5,
  -- by metadata that rule writers give
  metadata = {critical = 15, major = 5, minor = -5, informational = -15},
  found = 10, -- each finding about a host, at most FOUND of them
}
local FOUND = 3
local NOISE = {["Generic Protocol Command Decode"] = true, ["Not Suspicious Traffic"] = true}
local DGA = 0.9 -- score from which a name counts as generated
local BYTES = 99 -- percentile of bytes from which a source counts as large
local LISTS = {{name = "ip-blocklist", file = "analyzers/ip-blocklist.txt"}} -- as in ip-blocklist.lua; may be missing
local EVERY = 10 -- seconds between looks at the files
local QUIET = 86400 -- seconds without the same finding

local next_look = 0 -- os.time()

local function member(t, key) return state.member(t, key) end

local function refresh()
  local now = os.time()
  if now < next_look then return end
  next_look = now + EVERY
  for _, list in ipairs(LISTS) do
    local set = net.load_cidr(list.file)
    if set then list.set = set end
  end
end

-- note adds a reason to a list of {text, points}.
local function note(reasons, text, points)
  reasons[#reasons + 1] = {text = text .. ": " .. points, points = points}
end

local function of_alert(reasons, alert)
  local severity = alert.severity
  if type(severity) ~= "number" or severity < 1 then severity = 3 end
  severity = math.floor(math.min(severity, 255))
  note(reasons, "severity " .. severity, POINTS.severity[severity] or POINTS.severity[4])
  if type(alert.category) == "string" and NOISE[alert.category] then note(reasons, "category of noise", POINTS.noise) end
  if alert.action == "blocked" then note(reasons, "blocked", POINTS.blocked) end
  local given = member(member(alert.metadata, "signature_severity"), 1)
  local points = type(given) == "string" and POINTS.metadata[given:lower()]
  if points then note(reasons, "the rule says " .. given, points) end
end

local function of_ends(reasons, src, dest)
  local src_inside, dest_inside = src and state.inside(src), dest and state.inside(dest)
  if src_inside and src == dest then return end
  if src_inside and dest_inside then
    note(reasons, "both ends are inside", POINTS.lateral)
  elseif src_inside then
    note(reasons, "goes out", POINTS.out)
  elseif not dest_inside then
    note(reasons, "neither end is inside", POINTS.foreign)
  end
end

local function of_lists(reasons, event, src, dest)
  for _, list in ipairs(LISTS) do
    if list.set and (list.set:contains(dest) or list.set:contains(src)) then
      note(reasons, "address on list " .. list.name, POINTS.listed)
      return
    end
  end
  if type(member(event.analytics, "ip_rep")) == "table" then note(reasons, "address has a bad name (ip_rep)", POINTS.listed) end
end

local function of_analytics(reasons, a)
  local dga, signature, country, rank = member(a, "dga"), member(a, "signature"), member(a, "country"), member(a, "bytes_rank")
  local score = tonumber(member(dga, "score"))
  if score and score >= DGA then note(reasons, "generated name (DGA)", POINTS.dga) end
  if member(signature, "rare") == true then
    note(reasons, "rare signature, new for the host", POINTS.rare_signature)
  elseif member(signature, "new_for_host") == true then
    note(reasons, "signature is new for the host", POINTS.new_signature)
  end
  if member(country, "rare") == true then
    note(reasons, "rare country " .. tostring(country.country_code), POINTS.rare_country)
  end
  local percentile = member(rank, "src_percentile")
  if type(percentile) == "number" and percentile >= BYTES then note(reasons, "source is among the largest", POINTS.bytes) end
  if type(member(a, "invalid_cert")) == "table" then note(reasons, "invalid certificate", POINTS.certificate) end
end

-- told are the findings that of_analytics knows of already.
local function told(a, what)
  if what == "rare signature" then return member(member(a, "signature"), "rare") == true end
  if what == "rare country" then return member(member(a, "country"), "rare") == true end
  return false
end

local function of_findings(reasons, a, src, dest)
  local hosts, commands = {}, {}
  if src then hosts[1], commands[1] = src, {"SMEMBERS", "df:host:" .. src} end
  if dest and dest ~= src then hosts[#hosts + 1], commands[#commands + 1] = dest, {"SMEMBERS", "df:host:" .. dest} end
  local found = #hosts > 0 and state.run(commands)
  if not found then return end
  local n = 0
  for i = 1, 2 do
    local host, list = hosts[i], found[i] or {}
    table.sort(list)
    for _, what in ipairs(list) do
      if n < FOUND and not told(a, what) then
        n = n + 1
        note(reasons, what .. " of " .. host, POINTS.found)
      end
    end
  end
end

-- sum sorts the reasons, the largest first, and returns the score and their texts.
local function sum(reasons)
  for i, reason in ipairs(reasons) do reason.place = i end
  table.sort(reasons, function(x, y)
    local a, b = math.abs(x.points), math.abs(y.points)
    if a ~= b then return a > b end
    return x.place < y.place
  end)
  local score, texts = 0, {}
  for i = 1, #reasons do
    score = score + reasons[i].points
    texts[i] = reasons[i].text
  end
  return math.max(0, math.min(100, score)), texts
end

local function report(event, alert, score, texts, src, dest)
  local ends = tostring(src) .. ":" .. tostring(dest)
  local key = "df:priority:told:" .. state.day(event) .. ":" .. tostring(alert.signature_id) .. ":" .. ends
  if #key > 200 or not state.once(key, QUIET) then return end
  local finding = state.finding(event, "urgent alert")
  finding.signature_id, finding.signature, finding.score, finding.reasons = alert.signature_id, alert.signature, score, texts
  dragonfly.output_event(default_output, finding)
end

local function judge(event, alert)
  refresh()
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  local reasons, a = {}, event.analytics
  of_alert(reasons, alert)
  of_ends(reasons, src, dest)
  of_lists(reasons, event, src, dest)
  of_analytics(reasons, a)
  of_findings(reasons, a, src, dest)
  local score, texts = sum(reasons)
  local level = 5 - math.min(4, math.floor(score / 20))
  state.add(event, "priority", {score = score, level = level, reasons = texts})
  if level == 1 then report(event, alert, score, texts, src, dest) end
end

function loop(event)
  if event.event_type == "alert" then
    local alert = event.alert
    if type(alert) == "table" then judge(event, alert) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
