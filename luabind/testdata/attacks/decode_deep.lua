-- Tries: decodes a text of nested arrays
-- Want: error

function attack(e)
  kept = cjson.decode(string.rep('[', 1e6))
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
