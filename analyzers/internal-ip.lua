-- Tells which ends of an event are inside the home networks, as dragonfly-mle's internal-ip does.
-- Takes: any event with src_ip and dest_ip; others pass as they came
-- Emits: the event, to default_analyzer, with analytics.internal_ips, the inner addresses, source first, and
-- analytics.internal_ip_code: 0 only the source is inside, 1 only the destination, 2 both, 3 none
-- Example config:
-- default_analyzer = "next"
-- Example input:
-- {"event_type":"flow","src_ip":"192.168.0.104","dest_ip":"8.8.8.8"}
-- {"event_type":"flow","src_ip":"192.168.0.199","dest_ip":"192.168.0.1","analytics":{"x":1.0}}
-- {"event_type":"flow","src_ip":"8.8.8.8","dest_ip":"192.168.0.55"}
-- {"event_type":"flow","src_ip":"fe80:0000:0000:0000:103b:e444:750c:7f19","dest_ip":"2600::1"}
-- {"event_type":"flow","src_ip":"8.8.8.8","dest_ip":"2600::1"}
-- {"event_type":"stats","stats":{"uptime":1}}
-- Example output:
-- next {"event_type":"flow","src_ip":"192.168.0.104","dest_ip":"8.8.8.8",\
--   "analytics":{"internal_ips":["192.168.0.104"],"internal_ip_code":0}}
-- next {"event_type":"flow","src_ip":"192.168.0.199","dest_ip":"192.168.0.1",\
--   "analytics":{"x":1.0,"internal_ips":["192.168.0.199","192.168.0.1"],"internal_ip_code":2}}
-- next {"event_type":"flow","src_ip":"8.8.8.8","dest_ip":"192.168.0.55",\
--   "analytics":{"internal_ips":["192.168.0.55"],"internal_ip_code":1}}
-- next {"event_type":"flow","src_ip":"fe80:0000:0000:0000:103b:e444:750c:7f19","dest_ip":"2600::1",\
--   "analytics":{"internal_ips":["fe80:0000:0000:0000:103b:e444:750c:7f19"],"internal_ip_code":0}}
-- next {"event_type":"flow","src_ip":"8.8.8.8","dest_ip":"2600::1",\
--   "analytics":{"internal_ips":[],"internal_ip_code":3}}
-- next {"event_type":"stats","stats":{"uptime":1}}

-- Networks that are inside, such as {"10.0.0.0/8", "71.219.167.0/24", "fd00::/8"}; nil: what is not routed on the
-- Internet, so RFC 1918, 100.64.0.0/10, fc00::/7, link-local and loopback.
local HOME = nil
local UNDER = "analytics" -- where the two fields go; dragonfly-mle's own analyzers look under "ip_info"

local home = HOME and net.cidr(HOME)

function loop(event)
  local src, dest = event.src_ip, event.dest_ip
  if src and dest then
    local found = net.internal(src, dest, home)
    local under = event[UNDER]
    if type(under) == "table" then
      under.internal_ips, under.internal_ip_code = found.internal_ips, found.internal_ip_code
    else
      event[UNDER] = found
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
