-- Tries: decodes a small text that becomes large
-- Want: memory

function attack(e)
  kept = cjson.decode('[' .. string.rep('{"a":1},', 2e5) .. '1]')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
