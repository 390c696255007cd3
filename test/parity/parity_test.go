// Package parity compares the embedded store with a real redis-server, reply for reply.
package parity

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	sequences = 2500 // of the ordinary run
	seqLength = 40   // commands
	workers   = 2    // each with a redis-server
	maxFailed = 20   // sequences that are reported
)

// TestGenerated runs generated sequences. PARITY_SEED=n runs only that one; PARITY_SEQUENCES=n runs as many, from a new
// place at each run.
func TestGenerated(t *testing.T) {
	first, n := uint64(1), uint64(sequences)
	if text := os.Getenv("PARITY_SEED"); text != "" {
		first, n = number(t, "PARITY_SEED"), 1
	}
	if text := os.Getenv("PARITY_SEQUENCES"); text != "" {
		first, n = uint64(time.Now().UnixNano()), number(t, "PARITY_SEQUENCES")
	}
	rigs := make([]*rig, workers)
	var failed atomic.Int64
	t.Run("workers", func(t *testing.T) {
		for w := range rigs {
			t.Run(strconv.Itoa(w), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.stats = map[string]*outcome{}
				rigs[w] = r
				for seed := first + uint64(w); seed < first+n; seed += workers {
					if !r.check(t, fmt.Sprintf("PARITY_SEED=%d", seed), generate(seed, r.scripts)) && failed.Add(1) >= maxFailed {
						t.Fatal("too many sequences differ: the others are not run")
					}
				}
			})
		}
	})
	if n >= sequences && !t.Failed() && !slices.Contains(rigs, nil) {
		covered(t, rigs)
	}
}

func number(t *testing.T, variable string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv(variable), 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: want a number", variable, os.Getenv(variable))
	}
	return n
}

// covered wants each command to have succeeded and to have failed.
func covered(t *testing.T, rigs []*rig) {
	total, names := 0, commandNames(rigs[0].scripts)
	for _, name := range names {
		var sum outcome
		for _, r := range rigs {
			if o := r.stats[name]; o != nil {
				sum.good, sum.bad = sum.good+o.good, sum.bad+o.bad
			}
		}
		total += sum.good + sum.bad
		if sum.good == 0 || sum.bad == 0 {
			t.Errorf("%s: %d calls succeeded, %d failed; want some of each", name, sum.good, sum.bad)
		}
		if testing.Verbose() {
			t.Logf("%-18s %6d good %6d bad", name, sum.good, sum.bad)
		}
	}
	t.Logf("%d calls of %d commands", total, len(names))
}

// TestWatchSeesChanges lets one connection watch all keys: its EXEC must fail after the same commands, those that changed
// something and those that Redis takes for a change.
func TestWatchSeesChanges(t *testing.T) {
	r := newRig(t)
	first, n := uint64(1), uint64(300)
	if text := os.Getenv("PARITY_WATCH_SEED"); text != "" {
		first, n = number(t, "PARITY_WATCH_SEED"), 1
	}
	failed := 0
	for seed := first; seed < first+n && failed < maxFailed; seed++ {
		g := newGenerator(source{rng: rand.New(rand.NewPCG(seed, 1))}, r.scripts)
		if !r.check(t, fmt.Sprintf("PARITY_WATCH_SEED=%d", seed), g.watched(12)) {
			failed++
		}
	}
}

func generate(seed uint64, scripts bool) []step {
	return newGenerator(source{rng: rand.New(rand.NewPCG(seed, 0))}, scripts).sequence(seqLength)
}

// commandNames returns the commands of the grammar, each once.
func commandNames(scripts bool) []string {
	var names []string
	for _, g := range groups(scripts) {
		for _, text := range g.grammars {
			name, _, _ := strings.Cut(text, " ")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// FuzzParity turns bytes into a sequence of commands.
func FuzzParity(f *testing.F) {
	r := newRig(f)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		seed := make([]byte, 200)
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r.check(t, "fuzz", newGenerator(source{data: data}, r.scripts).sequence(2*seqLength))
	})
}

// TestArity asks in a transaction, where a command is checked and not carried out, how many arguments each takes.
func TestArity(t *testing.T) {
	r := newRig(t)
	for _, name := range commandNames(true) {
		if slices.Contains([]string{"MULTI", "EXEC", "DISCARD", "WATCH"}, name) {
			continue // not queued
		}
		for n := range 9 {
			args := []string{name}
			for i := range n {
				args = append(args, strconv.Itoa(i+1))
			}
			var answers []reply
			for _, s := range []side{r.real, r.ours} {
				s.do(actor, "MULTI")
				answers = append(answers, s.do(actor, args...))
				s.do(actor, "DISCARD")
			}
			if !same(answers[0], answers[1]) {
				t.Errorf("MULTI; %s\nredis: %s\n ours: %s", show(args), answers[0], answers[1])
			}
		}
	}
}
