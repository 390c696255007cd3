package crash

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trial is a run without a process: 400 events in two files, each delivered once.
type trial struct {
	o                *oracle
	sock, file, dead *delivery
}

func newTrial() *trial {
	const seed = 7
	tr := &trial{o: &oracle{first: 1}}
	tr.sock = &delivery{name: "socket", seed: seed, parse: withVerdict, first: 1}
	tr.file = &delivery{name: "file", seed: seed, parse: asIssued, first: 1}
	tr.dead = &delivery{name: "dead letter", seed: seed, parse: deadLetter, first: 1}
	for n := 1; n <= 400; n++ {
		e := newEvent(seed, n)
		file := int32(0)
		if n > 200 {
			file = 1
		}
		tr.o.events = append(tr.o.events, issued{file: file, kind: e.kind, key: uint8(e.key), end: int64((n-1)%200+1) * 100})
	}
	return tr
}

// deliver hands on event n as the scripts would.
func (tr *trial) deliver(n int) {
	e := newEvent(tr.sock.seed, n)
	line := string(e.append(nil))
	switch e.kind {
	case good:
		tr.file.take([]byte(line))
		tr.sock.take([]byte(strings.TrimSuffix(line, "}") + `,"verdict":"ok"}`))
	case raising:
		tr.dead.take([]byte(`{"time":"t","stage":"analyzer judge","reason":"script_error","error":"unlucky","event":` + line + `}`))
	case malformed:
		text := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\u007f", `\u007f`).Replace(line)
		tr.dead.take([]byte(`{"time":"t","stage":"filter eve","reason":"malformed","error":"e","event":"` + text + `"}`))
	}
}

func (tr *trial) judge() []string {
	return tr.o.judge([]sinkOf{
		{tr.sock, func(k kind) bool { return k == good }, true},
		{tr.file, func(k kind) bool { return k == good }, false},
		{tr.dead, func(k kind) bool { return k == raising || k == malformed }, false},
	}).faults
}

// of returns the first event of a kind at or above n.
func (tr *trial) of(k kind, n int) int {
	for tr.o.events[n-1].kind != k {
		n++
	}
	return n
}

