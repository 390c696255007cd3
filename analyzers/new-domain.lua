-- Reports the first time that a registered domain is seen: in DNS queries, TLS server names and HTTP hosts.
-- Takes: dns, tls, quic and http events; others pass
-- Emits: the event as it came, to default_analyzer; a finding per new domain, to default_output
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"query","rrname":"www.example.com"}}
-- {"event_type":"dns","src_ip":"10.0.0.1","dns":{"version":3,"type":"request",\
--   "queries":[{"rrname":"mail.example.com"}]}}
-- {"event_type":"tls","src_ip":"10.0.0.2","tls":{"sni":"shop.example.co.uk"}}
-- Example output:
-- findings {"event_type":"finding","finding":"new domain","domain":"example.com",\
--   "name":"www.example.com","src_ip":"10.0.0.1","seen_in":"dns"}
-- next {"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"query","rrname":"www.example.com"}}
-- next {"event_type":"dns","src_ip":"10.0.0.1","dns":{"version":3,"type":"request",\
--   "queries":[{"rrname":"mail.example.com"}]}}
-- findings {"event_type":"finding","finding":"new domain","domain":"example.co.uk",\
--   "name":"shop.example.co.uk","src_ip":"10.0.0.2","seen_in":"tls"}
-- next {"event_type":"tls","src_ip":"10.0.0.2","tls":{"sni":"shop.example.co.uk"}}

local dns = require 'lib/dns'
local eve = require 'lib/eve'

local LIMIT = 200000 -- domains that are remembered

local seen = sketch.lru(LIMIT)

local function member(t, key)
  if type(t) == "table" then return t[key] end
end

local function name_in(event)
  local kind = event.event_type
  if kind == "dns" then
    local d = event.dns
    return type(d) == "table" and not dns.is_answer(d) and dns.name(d)
  end
  if kind == "tls" then return member(event.tls, "sni") end
  if kind == "quic" then return member(event.quic, "sni") end
  if kind == "http" then return member(event.http, "hostname") end
end

function setup()
end

function loop(event)
  local name = name_in(event)
  local registered = type(name) == "string" and eve.registered(name) -- nil for addresses
  if registered and not seen:get(registered) then
    seen:put(registered, true)
    dragonfly.output_event(default_output, {timestamp = event.timestamp, event_type = "finding", finding = "new domain", domain = registered,
      name = name, src_ip = event.src_ip, flow_id = event.flow_id, seen_in = event.event_type})
  end
  dragonfly.analyze_event(default_analyzer, event)
end
