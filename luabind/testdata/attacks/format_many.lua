-- Tries: a format that repeats a long text
-- Want: memory

function attack(e)
  local s = string.rep('x', 1e6)
  kept = string.format(string.rep('%s', 100), unpack((function()
    local t = {}
    for i = 1, 100 do t[i] = s end
    return t
  end)()))
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