// TestOracleFinds makes each fault that the oracle is there to find.
func TestOracleFinds(t *testing.T) {
	all := func(tr *trial) {
		for n := range tr.o.events {
			tr.deliver(n + 1)
		}
	}
	for _, c := range []struct {
		name string
		do   func(tr *trial)
		want string // in a fault; "" wants none
	}{
		{"nothing", all, ""},
		{"a lost event", func(tr *trial) {
			for n := 1; n <= 400; n++ {
				if n != tr.of(good, 50) {
					tr.deliver(n)
				}
			}
		}, "socket: 1 events lost"},
		{"a lost dead letter", func(tr *trial) {
			for n := 1; n <= 400; n++ {
				if n != tr.of(malformed, 50) {
					tr.deliver(n)
				}
			}
		}, "dead letter: 1 events lost"},
		{"an event twice", func(tr *trial) { all(tr); tr.deliver(tr.of(good, 9)) }, "arrived more often than the checkpoints allow"},
		{"an event twice after a kill", func(tr *trial) {
			tr.o.cuts = []cut{{last: 300, saved: []int64{5000, 0}}}
			all(tr)
			tr.deliver(tr.of(good, 60))
		}, ""},
		{"an event twice that was below the checkpoint", func(tr *trial) {
			tr.o.cuts = []cut{{last: 300, saved: []int64{5000, 0}}}
			all(tr)
			tr.deliver(tr.of(good, 10))
		}, "arrived more often than the checkpoints allow"},
		{"an event twice that was issued after the kill", func(tr *trial) {
			tr.o.cuts = []cut{{last: 300, saved: []int64{5000, 0}}}
			all(tr)
			tr.deliver(tr.of(good, 310))
		}, "arrived more often than the checkpoints allow"},
		{"an event three times after one kill", func(tr *trial) {
			tr.o.cuts = []cut{{last: 300, saved: []int64{5000}}}
			all(tr)
			tr.deliver(tr.of(good, 250))
			tr.deliver(tr.of(good, 250))
		}, "arrived more often than the checkpoints allow"},
		{"another byte", func(tr *trial) {
			all(tr)
			e := newEvent(7, tr.of(good, 20))
			tr.file.take([]byte(strings.Replace(string(e.append(nil)), "1.0", "1", 1)))
		}, "not the bytes that were issued"},
		{"a torn line", func(tr *trial) {
			all(tr)
			e := newEvent(7, tr.of(good, 20))
			tr.file.take(e.append(nil)[:40])
		}, "not the bytes that were issued"},
		{"a piece at the end of a file", func(tr *trial) { all(tr); tr.file.torn("out.json", []byte(`{"n":`)) }, "ends in a torn line"},
		{"an event in the wrong place", func(tr *trial) {
			all(tr)
			e := newEvent(7, tr.of(dropped, 20))
			tr.file.take(e.append(nil))
		}, "an event that should not be here"},
		{"an event that was never issued", func(tr *trial) {
			all(tr)
			n := 401
			for newEvent(7, n).kind != good {
				n++
			}
			tr.deliver(n)
		}, "arrived though they should not"},
		{"two events of a key in the wrong order", func(tr *trial) {
			a := tr.of(good, 10)
			b := a + 1
			for tr.o.events[b-1].kind != good || tr.o.events[b-1].key != tr.o.events[a-1].key {
				b++
			}
			for n := 1; n <= 400; n++ {
				switch n {
				case a:
					tr.deliver(b)
				case b:
					tr.deliver(a)
				default:
					tr.deliver(n)
				}
			}
		}, "of the same key and file"},
		{"files that are read side by side", func(tr *trial) {
			for n := 1; n <= 200; n++ {
				tr.deliver(n + 200)
				tr.deliver(n)
			}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTrial()
			c.do(tr)
			wantFault(t, tr.judge(), c.want)
		})
	}
}

func wantFault(t *testing.T, faults []string, want string) {
	t.Helper()
	found := slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) })
	if want == "" && len(faults) > 0 || want != "" && !found {
		t.Errorf("got %q, want %q", faults, want)
	}
}

func TestOracleFindsWrongTotals(t *testing.T) {
	var want totals
	want.count("10.0.0.1", 1)
	want.count("10.0.0.1", 5)
	want.count("10.0.0.2", 2)
	for _, c := range []struct {
		lines string
		want  string
	}{
		{`{"n":2,"ips":{"10.0.0.1":{"n":2,"sum":6}}} {"n":1,"ips":{"10.0.0.2":{"n":1,"sum":2}}}`, ""},
		{`{"n":3,"ips":{"10.0.0.1":{"n":3,"sum":7}}} {"n":1,"ips":{"10.0.0.2":{"n":1,"sum":2}}}`, "counted 4 events, want 3 (+1)"},
		{`{"n":1,"ips":{"10.0.0.1":{"n":1,"sum":5}}} {"n":1,"ips":{"10.0.0.2":{"n":1,"sum":2}}}`, "10.0.0.1 counted 1 times with sum 5, want 2 and 6"},
		{`{"n":1,"ips":{"10.0.0.1":{"n":1,"sum":5}}} {"n":2,"ips":{"10.0.0.2":{"n":1,"sum":2},"10.0.0.1":{"n":1,"sum":1}}}`, "in two shards"},
		{`{"n":3,"ips":{"10.0.0.1":{"n":2,"sum":6},"10.0.0.2":{"n":1,"sum":2}}}`, "wrote 1 lines, want 2"},
		{`{"n":3, x`, "invalid character"},
	} {
		wantFault(t, judgeTotals(want, strings.Split(strings.ReplaceAll(c.lines, "} {\"n", "}\n{\"n"), "\n"), 2), c.want)
	}
}

