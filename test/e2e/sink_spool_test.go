package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpoolSurvivesKill kills the process in the middle of an outage, looks at the spool, and delivers it.
func TestSpoolSurvivesKill(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	r := sinkRoot(t, `{tag = "out", uri = "unix://`+path+`", spool = "64MiB"}`, "")
	const n = 20_000
	p := r.start()
	for i := range 4 {
		all := events(n)
		r.append("in.json", all[i*len(all)/4:(i+1)*len(all)/4]) // lines are cut, too
		p.until("events in the spool", func() bool {
			_, text := p.get("/metrics")
			return !strings.Contains(text, "dragonfly_output_spool_events{output=\"out\"} 0\n")
		})
		if code, text := r.run("spool", "fsck"); code != 0 || !strings.Contains(text, "0 findings") {
			t.Errorf("exit %d while it runs: %s", code, text)
		}
		if code, text := r.run("spool", "fsck", "--repair"); code != 0 { // nothing to do
			t.Errorf("exit %d while it runs: %s", code, text)
		}
		p.cmd.Process.Kill()
		<-p.ended
		p = r.start()
	}
	p.until("all is read", func() bool {
		_, text := p.get("/ledger")
		return strings.Contains(text, `"in_flight":0`) && r.spooled() >= n
	})
	if code, text := r.run("spool", "ls"); code != 0 || !strings.Contains(text, "in use") {
		t.Errorf("exit %d: %s", code, text)
	}
	p.stop()
	if code, text := r.run("spool", "cat", "OUT"); code != 0 || missing(text, n) > 0 {
		t.Errorf("exit %d, %d missing", code, missing(text, n))
	}
	s := listen(t, path)
	p = r.start()
	p.until("all events", func() bool { return missing(s.text(), n) == 0 })
	p.until("the end of the spool", func() bool { return strings.Contains(p.text(), "the spool is delivered") })
	p.stop()
	if got := s.len(); got > n+4*8192 {
		t.Errorf("got %d events, too many twice", got)
	}
}

// spooled is how many events wait.
func (r *root) spooled() int {
	code, text := r.run("spool", "cat", "out")
	if code != 0 {
		r.t.Fatalf("exit %d: %.300s", code, text)
	}
	return strings.Count(text, "\n")
}

// missing is how many of n events are not in text.
func missing(text string, n int) int {
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		seen[line] = true
	}
	m := 0
	for line := range strings.Lines(events(n)) {
		if !seen[line] {
			m++
		}
	}
	return m
}

func TestSpoolCommandsFindDamage(t *testing.T) {
	r := sinkRoot(t, `{tag = "out", uri = "unix://`+filepath.Join(socketDir(t), "s")+`", spool = "1MiB"}`, "")
	p := r.start()
	r.append("in.json", events(3000))
	p.until("all is read", func() bool { _, text := p.get("/ledger"); return strings.Contains(text, `"delivered":3000`) })
	p.stop()
	segments, _ := filepath.Glob(r.path("state/spool/out/*.seg"))
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 4
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := r.run("spool", "fsck"); code != 1 || !strings.Contains(text, filepath.Base(segments[0])) || !strings.Contains(text, "1 events before number") {
		t.Errorf("exit %d: %s", code, text)
	}
	if code, text := r.run("spool", "fsck", "--repair"); code != 0 || !strings.Contains(text, ".damaged") {
		t.Errorf("exit %d: %s", code, text)
	}
	if code, text := r.run("spool", "fsck", "out"); code != 0 || r.spooled() != 2999 {
		t.Errorf("exit %d: %s", code, text)
	}
	for _, args := range [][]string{{"spool"}, {"spool", "eat"}, {"spool", "cat"}, {"spool", "ls", "--repair"}, {"spool", "fsck", "--mend"}} {
		if code, _ := r.run(args...); code != 2 {
			t.Errorf("%v: exit %d, want 2", args, code)
		}
	}
	if code, text := r.run("spool", "cat", "other"); code != 1 || !strings.Contains(text, `no spool of an output "other"`) {
		t.Errorf("exit %d: %s", code, text)
	}
}

// TestSpoolOnAFullDisk has no room for the spool while the sink is down: the inputs wait, and go on when there is room.
func TestSpoolOnAFullDisk(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	r := sinkRoot(t, `{tag = "out", uri = "unix://`+path+`", spool = "64MiB"}`, "")
	again := r.smallDisk("state", "size=256k")
	const n = 20_000
	p := r.start()
	r.append("in.json", events(n))
	p.until("a full disk", func() bool { return strings.Contains(p.text(), "the spool cannot be written: events wait") })
	again("size=64m")
	p.until("all is read", func() bool {
		_, text := p.get("/ledger")
		return strings.Contains(text, fmt.Sprintf(`"delivered":%d`, n))
	})
	s := listen(t, path)
	p.until("all events", func() bool { return s.len() >= n })
	p.recovered(n)
	if s.text() != events(n) {
		t.Error("the events are not as they were")
	}
	if _, err := os.Stat(r.path("state/spool/out")); errors.Is(err, os.ErrNotExist) {
		t.Error("there is no spool")
	}
}
