-- A table that forgets: it keeps between `limit` and twice `limit` of the keys that were put last. Deleting single keys
-- from a long-lived table does not give their memory back; dropping a whole table does.
local recent = {}

function recent.new(limit)
  return {limit = limit, count = 0, new = {}, old = {}}
end

function recent.put(r, key, value)
  if r.new[key] == nil then
    r.count = r.count + 1
    if r.count > r.limit then
      r.old, r.new, r.count = r.new, {}, 1
    end
  end
  r.new[key] = value
end

function recent.get(r, key)
  local value = r.new[key]
  if value == nil then value = r.old[key] end
  return value
end

return recent
