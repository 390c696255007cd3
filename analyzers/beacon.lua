-- Reports clients that call the same service at even intervals, as implants do.
-- Takes: flow, of TCP and UDP. Other types pass.
-- Emits: every event to default_analyzer, unchanged; a notice "beacon" to default_output, once per client and service.
--
-- Of the starts of flows from one src_ip to one dest_ip and port it keeps the mean interval and the mean deviation
-- from it. From COUNT intervals of at least SHORTEST seconds on, a deviation below JITTER of the mean is a beacon.
-- Software that asks for updates or the time is one, too: list its ports in IGNORE. With several workers
-- use shard_by = {"src_ip", "dest_ip"}. Bounded: the PAIRS pairs seen last are known.
--
-- Example config:
-- default_analyzer = "write"
-- default_output = "notices"
-- Example input:
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:00:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:01:00.5+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:02:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:03:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:04:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:05:00.0+0000"}}
-- {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:06:00.0+0000"}}
-- Example output:
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:00:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:01:00.5+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:02:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:03:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:04:00.0+0000"}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:05:00.0+0000"}}
-- notices {"event_type":"notice","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","notice":{"name":"beacon","message":"every 60.0 s to 203.0.113.9:443/TCP",\
--   "interval":"*","deviation":"*","flows":7}}
-- write {"event_type":"flow","src_ip":"192.0.2.1","dest_ip":"203.0.113.9","dest_port":443,\
--   "proto":"TCP","flow":{"start":"2026-11-20T08:06:00.0+0000"}}

local eve = require 'lib/eve'

local COUNT = 6 -- intervals
local SHORTEST = 5 -- seconds
local JITTER = 0.1
local IGNORE = { [53] = true, [123] = true } -- dest_port
local PAIRS = 5000

local pairs_of = sketch.lru(PAIRS) -- {last=, n=, mean=, dev=} by client and service; times in seconds

local function report(event, p)
  local message = ("every %.1f s to %s"):format(p.mean, eve.service(event))
  local notice = eve.notice(event, "beacon", message)
  notice.notice.interval, notice.notice.deviation, notice.notice.flows = p.mean, p.dev, p.n + 1
  dragonfly.output_event(default_output, notice)
end

-- note adds an interval to the means; from the second on both are known.
local function note(p, interval)
  p.n = p.n + 1
  p.mean = p.mean + (interval - p.mean) / p.n
  p.dev = p.dev + (math.abs(interval - p.mean) - p.dev) / p.n
end

local function look(event, start)
  local now = type(start) == "string" and dragonfly.date2epoch(start)
  if not now then
    return
  end
  local key = eve.pair(event)
  local p = pairs_of:get(key)
  if not p then
    pairs_of:put(key, { last = now, n = 0, mean = 0, dev = 0 })
    return
  end
  local interval = now - p.last
  if interval < SHORTEST then -- the same call, or one that ended late
    return
  end
  p.last = now
  note(p, interval)
  if p.n >= COUNT and not p.told and p.dev < JITTER * p.mean then
    p.told = true
    report(event, p)
  end
end

function loop(event)
  if event.event_type == "flow" then
    local flow, port = event.flow, event.dest_port
    if type(flow) == "table" and port and not IGNORE[port] then
      look(event, flow.start)
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
