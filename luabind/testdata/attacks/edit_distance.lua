-- Tries: compares long texts
-- Want: timeout

function attack(e)
  for i = 1, 10000 do text.edit_distance(string.rep('a', 65000), string.rep('b', 65000)) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
