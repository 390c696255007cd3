-- HMSET of 250 fields in one command line, HMGET and HMSET per event; names from a file.
-- Example input:
-- {"analytics":{"ip_geo":{"location":{"country_code":"AB"}}}}
-- {"analytics":{"ip_geo":{"location":{"country_code":"CD"}}}}
-- {"analytics":{"ip_geo":{"location":{"country_code":"AB"}}}}
-- {"analytics":{}}
-- Example output:
-- out {"analytics":{"ip_geo":{"location":{"country_code":"AB"}}},"count":"1","total":"1","score":0}
-- out {"analytics":{"ip_geo":{"location":{"country_code":"CD"}}},"count":"1","total":"2","score":0.5}
-- out {"analytics":{"ip_geo":{"location":{"country_code":"AB"}}},"count":"2","total":"3","score":0.33333333333333}
-- out {"analytics":{}}

require 'string'
require 'math'
local utils = require 'analyzer/utils'

local hash = "dropin:country"

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "countries")
	local file, err = io.open("analyzer/codes.txt", 'rb')
	assert(file, err)
	local command, n = "HMSET " .. hash, 0
	for code in file:read("*a"):gmatch("[^\r\n]+") do
		command = command .. " " .. code .. " 0"
		n = n + 1
	end
	file:close()
	assert(n == 249)
	local reply = conn:command_line(command .. " total 0")
	if type(reply) == 'table' and reply.name ~= 'OK' then
		error(reply.name)
	end
	assert(conn:command_line("HLEN " .. hash) == 250)
end

function loop(msg)
	local geo = msg.analytics.ip_geo
	if geo then
		local code = geo.location.country_code
		local reply = conn:command_line("HMGET " .. hash .. " " .. code .. " total missing")
		assert(type(reply) == 'table' and table.getn(reply) == 3 and reply[3] == hiredis.NIL)
		local count, total = reply[1] + 1, reply[2] + 1 -- strings
		reply = conn:command_line("HMSET " .. hash .. " " .. code .. " " .. count .. " total " .. total)
		assert(reply.name == 'OK' and reply == hiredis.status.OK)
		reply = conn:command("HMGET", hash, code, "total")
		msg.count, msg.total = reply[1], reply[2]
		msg.score = 1 - count / total
	end
	dragonfly.analyze_event(default_analyzer, msg)
end
