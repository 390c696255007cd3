-- What Suricata's dns events say, whatever their version: v1 (before Suricata 5), v2 (5 to 7), v3 (8).
local dns = {}

-- name returns the name that was asked for, or nil.
function dns.name(d)
  if type(d.rrname) == "string" then return d.rrname end
  local queries = d.queries or d.query -- v3; a list in v2 events of alerts
  local first = type(queries) == "table" and queries[1]
  return type(first) == "table" and first.rrname or nil
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

-- records returns the A and AAAA records of an answer as {rdata=, ttl=}; what was only grouped by type has no ttl.
function dns.records(d)
  local found = {}
  local answers, grouped = d.answers, d.grouped
  if type(answers) ~= "table" then answers = {d} end -- v1
  for i = 1, #answers do
    local a = answers[i]
    if type(a) == "table" and (a.rrtype == "A" or a.rrtype == "AAAA") and a.rdata then found[#found + 1] = a end
  end
  if #found > 0 or type(grouped) ~= "table" then return found end
  for _, kind in ipairs({"A", "AAAA"}) do
    local list = grouped[kind]
    if type(list) == "table" then
      for i = 1, #list do found[#found + 1] = {rdata = list[i]} end
    end
  end
  return found
end

return dns
