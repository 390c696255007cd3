-- Splits Suricata's events by type, each to the analyzer that wants it, and gives DNS events of all versions one form.
-- Takes: every EVE event. What has no event_type is no EVE event and is dropped.
-- Emits: the event to the analyzer that ROUTE names for its type, any other type to default_analyzer.
--
-- Bytes stay as they came, with one exception: a DNS event of Suricata 8 (v3) that has its question only in
-- dns.queries gets dns.rrname and dns.rrtype besides, where Suricata 7 and all scripts for it have them.
--
-- Example config:
-- default_analyzer = "count"
-- Example input:
-- {"event_type":"flow","flow_id":1598023201615874}
-- {"event_type":"http","http":{"hostname":"example.test"}}
-- {"event_type":"dns","dns":{"type":"query","rrname":"a.test","rrtype":"A"}}
-- {"event_type":"dns","dns":{"version":3,"type":"request","queries":[{"rrname":"b.test","rrtype":"AAAA"}]}}
-- {"event_type":"fileinfo","fileinfo":{"filename":"/a"}}
-- {"no":"event"}
-- Example output:
-- flows {"event_type":"flow","flow_id":1598023201615874}
-- context {"event_type":"http","http":{"hostname":"example.test"}}
-- context {"event_type":"dns","dns":{"type":"query","rrname":"a.test","rrtype":"A"}}
-- context {"event_type":"dns","dns":{"version":3,"type":"request","queries":[{"rrname":"b.test","rrtype":"AAAA"}],"rrname":"b.test","rrtype":"AAAA"}}
-- count {"event_type":"fileinfo","fileinfo":{"filename":"/a"}}

local dns = require 'lib/dns'

-- The split: tags of analyzers by event_type. Types that are not here go to default_analyzer.
local ROUTE = {
  alert = "context",
  dns = "context",
  tls = "context",
  http = "context",
  quic = "context",
  flow = "flows",
}

local function normalize(d)
  if type(d) == "table" and not d.rrname and d.queries then
    local question = dns.question(d)
    d.rrname, d.rrtype = question.rrname, question.rrtype
  end
end

function setup()
  default_analyzer = default_analyzer or ""
end

function loop(event)
  local kind = event.event_type
  if not kind then
    return
  end
  if kind == "dns" then
    normalize(event.dns)
  end
  dragonfly.analyze_event(ROUTE[kind] or default_analyzer, event)
end
