package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSoak runs for long with few kills, and wants memory, files and goroutines to be flat besides what TestCrash wants.
func TestSoak(t *testing.T) {
	length := time.Duration(*hours * float64(time.Hour))
	turn := time.Duration(200_000 / float64(*rate) * float64(time.Second))
	if length == 0 {
		length, turn = 15*time.Second, time.Second
	}
	s := settings{seed: *first, listen: "127.0.0.1:0"}
	if isRoot() {
		s.small = 512 << 20
	}
	r := s.rig(t)
	r.producer.numbered = false
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	var v verdict
	var samples []sample
	issued, duplicates, epochs := 0, 0, 0
	next := steady(*first, isRoot())
	for end := time.Now().Add(length); time.Now().Before(end) || epochs < leastSamples; {
		var err error
		if v, err = r.epoch(turn, next); err != nil {
			r.fail("%v", err)
		}
		issued, duplicates, epochs = issued+v.issued, duplicates+v.duplicates, epochs+1
		now, err := r.sample()
		if err != nil {
			r.fail("%v", err)
		}
		samples = append(samples, now)
		r.note("epoch %d: %d events; resident %.0f MB, %.0f files, %.0f goroutines", epochs, v.issued, now.resident/1e6, now.files, now.goroutines)
		if len(v.faults)+len(r.faults) > 0 {
			break
		}
		if epochs%50 == 0 && r.runs < 20 {
			if err := errors.Join(r.kill(), r.start()); err != nil {
				r.fail("%v", err)
			}
		}
	}
	r.faults = append(r.faults, judgeSamples(samples)...)
	if len(v.faults) == 0 {
		v = r.finish()
	}
	last := samples[len(samples)-1]
	t.Logf("%v, %d epochs, %d events, %d repeated, %d processes; at the end %.0f MB resident, %.0f files, %.0f goroutines",
		time.Since(r.begun).Round(time.Second), epochs, issued, duplicates, r.runs, last.resident/1e6, last.files, last.goroutines)
	r.report(t, v, "", fmt.Sprintf("make soak HOURS=%g FIRST=%d RATE=%d", *hours, *first, *rate))
}

// steady chooses faults that a process outlives.
func steady(seed uint64, small bool) func() step {
	list := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.ends || f.small && !small })
	r := rand.New(rand.NewPCG(seed, 0x50a4))
	return func() step {
		f := &list[r.IntN(len(list))]
		s := step{fault: f, calm: time.Duration(200+r.IntN(800)) * ms, lasts: f.shortest}
		if f.longest > f.shortest {
			s.lasts += time.Duration(r.Int64N(int64(f.longest - f.shortest))).Round(ms)
		}
		return s
	}
}
