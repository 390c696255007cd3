package luabind

import (
	"testing"
)

func TestHashFromLua(t *testing.T) {
	// Murmur2: the vectors of Kafka's UtilsTest; HMAC: RFC 4231, case 2; FNV: its authors' test suite.
	_, _, err := load(t, "a.lua", `
		local function signed(n) return n end
		for text, want in pairs({["21"] = -973932308, foobar = -790332482, ["a-little-bit-long-string"] = -985981536,
			["a-little-bit-longer-string"] = -1486304829, ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"] = -58897971, abc = 479470107}) do
			if want < 0 then want = want + 2147483648 end
			assert(hash.murmur2(text) == want, text .. " " .. hash.murmur2(text))
		end
		assert(hash.hmac_sha256("Jefe", "what do ya want for nothing?") == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
		assert(hash.sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
		assert(hash.fnv1a("foobar") == 0xbf9cf968 and hash.fnv1a("") == 0x811c9dc5)
		assert(hash.xxh64("xxhash", 20141025) == "b559b98d844e0635" and not pcall(hash.xxh64, "a", -1) and not pcall(hash.xxh64, "a", 0.5))
		assert(hash.md5(5) == hash.md5("5") and not pcall(hash.md5, nil) and not pcall(hash.md5, {}) and not pcall(hash.md5))
		local n = {}
		for i = 1, 10000 do local b = hash.bucket(i, 10) assert(b == math.floor(b)) n[b] = (n[b] or 0) + 1 end
		for b = 0, 9 do assert(math.abs(n[b] - 1000) < 150, n[b]) end
		assert(hash.bucket("x", 1) == 0 and not pcall(hash.bucket, "x", 0) and not pcall(hash.bucket, "x", 2.5) and not pcall(hash.bucket, "x"))
		local all = {} for i = 0, 255 do all[#all + 1] = string.char(i) end
		all = table.concat(all)
		assert(hash.unhex(hash.hex(all)) == all and hash.unbase64(hash.base64(all)) == all)
		assert(hash.unbase64("-_-_") == hash.unbase64("+/+/") and hash.unbase64("YW\nI=\r\n") == "ab")
		local none, message = hash.unbase64("a*")
		assert(none == nil and message)
		none, message = hash.unhex("zz")
		assert(none == nil and message)
		function loop() end`)
	if err != nil {
		t.Error(err)
	}
}

func TestSketchFromLua(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		local cache, window = sketch.lru(2, 10), sketch.window(60, 6, 3)
		function setup()
			for _, bad in ipairs({
				function() sketch.hll(3) end, function() sketch.topk() end, function() sketch.topk(0) end, function() sketch.topk(1.5) end, function() sketch.topk("x") end,
				function() sketch.cms(1e9, 4) end, function() sketch.cms(10) end, function() sketch.quantiles(0) end, function() sketch.window(0, 1) end,
				function() sketch.window(10) end, function() sketch.lru(0) end, function() sketch.lru(10, -1) end, function() sketch.counter() end,
				function() sketch.hll():merge(sketch.hll(10)) end, function() sketch.hll():merge(5) end, function() sketch.topk(1):add("a", -1) end,
				function() sketch.topk(1):add() end, function() sketch.topk(1):add({}) end, function() sketch.topk(1):add("a", 0/0) end,
				function() sketch.quantiles():quantile(2) end, function() sketch.quantiles():add("x") end, function() sketch.quantiles():add() end,
				function() sketch.quantiles():add(1/0) end, function() sketch.quantiles():decay(-1) end, function() sketch.lru(5):put(nil, 1) end,
				function() sketch.lru(5):put("a") end, function() local c = sketch.lru(5) c:put("a", {}) c:incr("a") end,
				function() sketch.window(5, 1):add("a", {}) end, function() sketch.lru.get(5, "a") end, function() sketch.hll().add(sketch.topk(1), "a") end,
			}) do assert(not pcall(bad), _) end
			local ok, message = pcall(sketch.hll, 3)
			assert(message:find("precision is 3, want 4 to 16", 1, true), message)
		end
		function loop(e)
			assert(sketch.hll():add(e.missing) == false and sketch.cms(10, 2):add(e.null) == nil and sketch.counter(5):incr(e.missing) == nil)
			sketch.topk(5):add(e.missing)
			sketch.quantiles():add(e.missing)
			assert(cache:get(e.missing) == nil and window:add(e.missing, e.timestamp) == nil and window:count(e.missing) == 0)
			cache:put("a", "x", 100) cache:put("b", e.list, 100)
			assert(cache:get("a", 109) == "x" and cache:get("b", 109) == e.list and cache:get("a", 110) == nil and cache:len() == 1)
			cache:put(e.big, 1, 100)
			assert(cache:get("98765432109876543210", 100) == 1 and cache:incr(e.big, 0.5, 100) == 1.5)
			cache:put("c", 1, 100)
			assert(cache:get("b", 100) == nil, "the least recently used stays")
			cache:put("c", nil) assert(cache:get("c", 100) == nil)
			assert(window:add("k", e.timestamp) == 1 and window:add("k", "2026-11-20T18:32:29.9+0000") == 2)
			assert(window:count("k", "2026-11-20T18:32:49Z") == 2 and window:count("k", "2026-11-20T18:33:19Z") == 1)
			assert(window:add("k", 5) == 2, "far too late")
			assert(window:add("now") == 1 and window:count("now") == 1 and window:count("now", "no time") == 1)
			local t = sketch.topk(3)
			for i, k in ipairs({"a", "b", "a", 7}) do t:add(k, i) end
			local list = t:list(2)
			assert(#list == 2 and list[1].key == "7" and list[1].count == 4 and list[2].key == "a" and list[2].count == 4 and t:total() == 10)
			local c = sketch.counter(2)
			c:incr("a", 5) c:incr("b") c:incr("c", -2)
			local n, given = c:len()
			assert(n == 2 and given == 1 and c:get("a") == 0 and c:top(1)[1].key == "b" and c:top()[2].count == -2)
			local q = sketch.quantiles()
			for i = 1, 1001 do q:add(i) end
			assert(math.abs(q:median() - 501) < 6 and math.abs(q:mad() - 250) < 15 and q:max() == 1001 and q:min() == 1 and q:count() == 1001)
			dragonfly.output_event("out", {top = list})
		end`)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{"timestamp":"2026-11-20T18:31:59.886695+0000","null":null,"list":[1],"big":98765432109876543210}`); err != nil {
		t.Fatal(err)
	}
	if want := `{"top":[{"key":"7","count":4,"error":0},{"key":"a","count":4,"error":0}]}`; out.Emitted[0].Body != want {
		t.Errorf("got %s", out.Emitted[0].Body)
	}
}
