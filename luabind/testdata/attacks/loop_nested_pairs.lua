-- Tries: loops over lists that take hours together
-- Want: timeout

local list = {}
for i = 1, 20000 do list[i] = i end
function attack(e)
  local n = 0
  for _, a in ipairs(list) do
    for _, b in ipairs(list) do
      for _, c in ipairs(list) do n = n + a + b + c end
    end
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
