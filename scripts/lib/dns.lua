-- Reads the `dns` object of Suricata events, whichever version of Suricata wrote it.
-- Takes: the value of event.dns; `local dns = require 'lib/dns'`.
-- Emits: nothing; it is a library.
--
-- v1 (before Suricata 5)  {"type":"answer","rrname":"a.test","rrtype":"A","rdata":"192.0.2.1"}, one event per answer
-- v2 (Suricata 5 to 7)    {"type":"answer","rrname":"a.test","rrtype":"A","answers":[{"rrname":..,"rrtype":..,"rdata":..}]}
-- v2 in an alert          {"query":[{"rrname":"a.test",..}],"answer":{"rrname":..,"answers":[..]}}
-- v3 (Suricata 8)         {"type":"response","queries":[{"rrname":"a.test","rrtype":"A"}],"answers":[..]}

local dns = {}

local NONE = {} -- never written

local function list(value)
  if type(value) == "table" then
    return value
  end
  return NONE
end

-- question returns the table that holds rrname and rrtype of the question; it may be empty.
function dns.question(d)
  if d.rrname then
    return d
  end
  local first = list(d.queries)[1] or list(d.query)[1] or d.answer
  return list(first)
end

-- name returns the name that was asked for, or nil.
function dns.name(d)
  return dns.question(d).rrname
end

-- is_answer tells answers from questions.
function dns.is_answer(d)
  local kind = d.type
  return kind == "answer" or kind == "response"
end

-- answers returns the list of {rrname, rrtype, rdata, ttl} of an answer; it may be empty.
function dns.answers(d)
  local answers = d.answers
  if answers then
    return list(answers)
  end
  if d.rdata then
    return { d }
  end
  return list(list(d.answer).answers)
end

return dns
