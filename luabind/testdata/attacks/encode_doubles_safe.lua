-- Tries: the same with errors as values
-- Want: memory

function attack(e)
  local t = {1}
  for i = 1, 40 do t = {t, t} end
  for i = 1, 10 do kept = cjson_safe.encode(t) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
