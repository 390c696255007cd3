// Package parity compares the embedded store with a real redis-server, reply for reply.
package parity

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	sequences = 2500 // of the ordinary run
	seqLength = 40   // commands
	maxFailed = 20   // sequences that are reported
)

// TestGenerated runs generated sequences. PARITY_SEED=n runs only that one; PARITY_SEQUENCES=n runs as many, from a new
// place at each run.
func TestGenerated(t *testing.T) {
	r := newRig(t)
	r.stats = map[string]*outcome{}
	first, n := uint64(1), sequences
	if text := os.Getenv("PARITY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("PARITY_SEED %q: want a number", text)
		}
		first, n = seed, 1
	}
	if text := os.Getenv("PARITY_SEQUENCES"); text != "" {
		many, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("PARITY_SEQUENCES %q: want a number", text)
		}
		first, n = uint64(time.Now().UnixNano()), many
	}
	failed := 0
	for seed := first; seed < first+uint64(n); seed++ {
		if !r.check(t, fmt.Sprintf("PARITY_SEED=%d", seed), generate(seed, r.scripts)) {
			if failed++; failed == maxFailed {
				t.Fatalf("%d sequences differ: the others are not run", failed)
			}
		}
	}
	if n >= sequences && failed == 0 {
		covered(t, r)
	}
}

// TestWatchSeesChanges lets one connection watch all keys: its EXEC must fail after the same commands, those that changed
// something and those that Redis takes for a change.
func TestWatchSeesChanges(t *testing.T) {
	r := newRig(t)
	first, n := uint64(1), 300
	if text := os.Getenv("PARITY_WATCH_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("PARITY_WATCH_SEED %q: want a number", text)
		}
		first, n = seed, 1
	}
	failed := 0
	for seed := first; seed < first+uint64(n) && failed < maxFailed; seed++ {
		g := newGenerator(source{rng: rand.New(rand.NewPCG(seed, 1))}, r.scripts)
		if !r.check(t, fmt.Sprintf("PARITY_WATCH_SEED=%d", seed), g.watched(12)) {
			failed++
		}
	}
}

func generate(seed uint64, scripts bool) []step {
	return newGenerator(source{rng: rand.New(rand.NewPCG(seed, 0))}, scripts).sequence(seqLength)
}

// covered wants each command to have succeeded and to have failed.
func covered(t *testing.T, r *rig) {
	total := 0
	for _, name := range commandNames(r.scripts) {
		o := r.stats[name]
		if o == nil {
			o = &outcome{}
		}
		total += o.good + o.bad
		if o.good == 0 || o.bad == 0 {
			t.Errorf("%s: %d calls succeeded, %d failed; want some of each", name, o.good, o.bad)
		}
		if testing.Verbose() {
			t.Logf("%-18s %6d good %6d bad", name, o.good, o.bad)
		}
	}
	t.Logf("%d calls of %d commands", total, len(commandNames(r.scripts)))
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
