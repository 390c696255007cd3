-- Prints, when the pipeline ends, the top talkers and the alerts with their context.
-- Takes: any event; alerts best behind alert-context.lua
-- Emits: the event as it came, to default_analyzer; the report goes to standard output in finish()
-- Example config:
-- default_analyzer = "next"
-- Example input:
-- {"event_type":"alert","src_ip":"192.0.2.1","alert":{"signature":"OLD CLIENT","severity":1}}
-- Example output:
-- next {"event_type":"alert","src_ip":"192.0.2.1",\
--   "alert":{"signature":"OLD CLIENT","severity":1}}

local eve = require 'lib/eve'
local lru = require 'lib/lru'

local ADDRESSES, SIGNATURES = 5000, 500 -- that are remembered; at most twice as many are held
local TALKERS = 5 -- addresses shown

local talkers = lru.new(ADDRESSES) -- events by src_ip
local alerts = lru.new(SIGNATURES) -- {n, severity, signature, pair, context} by signature

-- words puts event.context into one short piece.
local function words(context)
  if type(context) ~= "table" then return "" end
  local text = ""
  if context.http_host then text = text .. " host=" .. context.http_host end
  if context.sni then text = text .. " sni=" .. context.sni end
  if context.dns then text = text .. " dns=" .. context.dns end
  if context.ssh then text = text .. " ssh=" .. context.ssh end
  return text
end

local function note(event, alert)
  local signature = tostring(alert.signature)
  local a = lru.get(alerts, signature)
  if not a then
    a = {n = 0, severity = alert.severity or 9, signature = signature, context = ""}
    lru.put(alerts, signature, a)
  end
  a.n = a.n + 1
  a.pair = (event.src_ip or "?") .. " > " .. eve.service(event)
  local context = words(event.context)
  if context ~= "" then a.context = context end
end

function loop(event)
  if event.src_ip then lru.add(talkers, event.src_ip, 1) end
  local alert = event.event_type == "alert" and event.alert
  if type(alert) == "table" then note(event, alert) end
  dragonfly.analyze_event(default_analyzer, event)
end

local function cut(text, width)
  if #text > width then return text:sub(1, width - 2) .. ".." end
  return text
end

local function append(list, key, value) list[#list + 1] = {key = key, value = value} end

-- rows returns {key, value} of what a cache holds, unordered.
local function rows(cache)
  local list = {}
  for key, value in pairs(cache.old) do
    if cache.young[key] == nil then append(list, key, value) end
  end
  for key, value in pairs(cache.young) do append(list, key, value) end
  return list
end

local function print_talkers()
  local list = rows(talkers)
  table.sort(list, function(a, b)
    if a.value ~= b.value then return a.value > b.value end
    return a.key < b.key
  end)
  print(("Top talkers (of %d addresses)"):format(#list))
  for i = 1, #list do
    if i <= TALKERS then print(("  %-39s %8d"):format(list[i].key, list[i].value)) end
  end
end

local function print_alerts()
  local list = rows(alerts)
  table.sort(list, function(x, y)
    local a, b = x.value, y.value
    if a.severity ~= b.severity then return a.severity < b.severity end
    if a.n ~= b.n then return a.n > b.n end
    return a.signature < b.signature
  end)
  print("\nAlerts, the gravest first, each with its last place and context")
  print(("  %3s %4s  %-27s %-31s %s"):format("sev", "n", "signature", "from > to", "context"))
  for i = 1, #list do
    local a = list[i].value
    local text = ("  %3d %4d  %-27s %-31s%s"):format(a.severity, a.n, cut(a.signature, 27), cut(a.pair, 31), cut(a.context, 27))
    print((text:gsub(" +$", "")))
  end
  print("")
end

function finish()
  print_talkers()
  print_alerts()
end
