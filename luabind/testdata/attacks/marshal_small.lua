-- Tries: decodes a small marshalled value that becomes large
-- Want: memory

function attack(e)
  local t = {}
  for i = 1, 1e5 do t[i] = i % 2 == 0 end
  local text = marshal.encode(t)
  kept = {}
  while true do kept[#kept + 1] = marshal.decode(text) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
