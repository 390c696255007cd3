-- Counts events by type and by source address and writes a summary every minute and at the end.
-- Takes: any event.
-- Emits: the event to default_analyzer, unchanged; an event of type "summary" to default_output.
--
-- by_type and top_talkers are of the time since the summary before; with several workers each writes its own.
-- Memory is bounded: an address beyond the first TALKERS of an interval is not counted, a type beyond TYPES is "other".
--
-- Example config:
-- default_analyzer = "write"
-- default_output = "summary"
-- Example input:
-- {"event_type":"dns","src_ip":"192.0.2.1"}
-- {"event_type":"dns","src_ip":"192.0.2.1"}
-- {"event_type":"tls","src_ip":"192.0.2.2"}
-- {"tick":"summary"}
-- Example output:
-- write {"event_type":"dns","src_ip":"192.0.2.1"}
-- write {"event_type":"dns","src_ip":"192.0.2.1"}
-- write {"event_type":"tls","src_ip":"192.0.2.2"}
-- summary {"event_type":"summary","timestamp":"*","events":3,"by_type":{"dns":2,"tls":1},\
--   "top_talkers":[{"ip":"192.0.2.1","events":2},{"ip":"192.0.2.2","events":1}]}

local SELF = "count" -- tag of this analyzer in config.lua
local INTERVAL = 60 -- seconds between summaries
local TYPES = 256
local TALKERS = 10000
local TOP = 10 -- addresses in a summary

local events, by_type, types, by_ip, ips

local function reset()
  events, by_type, types, by_ip, ips = 0, {}, 0, {}, 0
end

local function count_type(kind)
  local n = by_type[kind]
  if not n then
    if types >= TYPES then
      kind = "other"
      n = by_type.other
    end
    types = types + 1
  end
  by_type[kind] = (n or 0) + 1
end

local function count_talker(ip)
  local n = by_ip[ip]
  if n then
    by_ip[ip] = n + 1
  elseif ips < TALKERS then
    by_ip[ip] = 1
    ips = ips + 1
  end
end

-- place puts an address into the list of the TOP, which stays in order: most events first, then by address.
local function place(top, ip, n)
  for i = 1, TOP do
    local at = top[i]
    if not at then
      top[i] = { ip = ip, events = n }
      return
    end
    if n > at.events or n == at.events and ip < at.ip then
      at.ip, ip = ip, at.ip
      at.events, n = n, at.events
    end
  end
end

local function summarize()
  local top = {}
  for ip, n in pairs(by_ip) do
    place(top, ip, n)
  end
  dragonfly.output_event(default_output, {
    event_type = "summary", timestamp = os.date("!%Y-%m-%dT%H:%M:%SZ"),
    events = events, by_type = by_type, top_talkers = top,
  })
  reset()
end

function setup()
  reset()
  dragonfly.timer_every(SELF, INTERVAL, { tick = "summary" })
end

function loop(event)
  local kind = event.event_type
  if not kind and event.tick == "summary" then
    summarize()
    return
  end
  events = events + 1
  count_type(kind or "other")
  local ip = event.src_ip
  if ip then
    count_talker(ip)
  end
  dragonfly.analyze_event(default_analyzer, event)
end

function finish()
  if events > 0 then
    summarize()
  end
end
