-- Times and bits: 25 fields of hours, os.date, numbers from hexadecimal digits, loops over remainders.
-- Example input:
-- {"timestamp":"2026-11-20T18:31:59.886695+0000","ip":"192.168.7.9","mac":"fe80"}
-- {"timestamp":"2026-11-20T03:31:59.886695+0100","ip":"10.255.0.1","mac":"00ff"}
-- Example output:
-- out {"timestamp":"2026-11-20T18:31:59.886695+0000","ip":"192.168.7.9","mac":"fe80","hour":18,"text":"0.9583,1,+0000","net":3232235520,"word":65152,"link_local":true,"date":"1970-01-01T00:00:00Z"}
-- out {"timestamp":"2026-11-20T03:31:59.886695+0100","ip":"10.255.0.1","mac":"00ff","hour":3,"text":"0.9583,1,+0100","net":184483840,"word":255,"link_local":false,"date":"1970-01-01T00:00:00Z"}

local utils = require 'analyzer/utils'

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "hours")
	local command = "HMSET dropin:hours"
	for hour = 0, 23 do
		command = command .. " " .. hour .. " 1"
	end
	assert(conn:command_line(command .. " total 24").name == 'OK')
end

function loop(msg)
	local hour, zone = msg.timestamp:match("T(%d+):.*([%+%-]%d+)$")
	msg.hour = tonumber(hour)
	local reply = conn:command_line("HMGET dropin:hours " .. msg.hour .. " total")
	local score = 1 - reply[1] / reply[2]
	msg.text = string.format("%.4f", score) .. "," .. reply[1] .. "," .. zone
	msg.net = utils.bitand(utils.ip2number(msg.ip), utils.ip2number("255.255.0.0"))
	msg.word = tonumber(msg.mac, 16)
	msg.link_local = utils.bitand(msg.word, tonumber("ffc0", 16)) == tonumber("fe80", 16)
	msg.date = os.date("!%Y-%m-%dT%TZ", 0)
	dragonfly.analyze_event(default_analyzer, msg)
end
