-- Remembers which names were looked up, and puts them onto alerts and flows to their addresses.
-- Takes: dns events of any version to learn from; flow and alert events get names; others pass
-- Emits: the event, to default_analyzer; flows and alerts with analytics.dns, if a name is known: names, and src or dest,
-- the name of that end; own_lookup tells whether the other end itself asked for it, else another host did
--
-- An address of a content network has many names: that which the host itself asked for is the best guess, else the one
-- asked for last. A name holds for the TTL of its record and GRACE more, counted in the time of the events from the answer
-- to the alert or the start of the flow, so that a replay of old files finds what was found then. It is the
-- name in the question; DNS v1 logs the name of the record instead, which behind a CNAME is the alias's target.
-- Look when: own_lookup is false or there is no name: software that was told an address does without DNS.
--
-- Keys: df:dns:{ADDRESS} and df:dns:{ADDRESS}:CLIENT (in braces what chooses the slot of a cluster), "FROM TILL NAME" in
-- seconds since 1970, with that time to live.
--
-- Example config:
-- default_analyzer = "next"
-- Example input:
-- {"event_type":"dns","src_ip":"10.0.0.1","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":2,"type":"answer","rrname":"www.a.test","answers":[{"rrname":"www.a.test","rrtype":"CNAME","ttl":60,\
--   "rdata":"cdn.test"},{"rrname":"cdn.test","rrtype":"A","ttl":60,"rdata":"192.0.2.1"}]}}
-- {"event_type":"dns","src_ip":"10.0.0.53","src_port":53,"dest_ip":"10.0.0.2","dest_port":5001,\
--   "dns":{"type":"answer","rrname":"b.test","rrtype":"AAAA","ttl":60,"rdata":"2001:db8::2"}}
-- {"event_type":"dns","src_ip":"10.0.0.2","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":3,"type":"response","queries":[{"rrname":"c.test","rrtype":"A"}],\
--   "answers":[{"rrname":"c.test","rrtype":"A","ttl":60,"rdata":"192.0.2.1"}]}}
-- {"event_type":"dns","src_ip":"10.0.0.1","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":2,"type":"answer","rrname":"d.test","grouped":{"A":["192.0.2.4"]}}}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1"}
-- {"event_type":"alert","src_ip":"2001:0db8::0002","dest_ip":"10.0.0.1"}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.4"}
-- {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.99"}
-- Example output:
-- next {"event_type":"dns","src_ip":"10.0.0.1","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":2,"type":"answer","rrname":"www.a.test","answers":[{"rrname":"www.a.test","rrtype":"CNAME","ttl":60,\
--   "rdata":"cdn.test"},{"rrname":"cdn.test","rrtype":"A","ttl":60,"rdata":"192.0.2.1"}]}}
-- next {"event_type":"dns","src_ip":"10.0.0.53","src_port":53,"dest_ip":"10.0.0.2","dest_port":5001,\
--   "dns":{"type":"answer","rrname":"b.test","rrtype":"AAAA","ttl":60,"rdata":"2001:db8::2"}}
-- next {"event_type":"dns","src_ip":"10.0.0.2","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":3,"type":"response","queries":[{"rrname":"c.test","rrtype":"A"}],\
--   "answers":[{"rrname":"c.test","rrtype":"A","ttl":60,"rdata":"192.0.2.1"}]}}
-- next {"event_type":"dns","src_ip":"10.0.0.1","src_port":5000,"dest_ip":"10.0.0.53","dest_port":53,\
--   "dns":{"version":2,"type":"answer","rrname":"d.test","grouped":{"A":["192.0.2.4"]}}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.1",\
--   "analytics":{"dns":{"names":["www.a.test"],"dest":"www.a.test","own_lookup":true}}}
-- next {"event_type":"alert","src_ip":"2001:0db8::0002","dest_ip":"10.0.0.1",\
--   "analytics":{"dns":{"names":["b.test"],"src":"b.test","own_lookup":false}}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.4",\
--   "analytics":{"dns":{"names":["d.test"],"dest":"d.test","own_lookup":true}}}
-- next {"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.99"}

local dns = require 'lib/dns'
local state = require 'lib/state'

local GRACE = 3600 -- seconds after the TTL, as programs keep addresses longer than they should
local LONGEST = 86400 -- seconds of a TTL that are believed
local TTL = 300 -- seconds, where the event has none
local ANSWERS = 64 -- of one event
local NAME = 255 -- bytes
local EARLY = 1 -- seconds that an event may be ahead of the answer
local SKIP = {loopback = true, unspecified = true} -- addresses that blockers answer, for any name

-- client returns the end that asked: sensors differ in which end of an answer is the source.
local function client(event)
  if event.src_port == 53 then return state.address(event.dest_ip) end
  return state.address(event.src_ip)
end

local function learn(event)
  local d = event.dns
  if type(d) ~= "table" or not dns.is_answer(d) then return end
  local name = dns.name(d)
  if type(name) ~= "string" or name == "" or #name > NAME then return end
  local asked, from, commands = client(event), math.floor(state.time(event)), {}
  for _, record in ipairs(dns.records(d)) do
    local address, ttl = state.address(record.rdata), record.ttl
    if address and #commands < 2 * ANSWERS and not SKIP[net.class(address)] then
      ttl = type(ttl) == "number" and ttl >= 0 and ttl or TTL
      ttl = math.floor(math.min(ttl, LONGEST)) + GRACE
      local key = "df:dns:{" .. address .. "}"
      local value = from .. " " .. from + ttl .. " " .. name
      commands[#commands + 1] = {"SETEX", key, ttl, value}
      if asked then commands[#commands + 1] = {"SETEX", key .. ":" .. asked, ttl, value} end
    end
  end
  if #commands > 0 then state.run(commands) end
end

-- valid returns the name in a value if it holds at `time`.
local function valid(value, time)
  if not value then return nil end
  local from, till, name = value:match("^(%-?%d+) (%-?%d+) (.*)$")
  if name and time >= from - EARLY and time <= tonumber(till) then return name end
  return nil
end

local function label(event)
  local src, dest = state.address(event.src_ip), state.address(event.dest_ip)
  if not src or not dest then return end
  local key, back = "df:dns:{" .. dest .. "}", "df:dns:{" .. src .. "}"
  local r = state.run({{"MGET", key .. ":" .. src, key}, {"MGET", back .. ":" .. dest, back}})
  if not r then return end
  if not (r[1][1] or r[1][2] or r[2][1] or r[2][2]) then return end
  local start = state.member(event.flow, "start")
  local time = type(start) == "string" and dragonfly.date2epoch(start) or state.time(event)
  local own_dest, own_src = valid(r[1][1], time), valid(r[2][1], time)
  local of_dest, of_src = own_dest or valid(r[1][2], time), own_src or valid(r[2][2], time)
  if not of_dest and not of_src then return end
  local names = {of_dest or of_src}
  if of_dest and of_src and of_dest ~= of_src then names[2] = of_src end
  state.add(event, "dns", {names = names, src = of_src, dest = of_dest, own_lookup = (own_dest or own_src) ~= nil})
end

function loop(event)
  local kind = event.event_type
  if kind == "dns" then
    learn(event)
  elseif kind == "flow" or kind == "alert" then
    label(event)
  end
  dragonfly.analyze_event(default_analyzer, event)
end
