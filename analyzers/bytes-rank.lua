-- Says where the two ends of a flow stand among all hosts of the day by the bytes that they moved.
-- Takes: flow and alert events; others pass
-- Emits: the event, to default_analyzer, with analytics.bytes_rank: for src and dest the rank (1 moved the most), the
-- number of hosts, and the percentile
--
-- Bytes are those of both directions, added up per source and, apart from that, per destination, for the day of the
-- sensor's time zone; a flow counts when it ends. The percentile is the share of the other hosts, 0 to 100, that moved
-- less; it is there from LEAST hosts on, as it says little among few in the first minutes of a day. Hosts with equal bytes
-- are in the order of their addresses. Alerts are told the ranks and count nothing.
-- Look when: an alert's source is above 99, which is rarely a client; sort by it, rather than alert on it.
--
-- Keys: df:bytes:src:DAY and df:bytes:dest:DAY, sorted sets, gone after two days; of more than HOSTS hosts those with the
-- fewest bytes are forgotten and begin again at 0.
--
-- Example config:
-- default_analyzer = "next"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"bytes_toserver":10,"bytes_toclient":90}}
-- {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1",\
--   "flow":{"bytes_toserver":10,"bytes_toclient":80}}
-- {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"10.0.0.2","dest_ip":"10.0.0.9"}
-- {"timestamp":"2026-11-20T10:00:03.000000+0000","event_type":"flow","src_ip":"10.0.0.2","dest_ip":null,"flow":{}}
-- Example output:
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "flow":{"bytes_toserver":10,"bytes_toclient":90},\
--   "analytics":{"bytes_rank":{"src_rank":1,"src_hosts":1,"dest_rank":1,"dest_hosts":1}}}
-- next {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"flow","src_ip":"10.0.0.2","dest_ip":"192.0.2.1",\
--   "flow":{"bytes_toserver":10,"bytes_toclient":80},\
--   "analytics":{"bytes_rank":{"src_rank":2,"src_hosts":2,"dest_rank":1,"dest_hosts":1}}}
-- next {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"10.0.0.2","dest_ip":"10.0.0.9",\
--   "analytics":{"bytes_rank":{"src_rank":2,"src_hosts":2,"dest_hosts":1}}}
-- next {"timestamp":"2026-11-20T10:00:03.000000+0000","event_type":"flow","src_ip":"10.0.0.2","dest_ip":null,"flow":{}}

local state = require 'lib/state'

local LEAST = 20 -- hosts, for a percentile
local HOSTS = 100000 -- per day and end
local KEEP = 2 * 86400 -- seconds
local MOST = 1e15 -- bytes of a flow; more is an error

-- bytes returns the bytes of a flow, or nil.
local function bytes(flow)
  local out, back = state.member(flow, "bytes_toserver"), state.member(flow, "bytes_toclient")
  if type(out) ~= "number" or type(back) ~= "number" then return nil end
  local sum = out + back
  if out >= 0 and back >= 0 and sum <= MOST then return sum end
end

-- percentile is of the 0-based rank from below among n.
local function percentile(rank, n)
  if n >= LEAST then return 100 * rank / (n - 1) end
end

local function ranks(event, r, i)
  local found = {src_hosts = r[i + 1], dest_hosts = r[i + 3]}
  if r[i] then found.src_rank, found.src_percentile = r[i + 1] - r[i], percentile(r[i], r[i + 1]) end
  if r[i + 2] then found.dest_rank, found.dest_percentile = r[i + 3] - r[i + 2], percentile(r[i + 2], r[i + 3]) end
  state.add(event, "bytes_rank", found)
end

-- trim forgets the smallest of too many hosts, a hundredth at a time.
local function trim(key, n)
  if n > HOSTS then redis.command("ZREMRANGEBYRANK", key, 0, n - HOSTS + math.floor(HOSTS / 100)) end
end

local function count(event, src, dest, src_key, dest_key)
  local n = bytes(event.flow)
  if not n then return end
  local r = state.run({{"ZINCRBY", src_key, n, src}, {"ZINCRBY", dest_key, n, dest}, {"EXPIRE", src_key, KEEP},
    {"EXPIRE", dest_key, KEEP}, {"ZRANK", src_key, src}, {"ZCARD", src_key}, {"ZRANK", dest_key, dest}, {"ZCARD", dest_key}})
  if not r then return end
  ranks(event, r, 5)
  trim(src_key, r[6])
  trim(dest_key, r[8])
end

local function look(event, kind)
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  if not src or not dest then return end
  local day = state.day(event)
  local src_key, dest_key = "df:bytes:src:" .. day, "df:bytes:dest:" .. day
  if kind == "flow" then
    count(event, src, dest, src_key, dest_key)
    return
  end
  local r = state.run({{"ZRANK", src_key, src}, {"ZCARD", src_key}, {"ZRANK", dest_key, dest}, {"ZCARD", dest_key}})
  if r then ranks(event, r, 1) end
end

function loop(event)
  local kind = event.event_type
  if kind == "flow" or kind == "alert" then look(event, kind) end
  dragonfly.analyze_event(default_analyzer, event)
end
