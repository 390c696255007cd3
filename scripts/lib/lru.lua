-- Caches that stay small, under the names of earlier versions: new scripts take sketch.lru itself.
-- Takes: keys (strings) and values; `local lru = require 'lib/lru'`.
-- Emits: nothing; it is a library.
--
-- lru.new(limit) returns a cache of the `limit` keys used last; lru.put(cache, key, value), lru.get(cache, key) -> value or
-- nil, lru.add(cache, key, n) -> sum.

local cache = sketch.lru(1)

return {new = sketch.lru, put = cache.put, get = cache.get, add = cache.incr}
