package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

// Partitioned is an Input whose source consists of partitions that move from process to process, such as those of a Kafka topic.
type Partitioned interface {
	Input
	// MovesState says whether the state of scripts moves with the partitions. Then, if a script keeps some, RunPartitions is called in
	// the place of Run.
	MovesState() bool
	// RunPartitions is Run for an input that opens a Partition for each that it reads, and emits no record without one.
	RunPartitions(ctx context.Context, emit EmitFunc, open OpenPartition) error
}

// OpenPartition loads scripts for a partition, with the states that Save or Finish returned before, perhaps in another process;
// nil are none. origin is that of the partition's batches. An error is one of a script: of its setup(), or of a state that it
// cannot read. It may be called from any goroutine.
type OpenPartition func(origin string, states map[string]StageState) (*Partition, error)

// Partition is one partition of a source while this process reads it: a shard of its own in each stage that keeps state. Its
// events, and what is derived from them, meet a script that sees no others, so that its state can go where the partition goes.
// These scripts are run by the stage's workers, always the same one for a partition.
//
// The caller calls Save, Finish and Close one at a time and emits nothing meanwhile; Close is last.
type Partition struct {
	e      *Engine
	origin string
	hash   uint64
	seats  []seat                // by stage.n
	others map[string]StageState // of stages that do not keep state, or are not there

	mu     sync.Mutex
	n      int           // records in flight: of its batches, its timers, setup() and finish()
	held   bool          // its timers wait
	closed bool          // its timers are gone, and so are its scripts once n is 0
	idle   chan struct{} // 1 token when n has fallen to 0

	touched atomic.Bool
}

// seat is the script of one partition in one stage. Once the partition is open only the worker of sh touches it.
type seat struct {
	sh      *shard
	script  Script   // nil: the stage kept no state yet
	program *Program // of script; another one than sh.program when that was replaced
	keeper  stateKeeper
	failed  error // of the last try to load the script

	taken atomic.Bool // there is a script
}

var errEngineEnds = errors.New("the engine ends")

// openPartition is an OpenPartition.
func (e *Engine) openPartition(origin string, states map[string]StageState) (*Partition, error) {
	p := &Partition{e: e, origin: origin, hash: hashOrigin(origin), others: maps.Clone(states), idle: make(chan struct{}, 1)}
	if p.others == nil {
		p.others = map[string]StageState{}
	}
	stages := e.stages()
	p.seats = make([]seat, len(stages))
	var results Results
	out := e.newOutbox()
	for _, st := range stages {
		s := &p.seats[st.n]
		s.sh = st.shards[p.hash%uint64(len(st.shards))]
		if shards := p.others[st.key()].Shards; len(shards) > 0 {
			s.keeper.kept = shards[0]
		}
		if !st.keepsState.Load() {
			continue
		}
		if err := s.load(p, &results); err != nil {
			p.closeScripts()
			return nil, fmt.Errorf("%s %s: %w", st.kind(), st.row.Tag, err)
		}
		e.sendFrom(p, out, &results, st.row.Tag+" setup")
	}
	e.partitions.Store(p, nil)
	return p, nil
}

// load makes the script of the program that the shard has now.
func (s *seat) load(p *Partition, out *Results) error {
	program := s.sh.program.Load()
	s.program = program
	out.Reset()
	var states [][]byte
	if s.script != nil {
		states = [][]byte{s.save()}
	} else if s.keeper.kept != nil {
		states = [][]byte{s.keeper.kept}
	}
	script, err := (*program).Load(s.sh.env(states, false, s.sh.log.With("origin", p.origin)), out)
	s.failed = err
	if err != nil {
		out.Reset()
		return err
	}
	if s.script != nil {
		s.script.Close()
	}
	s.script = script
	s.taken.Store(true)
	return nil
}

// save returns the state of the script, encoded.
func (s *seat) save() []byte {
	return s.keeper.save(s.script, s.sh.log, s.sh.stage.row.Script)
}

// scriptOf returns the script that handles ev. here is false if that is up to another worker of the stage.
func (sh *shard) scriptOf(ev *Event) (script Script, here bool, err error) {
	p := ev.rec.batch.part
	if p == nil || !sh.stage.keepsState.Load() {
		return sh.script, true, nil
	}
	s := &p.seats[sh.stage.n]
	if s.sh != sh {
		return nil, false, nil
	}
	if s.program == sh.program.Load() && s.script != nil {
		return s.script, true, nil
	}
	err = sh.replace(p, s)
	return s.script, true, err
}

