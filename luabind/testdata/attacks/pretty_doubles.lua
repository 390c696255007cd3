-- Tries: indents such a text
-- Want: memory

function attack(e)
  local t = {1}
  for i = 1, 14 do t = {t, t} end
  for i = 1, 500 do t = {t} end
  kept = json.pretty(t, 16)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
