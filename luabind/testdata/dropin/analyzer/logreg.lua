-- ML.LOGREG.SET with 26 arguments, PREDICT with 24 features of a name, SETEX of what came out.
-- Example input:
-- {"name":"aaaa.test"}
-- {"name":"xkcdwrqvtnb.test"}
-- {"name":"zz"}
-- Example output:
-- out {"name":"aaaa.test","score":"*","kept":true}
-- out {"name":"xkcdwrqvtnb.test","score":"*","kept":true}
-- out {"name":"zz","score":"0.62245933120185459","kept":true}

local utils = require 'analyzer/utils'

local coefficients = {}

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "logreg")
	local command = "ML.LOGREG.SET dropin:model 0.5"
	for i = 1, 24 do
		coefficients[i] = (i - 12) / 7
		command = command .. " " .. string.format("%.17g", coefficients[i])
	end
	local reply = conn:command_line(command)
	assert(type(reply) == 'table' and reply.name == 'OK', tostring(reply))
end

-- features are the shares of the letters a to x.
local function features(name)
	local t = {}
	for i = 1, 24 do
		local _, n = string.gsub(name, string.char(96 + i), "")
		t[i] = n / string.len(name)
	end
	return t
end

function loop(msg)
	local t = features(msg.name)
	assert(table.getn(t) == 24)
	local line, z = "ML.LOGREG.PREDICT dropin:model", 0.5
	for i = 1, table.getn(t) do
		line = line .. " " .. string.format("%.17g", t[i])
		z = z + coefficients[i] * t[i]
	end
	local reply = conn:command_line(line)
	assert(type(reply) == 'string', tostring(reply))
	assert(math.abs(reply - 1 / (1 + math.exp(-z))) < 1e-12, reply)
	msg.score = reply
	conn:command_line("SETEX dropin:dga:" .. msg.name .. " 60 " .. reply)
	msg.kept = conn:command_line("GET dropin:dga:" .. msg.name) == reply
	dragonfly.analyze_event(default_analyzer, msg)
end
