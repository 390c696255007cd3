-- Counts: INCR, HINCRBY, HLEN, PFADD, PFCOUNT, ZINCRBY, ZRANK, ZCARD; a command with a blank in its name is an error.
-- Example input:
-- {"src":"10.0.0.1","dest":"10.0.0.9","bytes":10,"id":2019401}
-- {"src":"10.0.0.2","dest":"10.0.0.9","bytes":5,"id":2019401}
-- {"src":"10.0.0.2","dest":"10.0.0.9","bytes":6,"id":2019402}
-- {"src":"10.0.0.3","dest":"10.0.0.9","bytes":1598023201615874,"id":2019401}
-- Example output:
-- out {"src":"10.0.0.1","dest":"10.0.0.9","bytes":10,"id":2019401,"n":1,"count":1,"unique":1,"score":1,"peers":1,"rank":0,"of":1,"sum":"10"}
-- out {"src":"10.0.0.2","dest":"10.0.0.9","bytes":5,"id":2019401,"n":2,"count":2,"unique":1,"score":1,"peers":2,"rank":0,"of":2,"sum":"5"}
-- out {"src":"10.0.0.2","dest":"10.0.0.9","bytes":6,"id":2019402,"n":3,"count":1,"unique":2,"score":0.33333333333333,"peers":2,"rank":1,"of":2,"sum":"11"}
-- out {"src":"10.0.0.3","dest":"10.0.0.9","bytes":1598023201615874,"id":2019401,"n":4,"count":3,"unique":2,"score":0.75,"peers":3,"rank":2,"of":3,"sum":"1598023201615874"}

local utils = require 'analyzer/utils'

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "counts")
	local reply = conn:command("INCR dropin:n")
	assert(type(reply) == 'table' and reply.name ~= 'OK' and reply.name:find("unknown command"))
	reply = conn:command_line("HINCRBY dropin:hash")
	assert(reply.name:find("wrong number of arguments"))
end

function loop(msg)
	msg.n = conn:command_line("INCR dropin:n")
	msg.count = conn:command_line("HINCRBY dropin:sig " .. msg.id .. " 1")
	msg.unique = conn:command_line("HLEN dropin:sig")
	msg.score = msg.count / msg.n
	conn:command_line("PFADD dropin:peers:" .. msg.dest .. " " .. msg.src)
	msg.peers = conn:command_line("PFCOUNT dropin:peers:" .. msg.dest)
	msg.sum = conn:command_line("ZINCRBY dropin:bytes " .. msg.bytes .. " " .. msg.src)
	msg.rank = conn:command_line("ZRANK dropin:bytes " .. msg.src)
	msg.of = conn:command_line("ZCARD dropin:bytes")
	assert(conn:command_line("ZRANK dropin:bytes nobody") == hiredis.NIL)
	dragonfly.analyze_event(default_analyzer, msg)
end
