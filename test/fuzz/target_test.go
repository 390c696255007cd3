package main

import (
	"errors"
	"strings"
	"testing"
)

func TestParseListFindsTargets(t *testing.T) {
	got := parseList([]byte(`{"Action":"start","Package":"dragonfly/a"}
{"Action":"output","Package":"dragonfly/a","Output":"FuzzX\n"}
{"Action":"output","Package":"dragonfly/a","Output":"ok  \tdragonfly/a\t0.1s\n"}
{"Action":"output","Package":"dragonfly/b","Output":"?   \tdragonfly/b\t[no test files]\n"}
{"Action":"output","Package":"dragonfly/c","Output":"FuzzY\n"}
`))
	want := []target{{"dragonfly/a", "FuzzX"}, {"dragonfly/c", "FuzzY"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLineSaysHowToRepeat(t *testing.T) {
	x := target{"dragonfly/engine/a", "FuzzX"}
	f := func(out string, err error, want ...string) {
		t.Helper()
		r := parseRun([]byte(out))
		r.err = err
		got := r.line(x)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("got %s, want %s", got, w)
			}
		}
	}
	f("fuzz: elapsed: 3s, execs: 10 (3/sec), new interesting: 1 (total: 2)\nfuzz: elapsed: 6s, execs: 25 (3/sec), new interesting: 4 (total: 5)\nPASS\n", nil,
		"engine/a.FuzzX", "25 execs", "4 new", "ok")
	f("--- FAIL: FuzzX (0.01s)\n    --- FAIL: FuzzX (0.00s)\n    Failing input written to testdata/fuzz/FuzzX/beef\n", errors.New("exit status 1"),
		"FAIL\n", "engine/a/testdata/fuzz/FuzzX/beef", "go test -run '^FuzzX$/^beef$' ./engine/a")
	f("--- FAIL: FuzzX (0.01s)\n    --- FAIL: FuzzX/seed#3 (0.00s)\n", errors.New("exit status 1"), "an f.Add", "'^FuzzX$/^seed#3$'")
	f("--- SKIP: FuzzX (0.00s)\n", nil, "skipped")
	f("x.go:1: syntax error\n", errors.New("exit status 1"), "FAIL\nx.go:1: syntax error")
}
