package luabind

import (
	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/domain"
)

// textModule measures and compares strings: what would be slow in Lua.
func textModule() module {
	return module{Name: "text", Doc: "Statistics and similarity of strings, by bytes.", Funcs: []hostFunc{
		{"entropy", "entropy(s) -> bits", "Shannon's entropy in bits per byte, 0 to 8.", `assert(text.entropy("aabb") == 1 and text.entropy("") == 0)`, func(L *lua.LState) int {
			L.Push(lua.LNumber(domain.Entropy(str(L, 1))))
			return 1
		}},
		{"stats", "stats(s) -> table", "Counts: length, letters, digits, vowels (aeiou), consonants, other, upper, distinct, hex (0-9a-fA-F), repeated (equal to the byte before), " +
			"changes (between letters, digits, others), turns (between vowels and consonants); longest runs: consonant_run, vowel_run, digit_run, repeat_run; entropy in bits per byte.",
			`local s = text.stats("abc123") assert(s.length == 6 and s.digits == 3 and s.digit_run == 3 and s.changes == 1)`, textStats},
		{"edit_distance", "edit_distance(a, b) -> n | nil, message", "Levenshtein's distance: bytes to insert, delete or replace. Texts of more than 65536 bytes give nil and a message.",
			`assert(text.edit_distance("paypal", "paypa1") == 1)`, func(L *lua.LState) int {
				n, err := domain.EditDistance(str(L, 1), str(L, 2))
				return number(L, float64(n), err)
			}},
		{"similarity", "similarity(a, b) -> share | nil, message", "1 - edit_distance / length of the longer: 1 for equal strings, 0 for those without anything in common. Limits as edit_distance.",
			`assert(text.similarity("google", "goog1e") > 0.8)`, func(L *lua.LState) int {
				a, b := str(L, 1), str(L, 2)
				n, err := domain.EditDistance(a, b)
				return number(L, 1-float64(n)/float64(max(len(a), len(b), 1)), err)
			}},
		{"jaccard", "jaccard(a, b [, n]) -> share | nil, message", "N-grams (n bytes, 1 to 8, default 2) found in both among those found in either: 0 to 1. Texts of more than 65536 bytes together give nil and a message.",
			`assert(text.jaccard("night", "nacht") == 1 / 7)`, func(L *lua.LState) int {
				share, err := domain.Jaccard(str(L, 1), str(L, 2), optInteger(L, 3, 2))
				return number(L, share, err)
			}},
		{"is_hex", "is_hex(s) -> boolean", "Whether s is hexadecimal digits only, and not empty.", `assert(text.is_hex("00fF") and not text.is_hex("0x1"))`, func(L *lua.LState) int {
			L.Push(lua.LBool(domain.IsHex(str(L, 1))))
			return 1
		}},
		{"is_base64", "is_base64(s) -> boolean", "Whether s is base64 (RFC 4648, also the URL alphabet, padding optional): not empty, of a possible length, no space.",
			`assert(text.is_base64("aGVsbG8=") and not text.is_base64("hello!"))`, func(L *lua.LState) int {
				L.Push(lua.LBool(domain.IsBase64(str(L, 1))))
				return 1
			}},
	}}
}

func number(L *lua.LState, n float64, err error) int {
	if err != nil {
		return failed(L, err)
	}
	L.Push(lua.LNumber(n))
	return 1
}

func textStats(L *lua.LState) int {
	s := domain.Measure(str(L, 1))
	t := L.CreateTable(0, 17)
	for _, f := range [...]struct {
		key string
		n   int
	}{
		{"length", s.Length}, {"letters", s.Letters}, {"digits", s.Digits}, {"vowels", s.Vowels}, {"consonants", s.Consonants}, {"other", s.Other},
		{"upper", s.Upper}, {"distinct", s.Distinct}, {"hex", s.Hex}, {"repeated", s.Repeated}, {"changes", s.Changes}, {"turns", s.Turns},
		{"consonant_run", s.ConsonantRun}, {"vowel_run", s.VowelRun}, {"digit_run", s.DigitRun}, {"repeat_run", s.RepeatRun},
	} {
		t.RawSetString(f.key, lua.LNumber(f.n))
	}
	t.RawSetString("entropy", lua.LNumber(s.Entropy))
	L.Push(t)
	return 1
}
