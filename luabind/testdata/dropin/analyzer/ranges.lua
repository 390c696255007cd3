-- Ranges of addresses in a sorted set: ZADD of each line of a file, ZRANGEBYSCORE ... +inf LIMIT 0 1 per event.
-- Example input:
-- {"ip":"1.0.0.7"}
-- {"ip":"1.0.0.255"}
-- {"ip":"1.0.1.0"}
-- {"ip":"223.255.255.255"}
-- {"ip":"224.0.0.1"}
-- Example output:
-- out {"ip":"1.0.0.7","code":"US","country":"United States"}
-- out {"ip":"1.0.0.255","code":"US","country":"United States"}
-- out {"ip":"1.0.1.0","code":"CH","country":"Switzerland, really"}
-- out {"ip":"223.255.255.255","code":"PL","country":"Poland"}
-- out {"ip":"224.0.0.1"}

local utils = require 'analyzer/utils'
local open = io.open

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "ranges")
	if conn:command_line("EXISTS dropin:ranges") == 0 then
		local file = open("analyzer/ranges.csv")
		local n = 0
		while true do
			local line = file:read()
			if line == nil then break end
			local first, last, code, name = line:match('"(%d+)","(%d+)","([^"]*)","([^"]*)"')
			assert(tonumber(last) >= tonumber(first), line)
			assert(conn:command("ZADD", "dropin:ranges", last, code .. "|" .. name .. "|" .. first) == 1)
			n = n + 1
		end
		file:close()
		assert(n == 3)
	end
	assert(conn:command_line("EXISTS dropin:ranges") == 1)
end

function loop(msg)
	local n = utils.ip2number(msg.ip)
	local reply = conn:command_line("ZRANGEBYSCORE dropin:ranges " .. n .. " +inf LIMIT 0 1")
	assert(type(reply) == 'table')
	if #reply > 0 then
		local parts = utils.split(reply[1], "|")
		if n >= tonumber(parts[3]) then
			msg.code, msg.country = parts[1], parts[2]
		end
	end
	dragonfly.analyze_event(default_analyzer, msg)
end
