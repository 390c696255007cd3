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

local dns = require 'scripts/lib/dns'
local recent = require 'scripts/lib/recent'

local FLOWS = 100000 -- flows that are remembered
local ADDRESSES = 100000 -- addresses whose name is remembered

local flows = recent.new(FLOWS) -- flow_id -> {sni, http_host, url, ssh}
local names = recent.new(ADDRESSES) -- address -> name that it was the answer to

local function learn_flow(event, key, value)
  local id = event.flow_id
  if not id or not value then return end
  local flow = recent.get(flows, id) or {}
  flow[key] = value
  recent.put(flows, id, flow)
end

local learn = {
  dns = function(event)
    local d = event.dns
    if d and dns.is_answer(d) then
      local name = dns.name(d)
      if name then dns.addresses(d, function(address) recent.put(names, address, name) end) end
    elseif d then
      learn_flow(event, "dns", dns.name(d))
    end
  end,
  tls = function(event) learn_flow(event, "sni", event.tls and event.tls.sni) end,
  quic = function(event) learn_flow(event, "sni", event.quic and event.quic.sni) end,
  http = function(event)
    local h = event.http
    if h then
      learn_flow(event, "http_host", h.hostname)
      learn_flow(event, "url", h.url)
    end
  end,
  ssh = function(event)
    local client = event.ssh and event.ssh.client
    learn_flow(event, "ssh", client and client.software_version)
  end,
}

local function context(event)
  local flow = recent.get(flows, event.flow_id) or {}
  local found = {dns = flow.dns or recent.get(names, event.dest_ip or "") or recent.get(names, event.src_ip or ""), sni = flow.sni,
    http_host = flow.http_host, url = flow.url, ssh = flow.ssh}
  if next(found) then return found end
end

function setup()
end

function loop(event)
  local kind = event.event_type
  if kind == "alert" then
    event.context = event.flow_id and context(event)
    dragonfly.output_event(default_output, event)
  else
    local f = learn[kind]
    if f then f(event) end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
