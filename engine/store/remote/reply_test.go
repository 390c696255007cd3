package remote

import (
	"bytes"
	"strings"
	"testing"

	"dragonfly/engine/store"
)

func TestParseRefusesWhatIsNotRESP2(t *testing.T) {
	for _, in := range []string{"", "\r\n", "+", "+OK", "+OK\n", "?x\r\n", ":\r\n", ":x\r\n", ":99999999999999999999\r\n", "$5\r\nabc\r\n", "$x\r\n", "$3\r\nabcde", "$3\r\nabcXY",
		"$-2\r\n", "*-2\r\n", "*1\r\n", "*2\r\n:1\r\n", "*x\r\n", "*9223372036854775807\r\n", "$9223372036854775807\r\nabc\r\n", "%1\r\n+a\r\n+b\r\n", "_\r\n",
		strings.Repeat("*1\r\n", 1000) + ":1\r\n"} {
		if r, _, err := parse([]byte(in), 0); err == nil {
			t.Errorf("%.40q: got %s", in, show(r, nil))
		}
	}
}

// FuzzParse checks that a reply that parses is what AppendReply writes, and that what follows it is handed back.
func FuzzParse(f *testing.F) {
	for _, in := range []string{"+OK\r\n", "-ERR x\r\n", ":-1\r\n", "$-1\r\n", "*-1\r\n", "$0\r\n\r\n", "$3\r\na\r\n\r\n", "*0\r\n", "*3\r\n:1\r\n*1\r\n$1\r\nx\r\n-E\r\nrest"} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, rest, err := parse(in, 0)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(in, rest) {
			t.Fatalf("the rest of %q is %q", in, rest)
		}
		out := store.AppendReply(nil, r)
		again, tail, err := parse(out, 0)
		if err != nil || len(tail) != 0 || show(again, nil) != show(r, nil) {
			t.Fatalf("%q became %q: %s, %s, %v", in, out, show(r, nil), show(again, nil), err)
		}
	})
}
