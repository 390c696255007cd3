-- Functions that the other scripts here require as 'analyzer/utils'.

local utils = {}

function utils.split(s, sep)
	local out = {}
	for part in string.gmatch(s .. sep, "([^" .. sep .. "]*)" .. sep) do
		table.insert(out, part)
	end
	return out
end

-- bitand by remainders: Lua 5.1 has no operators for bits.
function utils.bitand(a, b)
	local result, bit = 0, 1
	while a > 0 and b > 0 do
		if a % 2 == 1 and b % 2 == 1 then
			result = result + bit
		end
		bit = bit * 2
		a = math.floor(a / 2)
		b = math.floor(b / 2)
	end
	return result
end

-- number of an IPv4 address; the parts are strings and become numbers in the arithmetic.
function utils.ip2number(ip)
	local a, b, c, d = ip:match("(%d+)%.(%d+)%.(%d+)%.(%d+)")
	return 2 ^ 24 * a + 2 ^ 16 * b + 2 ^ 8 * c + d
end

function utils.ping(conn, name)
	if conn:command("PING") ~= hiredis.status.PONG then
		dragonfly.log_event(name .. ": no answer from redis")
		os.exit()
	end
end

return utils
