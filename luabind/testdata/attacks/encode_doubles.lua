-- Tries: encodes a table of tables of tables that is 2^40 long
-- Want: memory

function attack(e)
  local t = {1}
  for i = 1, 40 do t = {t, t} end
  kept = cjson.encode(t)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
