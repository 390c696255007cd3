-- Reports tunnels through DNS: many long names, never the same, below one registered domain.
-- Takes: dns events; others pass
-- Emits: every event to default_analyzer, unchanged; a finding "dns tunnel" to default_output, once per source, domain and
--   QUIET seconds
--
-- Of the queries of one source below one registered domain (domain.split) within WINDOW seconds it counts the different
-- names, and for what stands before the domain the mean length, the mean entropy (bits per byte) and the record types. It is
-- a tunnel from NAMES different names on, if at least DISTINCT of the queries were for a name of their own, the entropy is
-- ENTROPY or more, and the length is LONG; or MEDIUM, if at least half of the queries ask for types that carry data (TXT,
-- NULL, CNAME, MX, KEY, SRV, private ones). The finding says how many bytes the names carried up, and TXT and NULL answers
-- down. Names of content networks repeat; reputation services (virus scanners, block lists) look like tunnels, because they
-- are: those of yours belong into ALLOWED. Behind a resolver its address is the source of all.
--
-- Bounded: the PAIRS pairs of source and domain seen last, about 6 KB each. With several workers use shard_by = {"src_ip"}.
--
-- A finding:
-- {"event_type":"finding","finding":"dns tunnel","src_ip":"10.0.0.1","dest_ip":"10.0.0.53","domain":"example.com","names":50,
--   "queries":50,"mean_length":42,"mean_entropy":3.9,"bytes_up":2100,"bytes_down":900,"types":{"TXT":50},"seconds":12,
--   "examples":["mzxw6ytboi2dinzvgyztomrtgqytcmbqgeytcmjq.t.example.com"]}
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"dns","src_ip":"10.0.0.1","dest_ip":"10.0.0.53",\
--   "dns":{"type":"query","rrname":"mzxw6ytboi2dinzvgyztomrtgqytcmbqgeytcmjq.t.example.com","rrtype":"TXT"}}
-- Example output:
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"dns","src_ip":"10.0.0.1","dest_ip":"10.0.0.53",\
--   "dns":{"type":"query","rrname":"mzxw6ytboi2dinzvgyztomrtgqytcmbqgeytcmjq.t.example.com","rrtype":"TXT"}}

local dns = require 'lib/dns'

local NAMES = 50
local DISTINCT = 0.7 -- share of queries
local LONG, MEDIUM = 30, 12 -- bytes before the domain
local ENTROPY = 3 -- bits per byte
local WINDOW = 3600 -- seconds
local QUIET = 6 * 3600 -- seconds
local ALLOWED = { -- registered domains that carry data in names on purpose: add your own
  ["mcafee.com"] = true, ["sophosxl.net"] = true, ["spamhaus.org"] = true, ["spamhaus.net"] = true, ["senderbase.org"] = true,
  ["cymru.com"] = true, ["barracudacentral.org"] = true, ["surbl.org"] = true, ["uribl.com"] = true, ["dnswl.org"] = true,
}
local CARRIERS = { TXT = true, NULL = true, CNAME = true, MX = true, KEY = true, SRV = true }
local COMMON = { ["?"] = true, A = true, AAAA = true, PTR = true, HTTPS = true, SVCB = true, NS = true, SOA = true, TXT = true, NULL = true, CNAME = true, MX = true, KEY = true, SRV = true }
local PAIRS = 5000
local FINDINGS = 10000 -- that are remembered
local EXAMPLES = 3

local seen = sketch.lru(PAIRS) -- by source and domain: see begin
local told = sketch.lru(FINDINGS) -- time of the last finding, by source and domain

local function begin(now)
  return {since = now, latest = now, queries = 0, names = sketch.hll(10), up = 0, down = 0, entropy = 0, carriers = 0, types = {}, examples = {}}
end

-- kind_of returns the record type that was asked for.
local function kind_of(d)
  if type(d.rrtype) == "string" then return d.rrtype end
  local queries = d.queries or d.query
  local first = type(queries) == "table" and queries[1]
  return type(first) == "table" and type(first.rrtype) == "string" and first.rrtype or "?"
end

local function round(x) return math.floor(x * 100 + 0.5) / 100 end

local function is_tunnel(p, count)
  if count < NAMES or count < DISTINCT * p.queries or p.entropy < ENTROPY * p.queries then return false end
  local length = p.up / p.queries
  return length >= LONG or length >= MEDIUM and 2 * p.carriers >= p.queries
end

local function report(event, key, registered, p, count)
  local last = told:get(key)
  if last and math.abs(p.latest - last) < QUIET then return end
  told:put(key, p.latest)
  dragonfly.output_event(default_output, {timestamp = event.timestamp, event_type = "finding", finding = "dns tunnel",
    src_ip = event.src_ip, dest_ip = event.dest_ip, domain = registered, names = count, queries = p.queries,
    mean_length = round(p.up / p.queries), mean_entropy = round(p.entropy / p.queries), bytes_up = p.up, bytes_down = p.down,
    types = p.types, seconds = math.floor(p.latest - p.since), examples = p.examples})
end

local function count_query(event, d, key, parts, name, p, now)
  local kind, sub = kind_of(d), parts.sub
  local shown = COMMON[kind] and kind or "other"
  p.latest = math.max(p.latest, now)
  p.queries, p.up, p.entropy = p.queries + 1, p.up + #sub, p.entropy + text.entropy(sub)
  p.types[shown] = (p.types[shown] or 0) + 1
  if CARRIERS[kind] or shown == "other" then p.carriers = p.carriers + 1 end
  if p.names:add(sub) and #p.examples < EXAMPLES then p.examples[#p.examples + 1] = name end
  if p.queries < NAMES then return end
  local count = p.names:count()
  if is_tunnel(p, count) then report(event, key, parts.registered, p, count) end
end

-- size_of returns the bytes of the data in an answer's TXT and NULL records.
local function size_of(d)
  local bytes, answers = 0, d.answers
  if type(answers) ~= "table" then answers = {d} end -- v1
  for i = 1, #answers do
    local a = answers[i]
    if type(a) == "table" and (a.rrtype == "TXT" or a.rrtype == "NULL") and type(a.rdata) == "string" then bytes = bytes + #a.rdata end
  end
  return bytes
end

local function look(event, d)
  local name = dns.name(d)
  if type(name) ~= "string" then return end
  local parts = domain.split(name)
  local sub, registered = parts.sub, parts.registered
  if parts.kind ~= "host" or not sub or not registered or ALLOWED[registered] then return end
  local key = tostring(event.src_ip or "?") .. " " .. registered
  local p = seen:get(key)
  if dns.is_answer(d) then -- src_ip is the client as in the query, or the server, by the sensor's version
    p = p or seen:get(tostring(event.dest_ip or "?") .. " " .. registered)
    if p then p.down = p.down + size_of(d) end
    return
  end
  local now = type(event.timestamp) == "string" and dragonfly.date2epoch(event.timestamp)
  if not now then return end
  if not p or math.abs(now - p.since) > WINDOW then
    p = begin(now)
    seen:put(key, p)
  end
  count_query(event, d, key, parts, name, p, now)
end

function setup()
end

function loop(event)
  local d = event.event_type == "dns" and event.dns
  if type(d) == "table" then look(event, d) end
  dragonfly.analyze_event(default_analyzer, event)
end
