-- Counts invalid certificates per server and per client, and reports servers that show one.
-- Takes: tls events; others pass
-- Emits: the event, to default_analyzer, with analytics.invalid_cert if something is wrong: reasons, and how often each
-- was seen, server and client; a finding "invalid certificate", to default_output, once per server and day
--
-- Reasons: "expired" and "not yet valid" at the time of the event; "self-signed": issuer and subject are equal; "other
-- name": the name that was asked for (SNI) is none of tls.subjectaltname. Without that list (before Suricata 8) names
-- are not judged, because a certificate has many and its subject only one. Resumed sessions and TLS 1.3 show no
-- certificate and are not counted, nor are events of a clock that stands before 2000.
-- Look when: the server is outside and more than one reason is given, or a client has many; appliances in the own
-- network are self-signed by habit, and are reported once a day until they are in IGNORE.
--
-- Keys: df:cert:server:ADDRESS and df:cert:client:ADDRESS, hashes of four counts, gone KEEP after the last.
--
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"tls","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "tls":{"subject":"CN=a.test","issuerdn":"CN=a.test","sni":"a.test",\
--   "notbefore":"2020-01-01T00:00:00","notafter":"2026-11-20T09:59:59"}}
-- {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"tls","src_ip":"10.0.0.2","dest_ip":"192.0.2.1",\
--   "tls":{"subject":"CN=b.test","issuerdn":"CN=CA","sni":"c.test","subjectaltname":["b.test","*.b.test"],\
--   "notbefore":"2020-01-01T00:00:00","notafter":"2026-11-20T10:00:01"}}
-- {"event_type":"tls","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","tls":{"session_resumed":true,"sni":"c.test"}}
-- Example output:
-- findings {"event_type":"finding","finding":"invalid certificate","timestamp":"2026-11-20T10:00:00.000000+0000",\
--   "src_ip":"10.0.0.1","dest_ip":"192.0.2.1","server":"192.0.2.1","server_inside":false,\
--   "reasons":["expired","self-signed"],"sni":"a.test","subject":"CN=a.test","issuerdn":"CN=a.test",\
--   "notbefore":"2020-01-01T00:00:00","notafter":"2026-11-20T09:59:59","days":0}
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"tls","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "tls":{"subject":"CN=a.test","issuerdn":"CN=a.test","sni":"a.test",\
--   "notbefore":"2020-01-01T00:00:00","notafter":"2026-11-20T09:59:59"},\
--   "analytics":{"invalid_cert":{"reasons":["expired","self-signed"],\
--   "server":{"expired":1,"self-signed":1},"client":{"expired":1,"self-signed":1}}}}
-- next {"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"tls","src_ip":"10.0.0.2","dest_ip":"192.0.2.1",\
--   "tls":{"subject":"CN=b.test","issuerdn":"CN=CA","sni":"c.test","subjectaltname":["b.test","*.b.test"],\
--   "notbefore":"2020-01-01T00:00:00","notafter":"2026-11-20T10:00:01"},\
--   "analytics":{"invalid_cert":{"reasons":["other name"],"server":{"other name":1},"client":{"other name":1}}}}
-- next {"event_type":"tls","src_ip":"10.0.0.2","dest_ip":"192.0.2.1","tls":{"session_resumed":true,"sni":"c.test"}}

local state = require 'lib/state'

local IGNORE = {} -- servers that are known, as ["10.0.0.5"] = true
local KEEP = 7 * 86400 -- seconds after the last invalid certificate
local QUIET = 86400 -- seconds without another finding about the server
local EPOCH = 946684800 -- 2000-01-01: clocks before that are wrong

-- utc reads the time of a certificate, which has no zone.
local function utc(text)
  return type(text) == "string" and text:find("^%d%d%d%d%-") and dragonfly.date2epoch(text:gsub("Z$", "") .. "Z") or nil
end

-- covers tells whether a name of a certificate is that of a server; "*" stands for one label (RFC 6125).
local function covers(pattern, name)
  if type(pattern) ~= "string" then return false end
  pattern = pattern:lower()
  if pattern == name then return true end
  return pattern:sub(1, 2) == "*." and name:match("^[^.]+(%..+)$") == pattern:sub(2)
end

-- other_name tells whether a name is none of the list.
local function other_name(list, name)
  if type(list) ~= "table" or #list == 0 or type(name) ~= "string" then return false end
  name = name:lower():gsub("%.$", "")
  for _, pattern in ipairs(list) do
    if covers(pattern, name) then return false end
  end
  return true
end

-- reasons returns what is wrong, and by how many days the certificate is out of its time.
local function reasons(tls, now)
  local from, to = utc(tls.notbefore), utc(tls.notafter)
  local list, days = {}, nil
  if to and now > to then
    list[1], days = "expired", (now - to) / 86400
  elseif from and now < from then
    list[1], days = "not yet valid", (from - now) / 86400
  end
  local subject = tls.subject
  if type(subject) == "string" and subject ~= "" and subject == tls.issuerdn then list[#list + 1] = "self-signed" end
  if other_name(tls.subjectaltname, tls.sni) then list[#list + 1] = "other name" end
  return list, days and math.floor(days)
end

local function count(server, client, list)
  local keys, commands = {"df:cert:server:" .. server, "df:cert:client:" .. client}, {}
  for k = 1, 2 do
    for i = 1, #list do commands[#commands + 1] = {"HINCRBY", keys[k], list[i], 1} end
  end
  for k = 1, 2 do commands[#commands + 1] = {"EXPIRE", keys[k], KEEP} end
  local r = state.run(commands)
  if not r then return nil end
  local of_server, of_client = {}, {}
  for i = 1, #list do
    of_server[list[i]] = r[i]
    of_client[list[i]] = r[#list + i]
  end
  return of_server, of_client
end

local function report(event, tls, server, client, list, days)
  if IGNORE[server] or not state.once("df:cert:told:" .. server .. ":" .. state.day(event), QUIET) then return end
  local inside = state.inside(server)
  if not inside then state.mark(client, "invalid certificate") end
  local finding = state.finding(event, "invalid certificate")
  finding.server, finding.server_inside, finding.reasons, finding.days = server, inside, list, days
  finding.sni, finding.subject, finding.issuerdn = tls.sni, tls.subject, tls.issuerdn
  finding.notbefore, finding.notafter = tls.notbefore, tls.notafter
  dragonfly.output_event(default_output, finding)
end

local function look(event, tls)
  local client, server, now = state.address(event.src_ip), state.address(event.dest_ip), state.time(event)
  if not client or not server or now < EPOCH then return end
  local list, days = reasons(tls, now)
  if #list == 0 then return end
  local of_server, of_client = count(server, client, list)
  if not of_server then return end
  state.add(event, "invalid_cert", {reasons = list, server = of_server, client = of_client})
  report(event, tls, server, client, list, days)
end

function loop(event)
  if event.event_type == "tls" then
    local tls = event.tls
    if type(tls) == "table" and (tls.subject or tls.notafter) then look(event, tls) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
