package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// ticking is a source of one record every period, until it has emitted n.
func ticking(n int, period time.Duration) *timedSource { return &timedSource{n: n, period: period} }

type timedSource struct {
	n      int
	period time.Duration
}

func (s *timedSource) Run(ctx context.Context, emit EmitFunc) error {
	for i := range s.n {
		time.Sleep(s.period)
		if emit(ctx, Batch{Origin: "ticking", Records: []Record{{Body: fmt.Sprintf(`{"n":%d}`, i), Offset: int64(i)}}}) != nil {
			return nil
		}
	}
	return nil
}

func newBreakerBench(n int, period time.Duration, mode BreakerMode, loop func(s *goScript, ev *Event, out *Results) error) *bench {
	b := newBench(&source{}, pass, &goProgram{loop: loop})
	b.parts.Inputs[0] = ticking(n, period)
	b.cfg.BreakerFaults, b.cfg.BreakerPause = 10, 10*time.Second
	b.cfg.Analyzers[0].Breaker = mode
	b.cfg.Analyzers[0].Timeout = time.Second
	return b
}

func (b *bench) drained(t *testing.T) Account {
	t.Helper()
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return b.engine.Ledger()[0]
}

var errFault = &ScriptError{Script: "a.lua", Line: 1, Msg: "no"}

func TestBreakerTakesAScriptOutAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, failing atomic.Int64
		failing.Store(12) // ten faults in a row, and two tries
		b := newBreakerBench(1000, 100*time.Millisecond, BreakerDeadLetter, func(s *goScript, ev *Event, out *Results) error {
			if calls.Add(1); failing.Add(-1) >= 0 {
				return errFault
			}
			out.Emit(s.next, ev.Body, ev.Index)
			return nil
		})
		a := b.drained(t)
		// out at 1 s; tried each second, as the faults cost no time
		if a.DeadLettered[ReasonScript] != 12 || a.DeadLettered[ReasonDisabled] < 24 || a.DeadLettered[ReasonDisabled] > 33 || a.Delivered+a.DeadLettered[ReasonDisabled]+12 != 1000 {
			t.Errorf("got %v", a)
		}
		if n := b.engine.analyzers[0].shards[0].breaker.opened.Load(); n != 1 {
			t.Errorf("taken out %d times", n)
		}
		for _, body := range b.dead.bodies() {
			if strings.Contains(body, ReasonDisabled) && !strings.Contains(body, "a.lua:1: no") {
				t.Fatalf("the dead letter does not say why: %s", body)
			}
		}
	})
}

func TestBreakerPassesEventsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(500, 10*time.Millisecond, BreakerPass, func(s *goScript, ev *Event, out *Results) error { return errFault })
		a := b.drained(t)
		if a.DeadLettered[ReasonScript] < 13 || a.DeadLettered[ReasonScript] > 15 || a.Delivered != 500-a.DeadLettered[ReasonScript] || int64(len(b.out.bodies())) != a.Delivered {
			t.Errorf("got %v, %d events", a, len(b.out.bodies()))
		}
	})
}

func TestBreakerThatIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(500, 10*time.Millisecond, BreakerOff, func(s *goScript, ev *Event, out *Results) error { return errFault })
		if a := b.drained(t); a.DeadLettered[ReasonScript] != 500 {
			t.Errorf("got %v", a)
		}
	})
}

// Faults now and then do not take a script out; calls that burn more than a tenth of the time do, though others between
// them succeed.
func TestBreakerCountsWhatStoppedCallsCost(t *testing.T) {
	run := func(t *testing.T, every int, period time.Duration) Account {
		b := newBreakerBench(2000, period, BreakerDeadLetter, func(s *goScript, ev *Event, out *Results) error {
			if s.events%every == 0 {
				time.Sleep(time.Second)
				return &ScriptError{Script: "a.lua", Line: 7, Msg: "stopped", Timeout: true}
			}
			out.Emit(s.next, ev.Body, ev.Index)
			return nil
		})
		return b.drained(t)
	}
	synctest.Test(t, func(t *testing.T) {
		if a := run(t, 100, 200*time.Millisecond); a.DeadLettered[ReasonTimeout] != 20 || a.DeadLettered[ReasonDisabled] != 0 {
			t.Errorf("one stopped call in 20 s: got %v", a)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a := run(t, 10, 10*time.Millisecond)
		if a.DeadLettered[ReasonTimeout] > 5 || a.DeadLettered[ReasonDisabled] < 500 {
			t.Errorf("one stopped call in ten: got %v", a)
		}
	})
}

// A script that never comes back within its limit is tried beside the worker: events do not wait for it.
func TestBreakerTriesBesideTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(3000, 10*time.Millisecond, BreakerPass, func(s *goScript, ev *Event, out *Results) error {
			time.Sleep(time.Second)
			return &ScriptError{Script: "a.lua", Line: 7, Msg: "stopped", Timeout: true}
		})
		start := time.Now()
		a := b.drained(t)
		if a.DeadLettered[ReasonTimeout] != 3 || a.Delivered != 2997 { // two, and one try after 10 s
			t.Errorf("got %v", a)
		}
		if took := time.Since(start); took > 32*time.Second {
			t.Errorf("took %v for 30 s of events", took)
		}
	})
}

// The end of the engine and a new script come while an event is being tried.
func TestBreakerWhileTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(s *goScript, ev *Event, out *Results) error {
			if s.events > 10 {
				time.Sleep(5 * time.Second)
			}
			return errFault
		}
		b := newBreakerBench(1200, 10*time.Millisecond, BreakerPass, slow)
		if a := b.drained(t); a.DeadLettered[ReasonScript] < 11 || a.DeadLettered[ReasonScript] > 13 || a.Delivered+a.DeadLettered[ReasonScript] != 1200 { // the last try ends after the last event
			t.Errorf("got %v", a)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		slow := func(s *goScript, ev *Event, out *Results) error {
			if s.events > 10 {
				time.Sleep(5 * time.Second)
			}
			return errFault
		}
		b := newBreakerBench(2000, 10*time.Millisecond, BreakerPass, slow)
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.engine.Run(t.Context(), true) }()
		time.Sleep(3 * time.Second) // in the try, which ends after 6.1 s
		if err := b.engine.Swap(t.Context(), []Program{pass}, []Program{pass}); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if a := b.engine.Ledger()[0]; a.DeadLettered[ReasonScript] != 11 || a.Delivered != 1989 {
			t.Errorf("got %v", a)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBreakerBench(2000, 10*time.Millisecond, BreakerPass, func(s *goScript, ev *Event, out *Results) error {
			if s.events > 10 {
				time.Sleep(5 * time.Second)
			}
			return errFault
		})
		b.cfg.DrainTimeout = time.Second
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		if err := b.engine.Run(ctx, true); !errors.Is(err, errDrainTimeout) {
			t.Errorf("got %v", err)
		}
	})
}