// replace loads the script of a partition after the program was replaced. If that fails the old one goes on, if there is one.
func (sh *shard) replace(p *Partition, s *seat) error {
	if s.program == sh.program.Load() { // it failed before
		return s.failed
	}
	var results Results
	if err := s.load(p, &results); err != nil {
		sh.log.Error("the script of a partition could not be replaced", "origin", p.origin, "script", sh.stage.row.Script, "err", err)
		if s.script != nil {
			return nil
		}
		return err
	}
	sh.e.sendFrom(p, sh.outbox, &results, sh.stage.row.Tag+" setup")
	return nil
}

// sendFrom sends on what setup() or finish() of a partition's script gave.
func (e *Engine) sendFrom(p *Partition, out *outbox, results *Results, origin string) {
	for _, t := range results.Timers {
		e.timers.add(t, p)
	}
	e.sendOwn(out, p, results.Emitted, origin)
	results.Reset()
}

// Touched reports whether scripts may have changed their states since the last Save.
func (p *Partition) Touched() bool { return p.touched.Load() }

// Save waits until no record of the partition is in flight and returns what the scripts keep: they have handled just the records
// that were emitted until now. The error is ctx's, or that the engine ends.
func (p *Partition) Save(ctx context.Context) (map[string]StageState, error) {
	p.hold(true)
	defer p.hold(false)
	if err := p.waitIdle(ctx); err != nil {
		return nil, err
	}
	return p.states(ctx)
}

// Finish does the same at the end: timers that fire once fire before, repeating ones are removed, and finish() of each script runs.
func (p *Partition) Finish(ctx context.Context) (map[string]StageState, error) {
	p.hold(true)
	if err := p.waitIdle(ctx); err != nil {
		return nil, err
	}
	if last := p.e.timers.drainOf(p); len(last) > 0 {
		emissions, _ := emissionsOf(last)
		p.e.sendOwn(p.e.newOutbox(), p, emissions, "timer")
		if err := p.waitIdle(ctx); err != nil {
			return nil, err
		}
	}
	for i := range p.seats {
		if s := &p.seats[i]; s.taken.Load() {
			if err := p.ask(ctx, []*seat{s}, func(s *seat) { s.sh.finishPart(p, s) }); err != nil {
				return nil, err
			}
			if err := p.waitIdle(ctx); err != nil {
				return nil, err
			}
		}
	}
	return p.states(ctx)
}

// finishPart calls finish() of a partition's script.
func (sh *shard) finishPart(p *Partition, s *seat) {
	var results Results
	if err := s.script.Finish(&results); err != nil {
		sh.failed.Add(1)
		sh.log.Error("finish() failed: what it emitted is lost", "origin", p.origin, "script", sh.stage.row.Script, "err", err)
		results.Reset()
	}
	sh.e.sendFrom(p, sh.outbox, &results, sh.stage.row.Tag+" finish")
}

// states returns the states of the scripts of a partition that is at rest.
func (p *Partition) states(ctx context.Context) (map[string]StageState, error) {
	p.touched.Store(false)
	var seats []*seat
	for i := range p.seats {
		if s := &p.seats[i]; s.taken.Load() {
			seats = append(seats, s)
		}
	}
	saved := make([][]byte, len(p.seats))
	err := p.ask(ctx, seats, func(s *seat) { saved[s.sh.stage.n] = s.save() })
	if err != nil {
		p.touched.Store(true)
		return nil, err
	}
	all := maps.Clone(p.others)
	for i, data := range saved {
		if data != nil {
			all[p.seats[i].sh.stage.key()] = NewStageState([][]byte{data})
		}
	}
	p.others = maps.Clone(all)
	return all, nil
}

// ask lets the workers of seats call f, and waits for them.
func (p *Partition) ask(ctx context.Context, seats []*seat, f func(s *seat)) error {
	done := make(chan struct{}, len(seats))
	for _, s := range seats {
		s.sh.ask(func() {
			f(s)
			done <- struct{}{}
		})
	}
	for range seats {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.e.stopped:
			return errEngineEnds
		}
	}
	return nil
}

// ask lets the worker call f between two batches. A worker that has ended does not.
func (sh *shard) ask(f func()) {
	sh.askMu.Lock()
	sh.asked = append(sh.asked, f)
	sh.askMu.Unlock()
	sh.queue.poke()
}

// answerAll does what others have asked for.
func (sh *shard) answerAll() {
	sh.askMu.Lock()
	list := sh.asked
	sh.asked = nil
	sh.askMu.Unlock()
	for _, f := range list {
		f()
	}
}

