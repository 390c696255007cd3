package luabind

import (
	"strings"
	"testing"
)

func TestDeepSourceIsRefused(t *testing.T) {
	f := func(source string, want bool) {
		t.Helper()
		_, err := compileScript("a.lua", source)
		if got := err == nil; got != want {
			t.Errorf("%s...: %v", source[:20], err)
		}
	}
	f("return "+strings.Repeat("(", 190)+"1"+strings.Repeat(")", 190), true)
	f("local x = 1 return x"+strings.Repeat(" + x", 10_000), true)
	f("local t = {"+strings.Repeat("{1},", 100_000)+"}", true)
	f("local x = 1 return x"+strings.Repeat(" + x", 1_000_000), false)
	f("if x then "+strings.Repeat("elseif x then ", 100_000)+"end", false)
}
