package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/deadletter"
)

func TestParseLetterFlags(t *testing.T) {
	now := time.Date(2026, 11, 21, 13, 0, 0, 0, time.Local)
	parse := func(args ...string) (letterFlags, flags, error) {
		f, err := parseFlags(append([]string{"-r", "/r", "dead-letter"}, args...))
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseLetterFlags(&f, now)
		return l, f, err
	}
	l, f, err := parse("replay", "--reason=script_error", "abcd", "-stage", "analyzer a", "ef01", "--wait=30s", "--again", "-l", "/l", "--since", "2h", "--until", "2026-11-21")
	if err != nil || l.command != "replay" || l.filter.Reason != "script_error" || l.filter.Stage != "analyzer a" || !slices.Equal(l.ids, []string{"abcd", "ef01"}) ||
		l.wait != (waitFlag{true, 30 * time.Second}) || !l.again || f.root != "/r" || f.logDir != "/l" || !l.filter.Since.Equal(now.Add(-2*time.Hour)) || l.filter.Until.Hour() != 0 || !l.selects() {
		t.Errorf("got %+v, %+v, %v", l, f, err)
	}
	if l, _, err := parse("replay", "--wait", "--all"); err != nil || !l.wait.on || l.wait.limit != 0 || !l.all {
		t.Errorf("got %+v, %v", l, err)
	}
	for _, args := range [][]string{{}, {"help"}, {"ls", "--help"}, {"-h"}} {
		if _, _, err := parse(args...); !errors.Is(err, errHelp) {
			t.Errorf("%v: got %v", args, err)
		}
	}
	for _, args := range [][]string{{"x"}, {"ls", "-n", "-1"}, {"ls", "-n", "x"}, {"ls", "--again"}, {"show", "-n", "1"}, {"drop", "--wait"}, {"replay", "--wait=-1s"}, {"ls", "--all", "abcd"}} {
		if _, _, err := parse(args...); err == nil || errors.Is(err, errHelp) {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 21, 13, 0, 0, 0, time.Local)
	for s, want := range map[string]time.Time{"": {}, "90s": now.Add(-90 * time.Second), "7d": now.Add(-7 * 24 * time.Hour), "2026-11-20": time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"2026-11-20 12:30": time.Date(2026, 11, 20, 12, 30, 0, 0, time.Local), "2026-11-20T12:30:00Z": time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC)} {
		if got, err := moment(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"-2h", "soon", "d", "-1d", "99999999d", "NaNd", "2026"} {
		if got, err := moment(bad, now); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestCleanKeepsTheTerminalSafe(t *testing.T) {
	for s, want := range map[string]string{"plain é": "plain é", "\x1b[31mred": `\x1b[31mred`, "a\tb\nc": `a\tb\nc`, "caf\xe9": `caf\xe9`, "\u202egnp": `\u202egnp`, "it's \u009b": `it's \u009b`} {
		if got := clean(s, false); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	if got := clean("a\nb\x00", true); got != "a\nb\\x00" {
		t.Errorf("got %q", got)
	}
	if got := cut("äöüß", 3) + cut("äöü", 3) + cut("long", 0); got != "äö…äöülong" {
		t.Errorf("got %q", got)
	}
}

func TestDeadLetterPath(t *testing.T) {
	for uri, want := range map[string]string{"file://dead-letter.json": "/log/dead-letter.json", "file:///x/d.json<": "/x/d.json", "zfile://d.gz": "/log/d.gz", "FILE://d>": "/log/d"} {
		if got, err := deadLetterPath(uri, "/log"); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", uri, got, err, want)
		}
	}
	for _, uri := range []string{"stdout://", "unix:///s", "null://"} {
		if _, err := deadLetterPath(uri, "/log"); err == nil || !strings.Contains(err.Error(), uri) {
			t.Errorf("%s: got %v", uri, err)
		}
	}
}

func TestRequestsDirIsWhereTheEngineIs(t *testing.T) {
	root := t.TempDir()
	at := place{root: root, stateDir: filepath.Join(root, "state"), logDir: filepath.Join(root, "log")}
	get := func(write bool) string {
		t.Helper()
		dir, err := requestsDir(at, write)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	if got := get(false); got != "" {
		t.Errorf("got %s", got)
	}
	if got := get(true); got != filepath.Join(root, "state/replay") {
		t.Errorf("got %s", got)
	}
	var open []*deadletter.Requests
	for _, d := range []string{"log", "state"} {
		os.MkdirAll(filepath.Join(root, d), 0o755)
		q, err := deadletter.OpenRequests(filepath.Join(root, d, replayDir))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		open = append(open, q)
	}
	if got := get(false); got != filepath.Join(root, "state/replay") {
		t.Errorf("got %s", got)
	}
	lock, err := open[0].Lock(deadletter.EngineLock) // an engine that cannot write ROOT/state
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if got := get(false); got != filepath.Join(root, "log/replay") {
		t.Errorf("got %s", got)
	}
}

func TestTargetOfAReplay(t *testing.T) {
	c := &letters{cfg: &engine.Config{Inputs: []engine.InputRow{{Tag: "eve"}, {Tag: "eve two"}}, Analyzers: []engine.StageRow{{Tag: "a"}}, Outputs: []engine.OutputRow{{Tag: "out"}}}}
	f := func(from, stage, origin string, s deadletter.Status, again bool, to, why string) {
		t.Helper()
		c.from, c.again = from, again
		got, reason := c.target(&deadletter.Entry{Stage: stage, Origin: origin}, s)
		if got != to || !strings.Contains(reason, why) || (reason == "") != (why == "") {
			t.Errorf("%s from %s %s: got %q, %q", stage, origin, s, got, reason)
		}
	}
	f("", "analyzer A", "eve x", deadletter.Open, false, "analyzer A", "")
	f("", "output out", "eve x", deadletter.Open, false, "output out", "")
	f("", "output log", "eve x", deadletter.Open, false, "output log", "")
	f("", "filter eve two", "eve two x", deadletter.Open, false, "filter eve two", "")
	f("filter", "analyzer gone", "eve two x", deadletter.Open, false, "filter eve two", "")
	f("filter", "analyzer gone", "eve x", deadletter.Open, false, "filter eve", "")
	f("filter", "analyzer a", "timer", deadletter.Open, false, "", "no input")
	f("", "analyzer gone", "eve x", deadletter.Open, false, "", "config.lua has no analyzer gone")
	f("", "input eve", "eve x", deadletter.Open, false, "", "only the beginning")
	f("filter", "input eve", "eve x", deadletter.Open, false, "filter eve", "")
	f("", "analyzer a", "eve x", deadletter.Replayed, false, "", "--again")
	f("", "analyzer a", "eve x", deadletter.Dropped, true, "analyzer a", "")
	f("", "analyzer a", "eve x", deadletter.Pending, true, "", "not finished")
	c.cfg = nil
	f("", "analyzer gone", "eve x", deadletter.Open, false, "analyzer gone", "")
	f("filter", "analyzer gone", "eve x", deadletter.Open, false, "filter eve", "")
}
