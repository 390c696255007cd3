-- Names the things that every EVE event has: its conversation, its ends, its place in a finding.
-- Takes: events; `local eve = require 'lib/eve'`.
-- Emits: nothing; it is a library.

local eve = {}

-- flow returns flow_id as a string, fit as a key, or nil for events that belong to no flow.
function eve.flow(event)
  local id = event.flow_id
  if id then
    return tostring(id)
  end
end

-- pair returns "src_ip dest_ip:port/PROTO", the key of one client talking to one service.
function eve.pair(event)
  return (event.src_ip or "?") .. " " .. eve.service(event)
end

-- service returns "dest_ip:port/PROTO", or "dest_ip/PROTO" for protocols without ports.
function eve.service(event)
  local port, proto = event.dest_port, event.proto or "?"
  if port then
    return (event.dest_ip or "?") .. ":" .. port .. "/" .. proto
  end
  return (event.dest_ip or "?") .. "/" .. proto
end

-- own returns the table event.dragonfly, where analyzers put what they add; it is made if missing.
function eve.own(event)
  local own = event.dragonfly
  if type(own) ~= "table" then
    event.dragonfly = {}
    own = event.dragonfly
  end
  return own
end

-- notice returns a finding about event: an event of type "notice" with the same time, flow and addresses.
function eve.notice(event, name, message)
  return {
    timestamp = event.timestamp, event_type = "notice", flow_id = event.flow_id,
    community_id = event.community_id, src_ip = event.src_ip, src_port = event.src_port,
    dest_ip = event.dest_ip, dest_port = event.dest_port, proto = event.proto,
    notice = { name = name, message = message },
  }
end

-- registered returns the registered domain of a host name by the public suffix list, in lower case: "example.co.uk"
-- of "www.Example.co.uk."; nil for an address, a reverse zone, a single label or a public suffix.
eve.registered = domain.registered

return eve
