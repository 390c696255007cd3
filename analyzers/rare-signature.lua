-- Says how rare a signature is for this network and whether it is new for the host, and reports what is both.
-- Takes: alert events; others pass
-- Emits: the event, to default_analyzer, with analytics.signature: count and total of alerts in the window, score,
-- threshold, unique_signatures, new_for_host, rare; a finding "rare signature", to default_output, if new and rare
--
-- score is 1 - count / total, near 1 for few alerts of many; above threshold is rare by the number of alerts. One
-- signature that floods makes all others rare in that sense, so a finding goes by hosts: each host counts once per
-- signature and period, and a signature is rare if the upper end of the 95 % interval (Wilson) of its share of these
-- pairs, without this one, is below RARE. A signature never seen is rare after 3.84 * (1 / RARE - 1) pairs, 189 for 2 %.
-- Broken protocols (NOISE) are scored and not reported.
-- The host is the inner end, the source if both or neither are inside. Windows of PERIOD seconds, as in rare-country.
-- Look when: new and rare; then at what else the host did (other findings, flows to the same peer).
--
-- Keys: df:sig:alerts:PERIOD and df:sig:pairs:PERIOD, hashes by signature, for two periods; df:sig:host:PERIOD:ADDRESS,
-- the set of a host's signatures, at most SIGNATURES large, likewise. A host's signature is new if neither has it.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "alert":{"gid":1,"signature_id":2000001}}
-- {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "alert":{"gid":1,"signature_id":2000001}}
-- {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"192.0.2.1","dest_ip":"10.0.0.2",\
--   "alert":{"gid":1,"signature_id":2000002}}
-- {"event_type":"alert","alert":null}
-- Example output:
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "alert":{"gid":1,"signature_id":2000001},"analytics":{"signature":{"count":1,"total":1,"score":0,\
--   "threshold":0.99,"unique_signatures":1,"new_for_host":true,"rare":false}}}
-- next {"timestamp":"2026-11-20T10:00:01.000000+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "alert":{"gid":1,"signature_id":2000001},"analytics":{"signature":{"count":2,"total":2,"score":0,\
--   "threshold":0.99,"unique_signatures":1,"new_for_host":false,"rare":false}}}
-- next {"timestamp":"2026-11-20T10:00:02.000000+0000","event_type":"alert","src_ip":"192.0.2.1","dest_ip":"10.0.0.2",\
--   "alert":{"gid":1,"signature_id":2000002},"analytics":{"signature":{"count":1,"total":3,"score":0.66666666666667,\
--   "threshold":0.99,"unique_signatures":2,"new_for_host":true,"rare":false}}}
-- next {"event_type":"alert","alert":null}

local state = require 'lib/state'

local PERIOD = 30 * 86400 -- seconds of the window
local THRESHOLD = 0.99 -- of score
local RARE = 0.02 -- share of the pairs of host and signature
local NOISE = {["Generic Protocol Command Decode"] = true, ["Not Suspicious Traffic"] = true} -- categories without findings
local SIGNATURES = 5000 -- per host; of more, some are forgotten

-- host returns the end that the alert is about.
local function host(event)
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  if dest and state.inside(dest) and not (src and state.inside(src)) then return dest end
  return src or dest
end

local function number(x) return tonumber(x) or 0 end

-- pairs_of counts a pair and returns those of its signature, and all, of the window.
local function pairs_of(id, n, part)
  local key = "df:sig:pairs:" .. n
  local r = state.run({{"HINCRBY", key, id, 1}, {"HINCRBY", key, "total", 1}, {"EXPIRE", key, 2 * PERIOD},
    {"HMGET", "df:sig:pairs:" .. n - 1, id, "total"}})
  if not r then return 0, 0 end
  return number(r[1]) + part * number(r[4][1]), number(r[2]) + part * number(r[4][2])
end

local function report(event, who, alert, found, hosts)
  state.mark(who, "rare signature")
  local finding = state.finding(event, "rare signature")
  finding.host, finding.signature_id, finding.signature = who, alert.signature_id, alert.signature
  finding.category, finding.severity = alert.category, alert.severity
  finding.count, finding.total, finding.score, finding.hosts = found.count, found.total, found.score, math.floor(hosts + 0.5)
  dragonfly.output_event(default_output, finding)
end

local function judge(event, alert)
  local sid, gid, who = alert.signature_id, alert.gid, host(event)
  if type(sid) ~= "number" or not who then return end
  local id = (type(gid) == "number" and gid or 1) .. ":" .. sid
  local n, part = state.period(state.time(event), PERIOD)
  local key = "df:sig:alerts:" .. n
  local of_host, before = "df:sig:host:" .. n .. ":" .. who, "df:sig:host:" .. n - 1 .. ":" .. who
  local r = state.run({{"HINCRBY", key, id, 1}, {"HINCRBY", key, "total", 1}, {"HLEN", key}, {"EXPIRE", key, 2 * PERIOD},
    {"HMGET", "df:sig:alerts:" .. n - 1, id, "total"}, {"SADD", of_host, id}, {"EXPIRE", of_host, 2 * PERIOD}, {"SCARD", of_host},
    {"SISMEMBER", before, id}})
  if not r then return end
  local first = r[6] == 1 -- for the host, in this period
  local new = first and r[9] == 0
  local count, total = number(r[1]) + part * number(r[5][1]), number(r[2]) + part * number(r[5][2])
  local hosts, all = 0, 0
  if first then hosts, all = pairs_of(id, n, part) end
  if number(r[8]) > SIGNATURES then redis.command("SPOP", of_host) end
  local found = {count = math.floor(count + 0.5), total = math.floor(total + 0.5), score = 1 - count / total, threshold = THRESHOLD,
    unique_signatures = r[3] - 1, new_for_host = new, rare = new and state.upper(hosts - 1, all - 1) < RARE}
  state.add(event, "signature", found)
  if found.rare and not (type(alert.category) == "string" and NOISE[alert.category]) then report(event, who, alert, found, hosts) end
end

function loop(event)
  if event.event_type == "alert" then
    local alert = event.alert
    if type(alert) == "table" then judge(event, alert) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
