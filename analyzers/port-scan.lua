-- Reports sources that try many ports of one host (vertical) or one port of many hosts (horizontal) without success.
-- Takes: flow events of TCP and UDP; others pass
-- Emits: every event to default_analyzer, unchanged; a finding "port scan" to default_output, once per source, kind and
--   QUIET seconds, with how many ports or hosts failed, the first of them, and how many flows there were
--
-- A flow failed if nothing was answered (state "new"), or a RST came and no data. Counted are different ports or hosts
-- of failed flows within WINDOW seconds by the start of flows. They are a scan from PORTS or HOSTS on, if at least FAILING of
-- the flows between the same ends (of the source to that host, or to that port) failed since the first that did: behind NAT
-- or a resolver some hosts never answer, but most do. Not counted are multicast and broadcast, UDP to ports above UDP_LAST
-- (peer to peer, games), UDP from a service (below 1024) to a client's port, which is a late answer, and TCP without SYN,
-- which is the end of a connection that began before the capture. So scans without SYN (FIN, NULL, ACK) are not seen here,
-- nor those that are slower than PORTS per WINDOW. Own scanners and monitors belong into ALLOWED.
--
-- Bounded: the PAIRS source-host and source-port pairs that failed last, about 2 KB each. With several workers use
-- shard_by = {"src_ip"}.
--
-- A finding:
-- {"event_type":"finding","finding":"port scan","kind":"vertical","src_ip":"192.0.2.7","dest_ip":"192.0.2.80","proto":"TCP",
--   "ports":30,"failed":30,"flows":31,"seconds":2,"examples":[22,23,25,80,110,143,443,445,993,995]}
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","src_ip":"192.0.2.7","src_port":40001,"dest_ip":"192.0.2.80","dest_port":22,"proto":"TCP",\
--   "flow":{"pkts_toserver":1,"pkts_toclient":1,"bytes_toclient":54,"state":"closed","start":"2026-11-20T10:00:00.000000+0000"},\
--   "tcp":{"syn":true,"rst":true}}
-- Example output:
-- next {"event_type":"flow","src_ip":"192.0.2.7","src_port":40001,"dest_ip":"192.0.2.80","dest_port":22,"proto":"TCP",\
--   "flow":{"pkts_toserver":1,"pkts_toclient":1,"bytes_toclient":54,"state":"closed","start":"2026-11-20T10:00:00.000000+0000"},\
--   "tcp":{"syn":true,"rst":true}}

local PORTS = 30 -- of one host
local HOSTS = 40 -- on one port
local WINDOW = 1800 -- seconds
local FAILING = 0.6 -- share of flows
local QUIET = 3600 -- seconds between findings about a source
local UDP_LAST = 12000 -- dest_port
local ALLOWED = nil -- sources that may scan, such as {"192.0.2.10", "10.9.0.0/16"}
local PAIRS = 20000
local SOURCES = 10000 -- findings that are remembered
local EXAMPLES = 10
local ANSWER = 80 -- bytes of a packet without data, at most

local allowed = ALLOWED and net.cidr(ALLOWED)
local tried = sketch.lru(PAIRS) -- by source and host, or source and port: see begin
local told = sketch.lru(SOURCES) -- time of the last finding, by kind and source

-- begin is the state of a pair: since is the start of its window, total its flows from the first that failed on.
local function begin(now)
  return {since = now, failed = 0, total = 0, distinct = sketch.hll(10), examples = {}}
end

local function number(x) return type(x) == "number" and x or 0 end

local function has_failed(event, flow)
  local packets = number(flow.pkts_toclient)
  if packets == 0 or flow.state == "new" then return true end
  local tcp = event.tcp
  return type(tcp) == "table" and tcp.rst == true and number(flow.bytes_toclient) <= ANSWER * packets
end

-- is_probe tells whether a flow can be part of a scan.
local function is_probe(event)
  local tcp, port = event.tcp, event.dest_port
  if event.proto == "TCP" then
    return type(tcp) ~= "table" or tcp.syn == true or tcp.tcp_flags == nil
  end
  if event.proto ~= "UDP" or port > UDP_LAST then return false end
  return not (number(event.src_port) < 1024 and port >= 1024)
end

local function is_group(address)
  local class = net.class(address)
  return class == nil or class == "multicast" or class == "broadcast"
end

local function report(event, kind, now, p, count)
  local key = kind .. " " .. event.src_ip
  local last = told:get(key)
  if last and math.abs(now - last) < QUIET then return end
  told:put(key, now)
  local finding = {timestamp = event.timestamp, event_type = "finding", finding = "port scan", kind = kind, src_ip = event.src_ip,
    proto = event.proto, failed = p.failed, flows = p.total, seconds = math.floor(p.latest - p.since)}
  if kind == "vertical" then
    finding.dest_ip, finding.ports, finding.examples = event.dest_ip, count, p.examples
  else
    finding.dest_port, finding.hosts, finding.examples = event.dest_port, count, p.examples
  end
  dragonfly.output_event(default_output, finding)
end

-- note counts a flow of a pair; what is the port or host that it went to.
local function note(event, kind, key, what, failed, now, limit)
  local p = tried:get(key)
  if not p and not failed then return end
  if not p or math.abs(now - p.since) > WINDOW then
    if not failed then return end
    p = begin(now)
    tried:put(key, p)
  end
  p.total = p.total + 1
  if not failed then return end
  p.since, p.latest = math.min(p.since, now), math.max(p.latest or now, now)
  p.failed = p.failed + 1
  if p.distinct:add(what) and #p.examples < EXAMPLES then p.examples[#p.examples + 1] = what end
  if p.failed < limit or p.failed < FAILING * p.total then return end
  local count = p.distinct:count()
  if count >= limit then report(event, kind, now, p, count) end
end

local function look(event, flow)
  local src, dest, port = event.src_ip, event.dest_ip, event.dest_port
  if type(src) ~= "string" or type(dest) ~= "string" or type(port) ~= "number" or not is_probe(event) then return end
  if is_group(dest) or allowed and allowed:contains(src) then return end
  local start = flow.start or event.timestamp
  local now = type(start) == "string" and dragonfly.date2epoch(start)
  if not now then return end
  local failed, proto = has_failed(event, flow), event.proto
  note(event, "vertical", src .. " " .. proto .. " " .. dest, port, failed, now, PORTS)
  note(event, "horizontal", src .. " " .. proto .. " " .. port, dest, failed, now, HOSTS)
end

function setup()
end

function loop(event)
  local flow = event.event_type == "flow" and event.flow
  if type(flow) == "table" then look(event, flow) end
  dragonfly.analyze_event(default_analyzer, event)
end
