package crash

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/test/parts"
)

// Flags of the package; make crash and make soak set them.
var (
	seeds  = flag.Int("seeds", 50, "seeds of TestCrash")
	first  = flag.Uint64("first", 1, "the first seed")
	kills  = flag.Int("kills", 30, "kills of TestKills")
	keep   = flag.Bool("keep", false, "keep the directories of seeds without faults too")
	rate   = flag.Int("rate", 2500, "events a second")
	hours  = flag.Float64("hours", 0, "length of TestSoak; 0 is some seconds")
	reason = flag.String("without-state", "", "do not check `state`, and why: only for a binary that has none yet")
)

var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(parts.Main(m, &binary))
}

func isRoot() bool { return os.Getuid() == 0 }

func smallSize() int {
	if isRoot() {
		return 128 << 20
	}
	return 0
}

// build of a rig for a test: with the settings that all share.
func (s settings) rig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("dragonfly-crash-%d-", s.seed))
	if err != nil {
		t.Fatal(err)
	}
	s.binary, s.dir, s.rate, s.state = binary, dir, *rate, *reason == ""
	r, err := newRig(s)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			r.keep(t)
		}
		if err := r.close(); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
		if !t.Failed() && !*keep {
			os.RemoveAll(dir)
		}
	})
	return r
}

// keep copies what is on the small file system beside it, so that it outlives the mount.
func (r *rig) keep(t *testing.T) {
	if r.disk == nil {
		return
	}
	r.disk.free()
	if err := os.CopyFS(r.path("disk-kept"), os.DirFS(r.path("disk"))); err != nil {
		t.Logf("keeping the files: %v", err)
	}
}

// report fails the test with what the oracle found, the end of the journal and how to repeat it.
func (r *rig) report(t *testing.T, v verdict, plan, repeat string) {
	t.Helper()
	if len(v.faults) == 0 {
		return
	}
	lines := strings.Split(r.log.since(0), "\n")
	if n := len(lines); n > 60 {
		lines = append([]string{fmt.Sprintf("... %d lines before ...", n-60)}, lines[n-60:]...)
	}
	t.Errorf("%d faults:\n  %s\nplan:\n%s\njournal:\n  %s\neverything is in %s; repeat with: %s", len(v.faults),
		strings.Join(v.faults, "\n  "), plan, strings.Join(lines, "\n  "), r.dir, repeat)
}

// TestCrash lets seeds choose what happens to a pipeline, and wants every event.
func TestCrash(t *testing.T) {
	if !isRoot() {
		t.Log("not root: without disk full, read-only file system")
	}
	if *reason != "" {
		t.Logf("the counters in `state` are not checked: %s", *reason)
	}
	var sum summary
	t.Cleanup(func() { t.Log(sum.String()) })
	for i := range *seeds {
		seed := *first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := settings{seed: seed, small: smallSize()}.rig(t)
			steps := schedule(seed, 6, isRoot())
			plan := ""
			for i, s := range steps {
				plan += fmt.Sprintf("  %d: %s\n", i+1, s)
			}
			if err := r.start(); err != nil {
				t.Fatal(err)
			}
			if err := r.produce(0, func() error { return r.play(steps) }); err != nil {
				r.fail("%v", err)
			}
			v := r.finish()
			sum.add(r, v)
			r.report(t, v, plan, fmt.Sprintf("make crash SEEDS=1 FIRST=%d", seed))
		})
	}
}

// TestKills kills the process again and again while events are appended and the file is rotated.
func TestKills(t *testing.T) {
	const perKill = 3000
	r := settings{seed: *first}.rig(t)
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	err := r.produce(*kills*perKill, func() error {
		if !r.settled(4000) {
			return nil
		}
		for range *kills {
			pause(time.Duration(100+r.rand.IntN(1700)) * ms)
			if err := r.kill(); err != nil {
				return err
			}
			pause(time.Duration(r.rand.IntN(200)) * ms)
			if err := r.start(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.fail("%v", err)
	}
	v := r.finish()
	t.Logf("%d events, %d kills, %d rotations: 0 lost; %d came twice, %d could have", v.issued, *kills, r.producer.rotations, v.duplicates, 2*v.possible)
	r.report(t, v, "", fmt.Sprintf("make crash SEEDS=0 FIRST=%d KILLS=%d", *first, *kills))
}

// summary adds up what the seeds did.
type summary struct {
	mu                                                        sync.Mutex
	seeds, bad, issued, delivered, duplicates, possible, runs int
	repeat                                                    []string
}

func (s *summary) add(r *rig, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds++
	s.issued += v.issued
	s.delivered += v.delivered
	s.duplicates += v.duplicates
	s.possible += v.possible
	s.runs += r.runs
	if len(v.faults) > 0 {
		s.bad++
		s.repeat = append(s.repeat, fmt.Sprint(r.seed))
	}
}

func (s *summary) String() string {
	text := fmt.Sprintf("%d seeds, %d with faults; %d events issued, %d arrivals, %d of them repeated; %d processes",
		s.seeds, s.bad, s.issued, s.delivered, s.duplicates, s.runs)
	if s.bad > 0 {
		text += "; repeat with make crash SEEDS=1 FIRST= one of " + strings.Join(s.repeat, ", ")
	}
	return text
}
