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

local ADDRESSES, SIGNATURES = 5000, 500 -- that are remembered
local TALKERS = 5 -- addresses shown

local talkers = sketch.counter(ADDRESSES) -- events by src_ip
local alerts = sketch.lru(SIGNATURES) -- {n, severity, signature, pair, context} by signature

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
  local a = alerts:get(signature)
  if not a then
    a = {n = 0, severity = alert.severity or 9, signature = signature, context = ""}
    alerts:put(signature, a)
  end
  a.n = a.n + 1
  a.pair = (event.src_ip or "?") .. " > " .. eve.service(event)
  local context = words(event.context)
  if context ~= "" then a.context = context end
end

function loop(event)
  if event.src_ip then talkers:incr(event.src_ip) end
  local alert = event.event_type == "alert" and event.alert
  if type(alert) == "table" then note(event, alert) end
  dragonfly.analyze_event(default_analyzer, event)
end

local function cut(text, width)
  if #text > width then return text:sub(1, width - 2) .. ".." end
  return text
end

local function print_talkers()
  print(("Top talkers (of %d addresses)"):format((talkers:len())))
  for _, t in ipairs(talkers:top(TALKERS)) do
    print(("  %-39s %8d"):format(t.key, t.count))
  end
end

local function print_alerts()
  local list = alerts:list()
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
