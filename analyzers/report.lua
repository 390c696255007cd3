-- Prints what the pipeline saw when it ends: events by type, top talkers, and the alerts with their context.
-- Takes: any event; alerts best behind alert-context.lua. For runs over a file (-x); it needs one worker.
-- Emits: the event to default_analyzer, unchanged. The report goes to standard output in finish().
--
-- Memory is bounded: counts of the last KINDS types, ADDRESSES addresses and SIGNATURES signatures are kept.
--
-- Example config:
-- default_analyzer = "write"
-- Example input:
-- {"event_type":"alert","src_ip":"192.0.2.1","alert":{"signature":"OLD CLIENT","severity":1}}
-- Example output:
-- write {"event_type":"alert","src_ip":"192.0.2.1","alert":{"signature":"OLD CLIENT","severity":1}}

local eve = require 'lib/eve'
local lru = require 'lib/lru'

local KINDS, ADDRESSES, SIGNATURES = 200, 10000, 1000
local WIDTH = 98 -- columns of the screen
local BAR = 40 -- columns of the longest bar
local TALKERS = 5 -- addresses shown

local total = 0
local kinds = lru.new(KINDS)
local addresses = lru.new(ADDRESSES)
local alerts = lru.new(SIGNATURES) -- {n=, severity=, signature=, pair=, context=} by signature
local alert_count = 0

-- context_text words dragonfly.context in one short piece.
local function context_text(event)
  local own = event.dragonfly
  local context = type(own) == "table" and own.context
  if type(context) ~= "table" then
    return ""
  end
  local text = context.app_proto or ""
  if context.http_host then
    text = text .. " host=" .. context.http_host
  end
  if context.sni then
    text = text .. " sni=" .. context.sni
  end
  if context.dns and context.dns ~= context.sni then
    text = text .. " dns=" .. context.dns
  end
  return text
end

local function note_alert(event)
  local alert = event.alert
  if type(alert) ~= "table" then
    return
  end
  local signature = tostring(alert.signature)
  local a = lru.get(alerts, signature)
  if not a then
    a = { n = 0, severity = alert.severity or 9, signature = signature }
    lru.put(alerts, signature, a)
  end
  a.n = a.n + 1
  a.pair = (event.src_ip or "?") .. " > " .. eve.service(event)
  a.context = context_text(event)
  alert_count = alert_count + 1
end

function loop(event)
  local kind = tostring(event.event_type)
  total = total + 1
  lru.add(kinds, kind, 1)
  if event.src_ip then
    lru.add(addresses, event.src_ip, 1)
  end
  if kind == "alert" then
    note_alert(event)
  end
  dragonfly.analyze_event(default_analyzer, event)
end

local function cut(text, width)
  if #text > width then
    return text:sub(1, width - 2) .. ".."
  end
  return text
end

local function line(text)
  print("  " .. (text or ("-"):rep(WIDTH - 4)))
end

local function append(list, name, n)
  list[#list + 1] = { name = name, n = n }
end

-- most returns {name=, n=} of the counts in a cache, the largest first.
local function most(cache)
  local list = {}
  for name, n in pairs(cache.young) do
    append(list, name, n)
  end
  for name, n in pairs(cache.old) do
    if not cache.young[name] then
      append(list, name, n)
    end
  end
  table.sort(list, function(a, b)
    if a.n ~= b.n then
      return a.n > b.n
    end
    return a.name < b.name
  end)
  return list
end

local function print_kinds()
  local list = most(kinds)
  line(("%d events of %d types"):format(total, #list))
  line()
  for i = 1, #list do
    local k = list[i]
    local bar = math.ceil(BAR * k.n / list[1].n)
    line(("%-14s %8d  %5.1f %%  %s"):format(cut(k.name, 14), k.n, 100 * k.n / total, ("#"):rep(bar)))
  end
end

local function print_talkers()
  local list = most(addresses)
  line()
  line(("Top talkers (of %d addresses)"):format(#list))
  line()
  for i = 1, #list do
    if i <= TALKERS then
      line(("%-39s %8d"):format(list[i].name, list[i].n))
    end
  end
end

local function by_severity(cache)
  local list = {}
  for _, a in pairs(cache.young) do
    append(list, a, a.n)
  end
  for _, a in pairs(cache.old) do
    if not cache.young[a.signature] then
      append(list, a, a.n)
    end
  end
  table.sort(list, function(x, y)
    local a, b = x.name, y.name
    if a.severity ~= b.severity then
      return a.severity < b.severity
    end
    if a.n ~= b.n then
      return a.n > b.n
    end
    return a.signature < b.signature
  end)
  return list
end

local function print_alerts()
  local list = by_severity(alerts)
  line()
  line(("%d alerts of %d signatures, the gravest first, each with the last place it was seen"):format(alert_count, #list))
  line()
  line(("%3s %4s  %-27s %-31s %s"):format("sev", "n", "signature", "from > to", "context"))
  for i = 1, #list do
    local a = list[i].name
    line(("%3d %4d  %-27s %-31s %s"):format(a.severity, a.n, cut(a.signature, 27), cut(a.pair, 31), cut(a.context, 27)))
  end
end

function finish()
  print()
  print_kinds()
  print()
  print_talkers()
  print()
  print_alerts()
  print()
end