func TestOracleFindsWrongLedgers(t *testing.T) {
	for _, c := range []struct {
		text    string
		drained bool
		want    string
	}{
		{"dragonfly: ledger: eve: read 7 = delivered 3 + dropped 1 + dead-lettered 3 (malformed 2, script_error 1) + in flight 0\n", true, ""},
		{"dragonfly: ledger: eve: read 7 = delivered 3 + dropped 1 + dead-lettered 1 (malformed 1) + in flight 2\n", false, ""},
		{"dragonfly: ledger: eve: read 7 = delivered 3 + dropped 1 + dead-lettered 1 (malformed 1) + in flight 2\n", true, "in flight after a drain"},
		{"dragonfly: ledger: eve: read 8 = delivered 3 + dropped 1 + dead-lettered 3 (malformed 3) + in flight 0\n", true, "does not balance"},
		{"dragonfly: ledger: eve: read 6 = delivered 3 + dropped 1 + dead-lettered 3 (malformed 3) + in flight -1\n", false, "does not balance"},
		{"", true, "no line at the end"},
	} {
		wantFault(t, judgeLedger(c.text, c.drained), c.want)
	}
}

func TestOracleFindsGrowth(t *testing.T) {
	series := func(of func(i int) sample) (list []sample) {
		for i := range 30 {
			list = append(list, of(i))
		}
		return list
	}
	noise := []float64{0, 3, 1, 7}
	flat := func(i int) sample {
		return sample{1, 100e6 + 20e6*noise[i%4], 30 + noise[i%4], 40 + noise[(i+1)%4]}
	}
	wantFault(t, judgeSamples(series(flat)), "")
	wantFault(t, judgeSamples(series(func(i int) sample { s := flat(i); s.resident += 10e6 * float64(i); return s })), "resident bytes grew")
	wantFault(t, judgeSamples(series(func(i int) sample { s := flat(i); s.files += float64(i); return s })), "open files grew")
	wantFault(t, judgeSamples(series(func(i int) sample { s := flat(i); s.goroutines += float64(i); return s })), "goroutines grew")
	wantFault(t, judgeSamples(series(func(i int) sample { s := flat(i); s.run, s.files = i, s.files+float64(i); return s })), "")
}

// TestDirectoryReadsRotatedFiles reads whole lines only, each once, whatever the files are called meanwhile.
func TestDirectoryReadsRotatedFiles(t *testing.T) {
	tr := newTrial()
	dir := t.TempDir()
	d := &directory{dir: dir, name: "out.json", to: tr.file}
	path := filepath.Join(dir, "out.json")
	line := func(n int) string { e := newEvent(7, tr.of(good, n)); return string(e.append(nil)) + "\n" }
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	poll := func(want int) {
		t.Helper()
		if err := d.poll(); err != nil || tr.file.total != want || tr.file.nfaults > 0 {
			t.Fatalf("got %d lines, want %d; %v %q", tr.file.total, want, err, tr.file.faults)
		}
	}
	write(line(1) + line(20)[:30])
	poll(1)
	write(line(20)[30:])
	poll(2)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(line(40))
	poll(3)
	write(line(60)[:30])
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	wantFault(t, tr.file.faults, "ends in a torn line")
}

func TestScheduleFollowsFromItsSeed(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		steps := schedule(seed, 6, true)
		again := schedule(seed, 6, true)
		kills := 0
		for i, s := range steps {
			if s.String() != again[i].String() {
				t.Fatalf("seed %d: %s, then %s", seed, s, again[i])
			}
			seen[s.name]++
			if s.name == "kill" || s.inner == "kill" {
				kills++
			}
		}
		if kills == 0 {
			t.Errorf("seed %d kills nothing", seed)
		}
		for _, s := range schedule(seed, 6, false) {
			if s.small {
				t.Errorf("seed %d: %s where it cannot be had", seed, s.name)
			}
		}
	}
	for i := range faults {
		if seen[faults[i].name] == 0 {
			t.Errorf("no seed chooses %q", faults[i].name)
		}
	}
}
