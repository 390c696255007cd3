-- Caches that stay small: two generations of keys, of which the older is given up as a whole.
-- Takes: keys (strings) and values; `local lru = require 'lib/lru'`.
-- Emits: nothing; it is a library.
--
-- A key that is read or written moves to the young generation; when that holds `limit` keys it becomes the old one, and
-- what was old is dropped. So a cache holds the `limit` keys used last, and at most twice as many. Keys are never deleted
-- one by one: a table keeps the memory of deleted keys. Roughly 250 bytes per key, so 10000 keys cost 5 MB at most.

local lru = {}

-- new returns an empty cache for `limit` keys.
function lru.new(limit)
  return { limit = limit, n = 0, young = {}, old = {} }
end

-- put sets key to value, which must not be nil.
function lru.put(cache, key, value)
  local young = cache.young
  if young[key] == nil then
    local n = cache.n
    if n >= cache.limit then
      cache.old, young, n = young, {}, 0
      cache.young = young
    end
    cache.n = n + 1
  end
  young[key] = value
end

-- get returns the value of key, or nil.
function lru.get(cache, key)
  local value = cache.young[key]
  if value == nil then
    value = cache.old[key]
    if value ~= nil then
      lru.put(cache, key, value)
    end
  end
  return value
end

-- add adds n to the number at key and returns the sum.
function lru.add(cache, key, n)
  local sum = (lru.get(cache, key) or 0) + n
  lru.put(cache, key, sum)
  return sum
end

return lru
