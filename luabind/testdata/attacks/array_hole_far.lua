-- Tries: an integer key beyond all arrays
-- Want: ok

function attack(e)
  kept = {}
  kept[67108863] = 1
  kept[2 ^ 40] = 1
  assert(kept[67108863] == 1 and #kept == 0)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
