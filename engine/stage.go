package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine/lazyjson"
)

// MaxHops is how many stages an event may pass. One more is a loop: the event is dead-lettered.
const MaxHops = 64

// MaxFanOut is how many events may be derived from one record in all.
const MaxFanOut = 1_000_000

// sliceLen is how many events a worker handles before it sends on what they gave.
const sliceLen = 128

// sendLen is how many emitted events a worker collects at most before it sends them on.
const sendLen = 1024

// stage is a filter or an analyzer with its shards.
type stage struct {
	row      StageRow
	isFilter bool
	n        int // 0-based, filters before analyzers
	shards   []*shard

	keepsState atomic.Bool // its script keeps state: see commit.go
}

func (st *stage) kind() string {
	if st.isFilter {
		return "filter"
	}
	return "analyzer"
}

// shard is one queue of a stage and the script that its worker runs. Only the worker touches the fields below "worker".
type shard struct {
	e     *Engine
	stage *stage
	n     int // 0-based
	queue queue
	head  atomic.Int32 // hops of the event in hand, -1 while there is none; read by the gate
	next  atomic.Pointer[swap]
	last  atomic.Pointer[chan struct{}]   // drained: call finish() and tell
	save  atomic.Pointer[chan savedState] // a checkpoint is taken: give the state

	program atomic.Pointer[Program] // of script

	askMu sync.Mutex
	asked []func() // what others want the worker to do

	in, out, failed, dead atomic.Int64
	busy                  atomic.Int64 // ns in scripts
	bypassed              atomic.Int64 // events that passed the script by

	// worker
	log      *slog.Logger
	script   Script
	results  Results
	outbox   *outbox
	finisher finisher
	slab     []lazyjson.Field // memory for the indexes of the next events
	breaker  breaker
	keeper   stateKeeper
}

// swap asks a worker to go on with another program; done receives the result once.
type swap struct {
	program Program
	done    chan<- error
}

func (e *Engine) newShard(st *stage, n int) *shard {
	sh := &shard{e: e, stage: st, n: n, queue: newQueue(), outbox: e.newOutbox()}
	sh.breaker.mode, sh.breaker.faults, sh.breaker.pause = st.row.Breaker, e.cfg.BreakerFaults, e.cfg.BreakerPause
	sh.head.Store(-1)
	sh.log = e.log.With("stage", st.row.Tag, "shard", n)
	return sh
}

// load makes the script of program. It runs setup(), whose events go out as the engine's own.
func (sh *shard) load(program Program) error {
	sh.results.Reset()
	sh.settle(true)
	states, resharded := sh.states()
	script, err := program.Load(sh.env(states, resharded, sh.log), &sh.results)
	if err != nil {
		sh.results.Reset()
		return err
	}
	if sh.script != nil {
		sh.script.Close()
	}
	sh.script = script
	sh.program.Store(&program)
	sh.breaker.reset()
	keeps, ok := program.(StatefulProgram)
	sh.stage.keepsState.Store(ok && keeps.KeepsState())
	sh.sendOwn("setup")
	return nil
}

// env is what a script of the shard knows of its place.
func (sh *shard) env(states [][]byte, resharded bool, log *slog.Logger) ScriptEnv {
	row := &sh.stage.row
	return ScriptEnv{
		Stage: row.Tag, IsFilter: sh.stage.isFilter, Shard: sh.n, DefaultAnalyzer: row.DefaultAnalyzer,
		DefaultOutput: row.DefaultOutput, Timeout: row.Timeout, Memory: row.Memory, Instructions: row.Instructions, Router: sh.e, Log: log,
		Workers: len(sh.stage.shards), States: states, Resharded: resharded, StateMax: sh.e.cfg.StateMax, Statistics: sh.e.Statistics,
	}
}

// run is the worker: until the queue is closed or ctx done.
func (sh *shard) run(ctx context.Context) {
	var spare []Event
	for {
		events, bytes, ok := sh.queue.take(ctx, spare)
		if !ok {
			break
		}
		sh.settle(false)
		if s := sh.next.Swap(nil); s != nil {
			s.done <- sh.load(s.program)
		}
		if to := sh.save.Swap(nil); to != nil {
			sh.answer(*to)
		}
		sh.answerAll()
		total := len(events)
		for rest := events; len(rest) > 0 && ctx.Err() == nil; {
			n := min(len(rest), sliceLen)
			sh.head.Store(int32(rest[0].hops))
			if sh.e.gate.over() {
				n = 1
				sh.e.gate.turn(ctx, int32(rest[0].hops))
			}
			n = sh.handle(rest[:n])
			share := bytes * int64(n) / int64(len(rest))
			bytes -= share
			rest = rest[n:]
			sh.e.gate.queued.Add(int64(-n))
			sh.e.gate.queuedB.Add(-share)
			sh.e.gate.progress()
		}
		sh.head.Store(-1)
		if total > 0 {
			sh.e.gate.progress()
		}
		spare = recycle(events)
		if done := sh.last.Swap(nil); done != nil {
			sh.finish()
			*done <- struct{}{}
		}
	}
	sh.settle(true)
	if sh.script != nil {
		sh.script.Close()
	}
}

