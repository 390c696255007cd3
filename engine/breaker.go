package engine

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// BreakerMode is what becomes of the events of a script that is taken out.
type BreakerMode string

// The modes, as in config.lua.
const (
	BreakerDeadLetter BreakerMode = "dead_letter"
	BreakerPass       BreakerMode = "pass" // to default_analyzer, else to default_output, else to the dead letter
	BreakerOff        BreakerMode = "off"  // no script is ever taken out
)

// breaker takes a script out after repeated faults: after so many in a row, or when calls that a limit had to stop (time,
// memory, instructions) took more than a tenth of the time. After a pause one event is tried, beside the worker, so that
// not even a script that never returns holds up others; if it passes, the script is back.
//
// Only the worker touches it, except for what is atomic.
type breaker struct {
	mode   BreakerMode
	faults int           // in a row that take the script out
	pause  time.Duration // before the first try

	row      int           // faults in a row
	burnt    time.Duration // by stopped calls, less a tenth of the time since
	burntAt  time.Time
	out      bool // the script is taken out
	until    time.Time
	wait     time.Duration // the current pause
	burns    bool          // its faults take time: pauses become longer
	returned time.Time     // when it came back last
	last     error
	trial    *trial // an event is being tried

	opened atomic.Int64              // how often the script was taken out
	since  atomic.Pointer[scriptOut] // nil while the script works
}

// scriptOut says why and since when a script is taken out.
type scriptOut struct {
	since time.Time
	err   error
}

// trial is one event in the hands of a script that was taken out.
type trial struct {
	ev      Event
	results Results
	done    chan error // 1
}

const (
	burnShare = 10          // a script may burn 1/burnShare of the time
	burnCalls = 1.5         // stopped calls: two within five times their limit are too many
	burnLimit = time.Second // a stopped call counts at most as much
	maxPause  = 10 * time.Minute

	cheapShare = 10
)

// fault notes a fault and reports whether the script is to be taken out. cost is the time that a stopped call took, 0 for
// faults that cost nothing.
func (b *breaker) fault(now time.Time, err error, cost time.Duration) bool {
	b.row++
	b.last = err
	if b.mode == BreakerOff || b.faults == 0 {
		return false
	}
	b.burns = false
	if cost > 0 {
		b.burnt = max(0, b.burnt-now.Sub(b.burntAt)/burnShare) + cost
		b.burntAt = now
		b.burns = float64(b.burnt) >= burnCalls*float64(cost)
	}
	return b.burns || b.row >= b.faults
}

// open takes the script out. Soon after it came back the pause is twice the last one. Faults that cost nothing are tried soon,
// and as soon again: what the script needs may be back.
func (b *breaker) open(now time.Time) {
	b.out = true
	if !b.burns {
		b.wait = b.pause / cheapShare
	} else if !b.returned.IsZero() && now.Sub(b.returned) < 2*b.wait {
		b.wait = min(2*b.wait, maxPause)
	} else {
		b.wait = b.pause
	}
	b.until = now.Add(b.wait)
	b.opened.Add(1)
	b.since.Store(&scriptOut{now, b.last})
}

// again notes that a try failed.
func (b *breaker) again(now time.Time, err error) {
	b.last = err
	if b.burns {
		b.wait = min(2*b.wait, maxPause)
	}
	b.until = now.Add(b.wait)
	b.since.Store(&scriptOut{b.since.Load().since, err})
}

// close puts the script back.
func (b *breaker) close(now time.Time) {
	b.out, b.row, b.returned = false, 0, now
	b.since.Store(nil)
}

// reset forgets everything: there is another script.
func (b *breaker) reset() {
	b.out, b.row, b.burnt, b.wait, b.returned = false, 0, 0, 0, time.Time{}
	b.since.Store(nil)
}

// cost is the time that a fault of the script took, if a limit had to stop it.
func (sh *shard) cost(err error) time.Duration {
	var se *ScriptError
	if !errors.As(err, &se) || !se.Timeout && !se.Memory {
		return 0
	}
	if limit := sh.stage.row.Timeout; limit > 0 && limit < burnLimit {
		return limit
	}
	return burnLimit
}

// broke notes a fault of the script, and takes it out if that is one too many.
func (sh *shard) broke(err error) {
	now := time.Now()
	if b := &sh.breaker; b.fault(now, err, sh.cost(err)) && !b.out {
		b.open(now)
		sh.log.Error("the script is taken out after repeated faults, "+sh.passedBy(), "script", sh.stage.row.Script, "tried_again_in", b.wait, "err", err)
	}
}

// passedBy says what becomes of the events of a script that is taken out.
func (sh *shard) passedBy() string {
	if sh.breaker.mode == BreakerPass {
		return "its events pass it by"
	}
	return "its events go to the dead letter"
}

// bypass takes an event past a script that is taken out, or tries it. It returns how many events came of it.
func (sh *shard) bypass(ev *Event) int {
	b := &sh.breaker
	if b.trial == nil && !time.Now().Before(b.until) {
		sh.try(ev)
		return 0
	}
	if b.mode == BreakerPass {
		if r := sh.bypassRoute(); r != NoRoute {
			sh.bypassed.Add(1)
			sh.outbox.add(r, Event{Body: ev.Body, Index: ev.Index, rec: ev.rec, hops: ev.hops + 1})
			return 1
		}
	}
	sh.deadLetter(ev, ReasonDisabled, fmt.Errorf("%s is taken out after repeated faults, the last: %w", sh.stage.row.Script, b.last))
	return 0
}

func (sh *shard) bypassRoute() Route {
	row := &sh.stage.row
	if r := sh.e.Analyzer(row.DefaultAnalyzer); r != NoRoute {
		return r
	}
	if sh.stage.isFilter {
		return NoRoute
	}
	return sh.e.Output(row.DefaultOutput)
}

// try passes an event to the script in a goroutine of its own. Until settle has its end, nobody else touches the script.
func (sh *shard) try(ev *Event) {
	t := &trial{ev: *ev, done: make(chan error, 1)}
	sh.breaker.trial = t
	script, here, err := sh.scriptOf(ev)
	go func() {
		if here && err == nil {
			err = script.Handle(&t.ev, &t.results)
		}
		t.done <- err
		sh.queue.poke()
	}()
}

// settle goes on with an event that was tried, if the script has ended; with wait it waits for that.
func (sh *shard) settle(wait bool) {
	b := &sh.breaker
	t := b.trial
	if t == nil {
		return
	}
	var err error
	if wait {
		err = <-t.done
	} else {
		select {
		case err = <-t.done:
		default:
			return
		}
	}
	b.trial = nil
	if sh.e.aborted.Load() {
		return // not finished: it comes again
	}
	now := time.Now()
	if err != nil {
		b.burns = b.burns || sh.cost(err) > 0
		b.again(now, err)
		sh.log.Warn("the script still fails, "+sh.passedBy(), "script", sh.stage.row.Script, "tried_again_in", b.wait, "err", err)
		sh.fault(&t.ev, err)
	} else {
		since := b.since.Load().since
		b.close(now)
		sh.log.Info("the script works again", "script", sh.stage.row.Script, "after", now.Sub(since).Round(time.Millisecond))
		sh.out.Add(int64(sh.emit(&t.ev, &t.results)))
	}
	sh.outbox.flush()
	sh.finisher.flush()
}
