-- Reports inputs that lose packets: in the kernel, because the process is too slow, or in a flow table that is full.
-- Takes: any event; its own timer's
-- Emits: every event to default_analyzer, unchanged; a finding "packets dropped" or "flows evicted" to default_output, per
--   input and interval in which that happened, with what to do
--
-- Every EVERY seconds it compares the counters of all inputs (dragonfly.capture) with those before. Dropped are packets that
-- the kernel had no room for, reported above DROPPED of all frames; evicted are flows that ended before their time because
-- the flow table was full, above EVICTED of the new ones. A flow with lost packets has too few bytes and may lack its
-- end, its names, its server: read findings about the time of a loss with that in mind. The row in config.lua must have the
-- tag "capture-health", to which the timer goes, and one worker.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","src_ip":"192.0.2.1"}
-- Example output:
-- next {"event_type":"flow","src_ip":"192.0.2.1"}

local TAG = "capture-health" -- of the row of this script
local EVERY = 60 -- seconds
local DROPPED = 0.001 -- share of frames
local EVICTED = 0.01 -- share of new flows

local TICK = "capture-health tick" -- event_type
local before -- the statistics of the last tick, by tag of input

local function counts(stats)
  local flows = stats.flows or {}
  return {frames = stats.frames or 0, dropped = stats.kernel_dropped or 0, new = flows.total or 0, evicted = flows.evicted or 0}
end

local function report(finding, input, text)
  finding.event_type, finding.timestamp = "finding", os.date("!%Y-%m-%dT%H:%M:%S.000000+0000")
  finding.input, finding.seconds, finding.remedy = input, EVERY, text
  dragonfly.output_event(default_output, finding)
end

local function compare(input, now, last)
  local frames, dropped = now.frames - last.frames, now.dropped - last.dropped
  if dropped > 0 and dropped > DROPPED * (frames + dropped) then
    report({finding = "packets dropped", dropped = dropped, frames = frames, share = dropped / (frames + dropped)}, input,
      "the process does not keep up: raise meters or ring_size of the input, leave out bulk traffic with its filter, and see in /metrics which stage is busy")
  end
  local new, evicted = now.new - last.new, now.evicted - last.evicted
  if evicted > 0 and evicted > EVICTED * new then
    report({finding = "flows evicted", evicted = evicted, flows = new, share = evicted / math.max(new, evicted)}, input,
      "the flow table is full: raise flow_memory, shorten the timeouts of new flows, or look for a flood or scan")
  end
end

local function tick()
  local all = dragonfly.capture.inputs()
  for input, stats in pairs(all) do
    if before[input] then compare(input, counts(stats), counts(before[input])) end
  end
  before = all
end

function setup()
  before = dragonfly.capture.inputs()
  dragonfly.timer_every(TAG, EVERY, {event_type = TICK})
end

function loop(event)
  if event.event_type == TICK then
    tick()
  else
    dragonfly.analyze_event(default_analyzer, event)
  end
end