// handle passes events to the script and sends on what it emitted. It returns how many it handled: a script that emits
// many events for one ends the slice early, and so does the end of the engine.
func (sh *shard) handle(events []Event) int {
	start := time.Now()
	n, emitted := 0, 0
	for n < len(events) && emitted < sendLen && !sh.e.aborted.Load() {
		emitted += sh.one(&events[n])
		n++
	}
	sh.busy.Add(int64(time.Since(start)))
	sh.in.Add(int64(n))
	sh.out.Add(int64(emitted))
	sh.outbox.flush()
	sh.finisher.flush()
	return n
}

// one passes one event to the script and returns how many events it emitted. They are sent on by handle.
func (sh *shard) one(ev *Event) int {
	if ev.Index == nil && sh.stage.isFilter {
		if err := sh.index(ev); err != nil {
			reason := ReasonMalformed
			if err == lazyjson.ErrNotObject {
				if syntax := lazyjson.Validate(ev.Body); syntax != nil {
					err = syntax
				} else {
					reason = ReasonNotObject
				}
			}
			sh.deadLetter(ev, reason, err)
			return 0
		}
	}
	if ev.hops >= MaxHops {
		sh.deadLetter(ev, ReasonLoop, errLoop)
		return 0
	}
	if sh.breaker.out {
		return sh.bypass(ev)
	}
	script, here, err := sh.scriptOf(ev)
	switch {
	case !here:
		sh.outbox.pass(sh.e.stageRoute(sh.stage), ev.rec.batch.part.seats[sh.stage.n].sh.n, *ev)
		return 0
	case err != nil:
		sh.fault(ev, err)
		return 0
	}
	sh.results.Reset()
	err = script.Handle(ev, &sh.results)
	if sh.e.aborted.Load() {
		return 0 // what it waited for may have been cut off: the record is not finished, and comes again
	}
	if err != nil {
		sh.fault(ev, err)
		sh.broke(err)
		return 0
	}
	sh.breaker.row = 0
	return sh.emit(ev, &sh.results)
}

// emit sends on what a script made of ev. It returns how many events that are.
func (sh *shard) emit(ev *Event, results *Results) int {
	sh.arm(results, ev.rec.batch.part)
	n := len(results.Emitted)
	switch {
	case n == 0:
		sh.finisher.finish(ev.rec, 0)
		return 0
	case n > 1:
		if !ev.rec.fork(n) {
			sh.deadLetter(ev, ReasonFanOut, errFanOut)
			return 0
		}
	}
	for i := range results.Emitted {
		em := &results.Emitted[i]
		sh.outbox.add(em.Route, Event{Body: em.Body, Index: em.Index, rec: ev.rec, hops: ev.hops + 1})
	}
	return n
}

var (
	errLoop   = errors.New("the event passed 64 stages: the scripts route it in a loop")
	errFanOut = errors.New("more than 1000000 events were derived from one record")
)

// index validates ev and remembers where its fields are. The memory comes from a slab shared by neighbouring events.
func (sh *shard) index(ev *Event) error {
	const slabLen, room = 1024, 48
	if cap(sh.slab)-len(sh.slab) < room {
		sh.slab = make([]lazyjson.Field, 0, slabLen)
	}
	from := len(sh.slab)
	fields, err := lazyjson.IndexObject(sh.slab, ev.Body)
	if err != nil {
		return err
	}
	ev.Index = fields[from:len(fields):len(fields)]
	if sh.slab = fields; cap(fields) > slabLen {
		sh.slab = nil // an event with very many fields: it keeps this one to itself
	}
	return nil
}

// fault dead-letters ev after its script failed.
func (sh *shard) fault(ev *Event, err error) {
	sh.failed.Add(1)
	reason := ReasonScript
	var se *ScriptError
	if errors.As(err, &se) {
		reason = se.Reason()
		if se.Trace != "" {
			sh.log.Debug("script failed", "trace", se.Trace)
		}
	}
	sh.deadLetter(ev, reason, err)
}

func (sh *shard) deadLetter(ev *Event, reason string, err error) {
	sh.dead.Add(1)
	sh.e.deadLetter(sh.outbox, ev, sh.stage.kind()+" "+sh.stage.row.Tag, reason, err)
}

// finish calls the script's finish() and sends on what it emitted.
func (sh *shard) finish() {
	sh.results.Reset()
	if err := sh.script.Finish(&sh.results); err != nil {
		sh.failed.Add(1)
		sh.log.Error("finish() failed: what it emitted is lost", "script", sh.stage.row.Script, "err", err)
		sh.results.Reset()
	}
	sh.sendOwn("finish")
}

// arm hands the timers that a script set to the engine. They belong to a partition if the event did.
func (sh *shard) arm(results *Results, of *Partition) {
	for _, t := range results.Timers {
		sh.e.timers.add(t, of)
	}
}

// sendOwn sends on results that belong to no record; they are booked as read from "timer".
func (sh *shard) sendOwn(why string) {
	sh.arm(&sh.results, nil)
	sh.e.sendOwn(sh.outbox, nil, sh.results.Emitted, sh.stage.row.Tag+" "+why)
	sh.results.Reset()
}
