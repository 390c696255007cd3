-- Tries: decodes for ever
-- Want: timeout

function attack(e)
  local text = '[' .. string.rep('1,', 2e5) .. '1]'
  while true do cjson.decode(text) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
