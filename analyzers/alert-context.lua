-- Adds to each alert what its flow did before and what name the peer's address was looked up by.
-- Takes: any EVE event; it learns from dns, tls, quic, http and ssh
-- Emits: alerts with context = {dns, sni, http_host, url, ssh}, to default_output; all events, to default_analyzer
-- Example config:
-- default_analyzer = "next"
-- default_output = "alerts"
-- Example input:
-- {"event_type":"dns","flow_id":1,"dns":{"type":"answer","rrname":"evil.example",\
--   "answers":[{"rrtype":"A","rdata":"192.0.2.7"}]}}
-- {"event_type":"tls","flow_id":2,"tls":{"sni":"cdn.evil.example"}}
-- {"event_type":"alert","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.7",\
--   "alert":{"signature_id":1}}
-- {"event_type":"alert","flow_id":3,"src_ip":"10.0.0.1","dest_ip":"192.0.2.8",\
--   "alert":{"signature_id":1}}
-- Example output:
-- next {"event_type":"dns","flow_id":1,"dns":{"type":"answer","rrname":"evil.example",\
--   "answers":[{"rrtype":"A","rdata":"192.0.2.7"}]}}
-- next {"event_type":"tls","flow_id":2,"tls":{"sni":"cdn.evil.example"}}
-- alerts {"event_type":"alert","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.7",\
--   "alert":{"signature_id":1},"context":{"dns":"evil.example","sni":"cdn.evil.example"}}
-- next {"event_type":"alert","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.7",\
--   "alert":{"signature_id":1},"context":{"dns":"evil.example","sni":"cdn.evil.example"}}
-- alerts {"event_type":"alert","flow_id":3,"src_ip":"10.0.0.1","dest_ip":"192.0.2.8",\
--   "alert":{"signature_id":1}}
-- next {"event_type":"alert","flow_id":3,"src_ip":"10.0.0.1","dest_ip":"192.0.2.8",\
--   "alert":{"signature_id":1}}

local dns = require 'lib/dns'

local FLOWS = 5000 -- flows that are remembered, per kind of name
local ADDRESSES = 5000 -- addresses whose name is remembered

local dns_of, sni_of, host_of, url_of, ssh_of = -- by flow_id, as a string
  sketch.lru(FLOWS), sketch.lru(FLOWS), sketch.lru(FLOWS), sketch.lru(FLOWS), sketch.lru(FLOWS)
local names = sketch.lru(ADDRESSES) -- address -> name that it was the answer to

local function member(t, key)
  if type(t) == "table" then return t[key] end
end

local function learn(of, event, value)
  local id = event.flow_id
  if id and value then of:put(tostring(id), value) end
end

local function learn_answers(d, name)
  local answers = d.answers or {d} -- v1 has one answer per event
  for i = 1, #answers do
    local a = answers[i]
    if (a.rrtype == "A" or a.rrtype == "AAAA") and type(a.rdata) == "string" then names:put(a.rdata, name) end
  end
end

local function learn_dns(event)
  local d = event.dns
  local name = type(d) == "table" and dns.name(d)
  if not name then return end
  if dns.is_answer(d) then
    learn_answers(d, name)
  else
    learn(dns_of, event, name)
  end
end

local function context(event)
  local id = tostring(event.flow_id)
  local found = {dns = dns_of:get(id) or names:get(event.dest_ip) or names:get(event.src_ip),
    sni = sni_of:get(id), http_host = host_of:get(id), url = url_of:get(id), ssh = ssh_of:get(id)}
  if next(found) then return found end
end

function setup()
end

function loop(event)
  local kind = event.event_type
  if kind == "alert" then
    event.context = event.flow_id and context(event)
    dragonfly.output_event(default_output, event)
  elseif kind == "dns" then
    learn_dns(event)
  elseif kind == "tls" then
    learn(sni_of, event, member(event.tls, "sni"))
  elseif kind == "quic" then
    learn(sni_of, event, member(event.quic, "sni"))
  elseif kind == "http" then
    learn(host_of, event, member(event.http, "hostname"))
    learn(url_of, event, member(event.http, "url"))
  elseif kind == "ssh" then
    learn(ssh_of, event, member(member(event.ssh, "client"), "software_version"))
  end
  dragonfly.analyze_event(default_analyzer, event)
end