// Close gives the partition up: its timers are gone, and its scripts are closed when its last record is finished.
func (p *Partition) Close() {
	p.mu.Lock()
	p.closed = true
	last := p.n == 0
	p.mu.Unlock()
	p.e.timers.drainOf(p)
	if last {
		p.leave()
	}
}

// leave lets the workers close the scripts.
func (p *Partition) leave() {
	for i := range p.seats {
		s := &p.seats[i]
		s.sh.ask(func() {
			if s.script != nil {
				s.script.Close()
				s.script = nil
			}
		})
	}
	p.e.partitions.Delete(p)
}

// closeScripts closes the scripts of a partition that no worker knows (any more).
func (p *Partition) closeScripts() {
	for i := range p.seats {
		if s := &p.seats[i]; s.script != nil {
			s.script.Close()
			s.script = nil
		}
	}
}

// closePartitions is called when the workers have ended.
func (e *Engine) closePartitions() {
	for _, sh := range e.gate.shards {
		sh.answerAll()
	}
	e.partitions.Range(func(p, _ any) bool {
		p.(*Partition).closeScripts()
		e.partitions.Delete(p)
		return true
	})
}

// enter takes n records in flight.
func (p *Partition) enter(n int) {
	p.touched.Store(true)
	p.mu.Lock()
	p.n += n
	p.mu.Unlock()
}

// enterTimers does the same for events of timers, unless the partition is held or closed.
func (p *Partition) enterTimers(n int) (entered, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.closed {
		return false, p.closed
	}
	p.n += n
	p.touched.Store(true)
	return true, false
}

// release gives back what enter took.
func (p *Partition) release(n int) {
	p.mu.Lock()
	p.n -= n
	last := p.n == 0 && p.closed
	if p.n == 0 {
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}
	p.mu.Unlock()
	if last {
		p.leave()
	}
}

func (p *Partition) hold(on bool) {
	p.mu.Lock()
	p.held = on
	p.mu.Unlock()
}

// waitIdle returns when no record of the partition is in flight.
func (p *Partition) waitIdle(ctx context.Context) error {
	for {
		p.mu.Lock()
		n := p.n
		p.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-p.idle:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.e.stopped:
			return errEngineEnds
		}
	}
}

// checkPartitions finds stages whose workers are chosen by something else than the partition that their state belongs to.
func (e *Engine) checkPartitions() error {
	var errs []error
	for i, in := range e.parts.Inputs {
		p, ok := in.(Partitioned)
		if !ok || !p.MovesState() {
			continue
		}
		for n, st := range e.stages() {
			program := append(append([]Program{}, e.parts.Filters...), e.parts.Analyzers...)[n]
			keeps, ok := program.(StatefulProgram)
			if !ok || !keeps.KeepsState() || st.row.Workers == 1 || len(st.row.ShardBy) == 0 || newKeyer(st.row.ShardBy).origin || st.isFilter && st != e.filters[i] {
				continue
			}
			place := fmt.Sprintf("analyzers[%d]", n-len(e.filters)+1)
			if st.isFilter {
				place = fmt.Sprintf("inputs[%d]", n+1)
			}
			file, row := e.cfg.Place(place)
			errs = append(errs, &ConfigError{File: file, Line: st.row.Line, Key: row + ".shard_by",
				Msg: fmt.Sprintf("is %q, but the state of %s moves with the partitions of input %s: want \"@origin\" or none (and that field as the key of the topic), or workers = 1", st.row.ShardBy, st.row.Script, e.cfg.Inputs[i].Tag)})
		}
	}
	return errors.Join(errs...)
}

// setMoves notes with which inputs the state of scripts moves, if any script keeps some.
func (e *Engine) setMoves() {
	for i, in := range e.parts.Inputs {
		p, ok := in.(Partitioned)
		e.moves[i].Store(ok && p.MovesState() && e.keepsState())
	}
	e.tellStaying()
}

// tellStaying warns of scripts whose state stays here when a partition goes.
func (e *Engine) tellStaying() {
	for i, in := range e.parts.Inputs {
		p, ok := in.(Partitioned)
		if !ok || e.moves[i].Load() || !e.keepsState() {
			continue
		}
		remedy := "name a server for all processes, in config.lua (redis) or in the row of the input (state)"
		if p.MovesState() {
			remedy = "restart, as no script kept state when this engine began"
		}
		e.log.Warn("the table `state` of scripts stays in this process when a partition goes to another, and what follows a crash may be counted twice: "+remedy, "input", e.cfg.Inputs[i].Tag)
	}
}
