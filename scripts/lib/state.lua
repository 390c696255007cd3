-- Keeps what analyzers learn in the store, so that workers share it and it outlives a restart.
-- Takes: events and commands of Redis; `local state = require 'lib/state'`.
-- Emits: nothing; it is a library. A store that fails is told to the log, once a minute.
--
-- Keys: df:NAME:... of the analyzer NAME, each with a time to live; df:host:ADDRESS is the set of what was found about
-- a host within MARKED seconds, for priority.lua.

local state = {}

-- Networks that are ours, such as {"10.0.0.0/8", "203.0.113.0/24"}; nil: what is not routed on the Internet (RFC 1918,
-- 100.64.0.0/10, fc00::/7, link-local, loopback).
local HOME = nil
local MARKED = 86400 -- seconds
local Z = 1.96 -- quantile of the normal distribution: 95 % between -Z and Z

local home = HOME and net.cidr(HOME)
local next_log = 0 -- os.time()

local function complain(message)
  local now = os.time()
  if now < next_log then return end
  next_log = now + 60
  dragonfly.log_event({library = "state", message = message})
end

-- run carries out commands in one round trip and returns the replies, or nil if the store failed or refused one of them.
function state.run(commands)
  local replies, message = redis.pipeline(commands)
  if not replies then
    complain(message)
    return nil
  end
  for _, reply in ipairs(replies) do
    if type(reply) == "table" and reply.err then
      complain(reply.err)
      return nil
    end
  end
  return replies
end

-- once is true for the first call with a key within `seconds` of the clock, by any worker; false if the store failed.
function state.once(key, seconds)
  local reply, message = redis.command("SET", key, 1, "NX", "EX", seconds)
  if message then complain(message) end
  return reply == "OK"
end

-- mark notes a finding about a host, in a few words.
function state.mark(address, what)
  local key = "df:host:" .. address
  state.run({{"SADD", key, what}, {"EXPIRE", key, MARKED}})
end

-- address returns an address in its shortest form, fit for a key, or nil.
function state.address(x)
  if type(x) ~= "string" then return nil end
  return net.normalize(x)
end

-- inside tells whether an address is ours.
function state.inside(address)
  return net.is_internal(address, home)
end

-- member returns t[key], or nil if t is no table.
function state.member(t, key)
  if type(t) ~= "table" then return nil end
  return t[key]
end

-- time returns when an event was, in seconds since 1970; the clock, if it does not say.
function state.time(event)
  local text = event.timestamp
  return type(text) == "string" and dragonfly.date2epoch(text) or os.time()
end

-- day returns the date of an event in the time zone of its sensor, "2026-11-20".
function state.day(event)
  local text = event.timestamp
  return type(text) == "string" and text:match("^%d%d%d%d%-%d%d%-%d%d") or os.date("!%Y-%m-%d")
end

-- period returns the number of the period of `length` seconds that `time` lies in, and the part of the one before that
-- still counts in a window of that length which ends at `time`.
function state.period(time, length)
  local n = math.floor(time / length)
  return n, 1 - (time / length - n)
end

-- upper returns the upper end of Wilson's 95 % interval for a share of which k of n were seen: 1 if n is 0.
function state.upper(k, n)
  if n <= 0 then return 1 end
  local p, zz = k / n, Z * Z
  return (p + zz / (2 * n) + Z * math.sqrt(math.max(0, p * (1 - p)) / n + zz / (4 * n * n))) / (1 + zz / n)
end

-- add puts a value under analytics of an event.
function state.add(event, key, value)
  local under = event.analytics
  if type(under) == "table" then
    under[key] = value
  else
    event.analytics = {[key] = value}
  end
end

-- finding returns a finding about an event, to be filled in.
function state.finding(event, name)
  return {event_type = "finding", finding = name, timestamp = event.timestamp, flow_id = event.flow_id,
    src_ip = event.src_ip, dest_ip = event.dest_ip}
end

return state
