-- What Suricata's dns events say, whatever their version: v1 (before Suricata 5), v2 (5 to 7), v3 (8).
local dns = {}

-- name returns the name that was asked for, or nil.
function dns.name(d)
  if d.rrname then return d.rrname end
  local queries = d.queries or d.query -- v3; a list in v2 events of alerts
  local first = queries and queries[1]
  return first and first.rrname
end

-- is_answer tells answers from queries.
function dns.is_answer(d)
  return d.type == "answer" or d.type == "response" or d.qr == true
end

-- addresses calls f(address) for each address in an answer.
function dns.addresses(d, f)
  if d.answers then -- v2, v3
    for _, a in ipairs(d.answers) do
      if (a.rrtype == "A" or a.rrtype == "AAAA") and a.rdata then f(a.rdata) end
    end
  elseif d.rdata and (d.rrtype == "A" or d.rrtype == "AAAA") then -- v1: one event per answer
    f(d.rdata)
  end
end

return dns
