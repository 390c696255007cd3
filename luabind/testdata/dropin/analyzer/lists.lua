-- Lists: DEL, SADD, SISMEMBER, SET, GET, SETEX, EXISTS, TTL.
-- Example input:
-- {"ip":"192.0.2.1","name":"bad.test"}
-- {"ip":"192.0.2.2","name":"good.test"}
-- Example output:
-- out {"ip":"192.0.2.1","name":"bad.test","listed":true,"list":"feodo","ttl":300}
-- out {"ip":"192.0.2.2","name":"good.test","listed":false}

local utils = require 'analyzer/utils'

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "lists")
	conn:command("DEL", "dropin:bad")
	assert(conn:command_line("DEL dropin:bad") == 0)
	assert(conn:command_line("SADD dropin:bad bad.test worse.test bad.test") == 2)
	assert(conn:command_line("SADD dropin:bad bad.test") == 0)
	assert(conn:command_line("SET dropin:ip:192.0.2.1 feodo") == hiredis.status.OK)
	assert(conn:command("SADD", "dropin:ip:192.0.2.1", "x").type == hiredis.REPLY_ERROR)
end

function loop(msg)
	local reply = conn:command_line("SISMEMBER dropin:bad " .. msg.name)
	msg.listed = tonumber(reply) == 1
	reply = conn:command_line("GET dropin:ip:" .. msg.ip)
	if reply ~= hiredis.NIL then
		msg.list = reply
		assert(conn:command_line("SETEX dropin:dga:" .. msg.ip .. " 300 " .. "0.5").name == 'OK')
		assert(conn:command_line("EXISTS dropin:dga:" .. msg.ip) == 1)
		msg.ttl = conn:command("TTL", "dropin:dga:" .. msg.ip)
		if msg.ttl == 299 then msg.ttl = 300 end -- the clock went on
	else
		assert(reply.name == "NIL" and type(reply) == "table")
		assert(conn:command_line("EXISTS dropin:dga:" .. msg.ip) == 0)
	end
	dragonfly.analyze_event(default_analyzer, msg)
end
