-- Counts events by type and alerts by signature; says so every minute and at the end.
-- Takes: any EVE event
-- Emits: the event as it came, to default_analyzer; a summary, to default_output
-- Example config:
-- default_analyzer = "next"
-- default_output = "summary"
-- Example input:
-- {"event_type":"flow"}
-- {"event_type":"alert","alert":{"signature":"A"}}
-- {"event_type":"flow"}
-- Example output:
-- next {"event_type":"flow"}
-- next {"event_type":"alert","alert":{"signature":"A"}}
-- next {"event_type":"flow"}
-- summary {"event_type":"summary","time":"*","events":3,"by_type":{"flow":2,"alert":1},\
--   "alerts":{"A":1}}

local EVERY = 60 -- seconds

local total, by_type, alerts = 0, {}, {}

local function summary()
  return {event_type = "summary", time = os.date("!%Y-%m-%dT%TZ"), events = total, by_type = by_type, alerts = alerts}
end

-- by_count returns the keys of t, the most frequent first.
local function by_count(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) if t[a] ~= t[b] then return t[a] > t[b] end return a < b end)
  return keys
end

function setup()
  dragonfly.timer_every("summary", EVERY, {event_type = "summary-due"})
end

function loop(event)
  local kind = event.event_type
  if kind == "summary-due" then
    dragonfly.output_event(default_output, summary())
    return
  end
  total = total + 1
  by_type[kind] = (by_type[kind] or 0) + 1
  if kind == "alert" then
    local signature = event.alert and event.alert.signature or "unknown"
    alerts[signature] = (alerts[signature] or 0) + 1
  end
  dragonfly.analyze_event(default_analyzer, event)
end

function finish()
  dragonfly.output_event(default_output, summary())
  print(string.format("\n%d events", total))
  for _, kind in ipairs(by_count(by_type)) do
    local n = by_type[kind]
    print(string.format("  %-12s %8d  %s", kind, n, string.rep("#", math.ceil(n * 50 / total))))
  end
  local list = by_count(alerts)
  print(string.format("\n%d signatures raised alerts", #list))
  for i, signature in ipairs(list) do
    if i > 12 then print(string.format("  ... and %d more", #list - 12)) break end
    print(string.format("  %6d  %s", alerts[signature], signature))
  end
  print("")
end
