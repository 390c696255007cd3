-- ML.FOREST.ADD with one command line of some 200 KB per tree, RUN per event. The trees and what they answer are made by
-- the test that runs this.
-- Example input:
-- {"features":"1:0","want":null}
-- Example output:
-- out {"features":"1:0","want":null}

local open = io.open
local utils = require 'analyzer/utils'

function setup()
	conn = hiredis.connect()
	utils.ping(conn, "forest")
	for i = 1, 2 do
		local file = open("analyzer/forest-" .. i .. ".model", "r")
		local model = file:read("*a")
		file:close()
		assert(#model > 150000, #model)
		local reply = conn:command_line("ML.FOREST.ADD dropin:forest " .. (i - 1) .. " " .. model)
		if type(reply) == 'table' and reply.name ~= 'OK' then
			error(reply.name)
		end
	end
end

function loop(msg)
	local reply = conn:command_line("ML.FOREST.RUN dropin:forest " .. msg.features .. " REGRESSION")
	local want = tonumber(msg.want)
	if want then
		assert(math.abs(tonumber(reply) - want) < 1e-12, reply .. " instead of " .. want)
	end
	dragonfly.analyze_event(default_analyzer, msg)
end
