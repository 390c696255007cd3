package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A checkpoint file with values that no version writes is damaged: nothing may act on them.
func TestCheckpointsRefuseImpossiblePositions(t *testing.T) {
	for _, position := range []string{`{"offset":-1}`, `{"fingerprint_len":-1}`, `{"fingerprint_len":1025}`, `{"fingerprint_len":1000000000000}`} {
		path := filepath.Join(t.TempDir(), "c.json")
		if err := os.WriteFile(path, []byte(`{"version":1,"inputs":{"a":[`+position+`]}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCheckpoints(path)
		if err == nil || !strings.Contains(err.Error(), "kept as c.json.damaged") || c.Load("a") != nil {
			t.Errorf("%s: got %v, %v", position, c.Load("a"), err)
		}
	}
}

// FuzzCheckpoints: a file is damaged and moved aside, or its positions are plausible and survive being written again.
func FuzzCheckpoints(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"version":1,"inputs":{"a":[{"path":"/x","device":1,"inode":2,"fingerprint":"00","fingerprint_len":5,"offset":9,"finished":true}],"b":null,"":[]}}`,
		`{"version":2}`, `{"version":1,"inputs":{"a":[{"offset":-1}]}}`, `{"version":1,"inputs":{"a":[{"fingerprint_len":99999999999}]}}`, `[1]`, `{"version":1}x`} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "c.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCheckpoints(path)
		if c.root != nil {
			defer c.root.Close()
		}
		if err != nil {
			if kept, e := os.ReadFile(path + ".damaged"); e != nil || string(kept) != string(text) || len(c.old) != 0 {
				t.Fatalf("%q: %v, kept %q, %v", text, err, kept, e)
			}
			return
		}
		for input := range c.old {
			for _, p := range c.Load(input) {
				if p.Offset < 0 || p.FingerprintLen < 0 || p.FingerprintLen > MaxFingerprint || !p.Earlier {
					t.Fatalf("%q: %+v", text, p)
				}
			}
		}
		c.saved = nil
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenCheckpoints(path)
		if err != nil {
			t.Fatalf("%q became unreadable: %v", text, err)
		}
		defer again.root.Close()
		for input := range c.old {
			if got, want := again.Load(input), c.Load(input); len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %q: got %+v, want %+v", text, input, got, want)
			}
		}
	})
}
