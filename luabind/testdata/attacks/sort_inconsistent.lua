-- Tries: a comparator that contradicts itself
-- Want: ok or error

function attack(e)
  local t = {}
  for i = 1, 1000 do t[i] = i % 17 end
  table.sort(t, function() return true end)
  table.sort(t, function(a, b) return a ~= b end)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
