-- Says every minute, and at the end, which sources moved the most bytes and how many destinations each had.
-- Takes: flow events; others pass
-- Emits: the event as it came, to default_analyzer; a report, to default_output
--
-- A source above 1/COUNTERS of all bytes is in the report for sure; its bytes are too high by at most `error`.
-- destinations is exact up to 64, then within 3 % (one standard deviation). The row of this script in config.lua must
-- have the tag TAG. With several workers use shard_by = "src_ip"; then one of them reports every minute, each at the end.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "talkers"
-- Example input:
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"bytes_toserver":10,"bytes_toclient":90}}
-- {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","flow":{"bytes_toserver":50,"bytes_toclient":50}}
-- {"event_type":"top-talkers-due"}
-- {"event_type":"top-talkers-due"}
-- {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","flow":{"bytes_toserver":1,"bytes_toclient":0}}
-- {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.2","flow":{"bytes_toserver":1}}
-- {"event_type":"dns"}
-- Example output:
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1","flow":{"bytes_toserver":10,"bytes_toclient":90}}
-- next {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","flow":{"bytes_toserver":50,"bytes_toclient":50}}
-- talkers {"event_type":"top-talkers","time":"*","flows":2,"bytes":200,"talkers":[\
--   {"src_ip":"10.0.0.1","bytes":100,"error":0,"destinations":1},\
--   {"src_ip":"10.0.0.2","bytes":100,"error":0,"destinations":1}]}
-- next {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","flow":{"bytes_toserver":1,"bytes_toclient":0}}
-- next {"event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.2","flow":{"bytes_toserver":1}}
-- next {"event_type":"dns"}
-- talkers {"event_type":"top-talkers","time":"*","flows":2,"bytes":2,"talkers":[\
--   {"src_ip":"10.0.0.2","bytes":2,"error":0,"destinations":2}]}

local TAG = "top-talkers"
local EVERY = 60 -- seconds
local TALKERS = 10 -- in a report
local COUNTERS = 1000 -- sources that are counted at a time
local PRECISION = 10 -- of the count of destinations: 1 kB per source

local bytes_of = sketch.topk(COUNTERS)
local dests_of = sketch.lru(COUNTERS) -- hll by source
local flows = 0

local function number(x)
  if type(x) == "number" then return x end
  return 0
end

local function note(event, flow)
  local src, dest = event.src_ip, event.dest_ip
  if type(src) ~= "string" then return end
  flows = flows + 1
  bytes_of:add(src, math.max(0, number(flow.bytes_toserver) + number(flow.bytes_toclient)))
  local dests = dests_of:get(src)
  if not dests then
    dests = sketch.hll(PRECISION)
    dests_of:put(src, dests)
  end
  dests:add(dest)
end

-- row puts what is known of a source into the list of a report.
local function row(talkers, i, t)
  local dests = dests_of:get(t.key)
  talkers[i] = {src_ip = t.key, bytes = t.count, error = t.error, destinations = dests and dests:count()}
end

local function report()
  if flows == 0 then return end
  local talkers = {}
  for i, t in ipairs(bytes_of:list(TALKERS)) do row(talkers, i, t) end
  dragonfly.output_event(default_output, {event_type = "top-talkers", time = os.date("!%Y-%m-%dT%TZ"), flows = flows, bytes = bytes_of:total(),
    talkers = talkers})
  flows, dests_of = 0, sketch.lru(COUNTERS)
  bytes_of:reset()
end

function setup()
  dragonfly.timer_every(TAG, EVERY, {event_type = "top-talkers-due"})
end

function loop(event)
  local kind = event.event_type
  if kind == "top-talkers-due" then
    report()
    return
  end
  if kind == "flow" then
    local flow = event.flow
    if type(flow) == "table" then note(event, flow) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end

function finish()
  report()
end
