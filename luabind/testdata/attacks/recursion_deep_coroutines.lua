-- Tries: many coroutines, each with a deep stack of pcalls
-- Want: memory
-- Peak: 300 MiB
local function deep(n)
  if n == 0 then coroutine.yield() else pcall(deep, n - 1) end
end
function attack(e)
  kept = {}
  while true do
    local co = coroutine.create(deep)
    kept[#kept + 1] = co
    coroutine.resume(co, 2000)
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
