package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Scripts that keep state: a counter is exact after a crash only if what is saved of it was counted from just the records
// below the saved positions. So such a pipeline is stopped for a moment: the gate is held, what is in flight is finished,
// each worker encodes its state, the positions are taken, and the gate opens again; then all that is written as one file.
// The slowest stage has work during nearly all of that time, so it costs about a pass of the pipeline per second.

// checkpointEvery is the longest that records are acked and not saved while the pipeline and the disk work.
const checkpointEvery = time.Second

// firstCheckpoint is when the first one is saved: a process that is killed again and again within a second would read the
// same again each time, and forget which files it has found.
const firstCheckpoint = 100 * time.Millisecond

// A pipeline that does not come to rest within patience is let go on, for as long, and tried again: an output that is down
// must not stop those records that do not need it. Each try has twice the patience of the last, up to maxPatience, as a slow
// script may need long for what is in flight.
const (
	firstPatience = 2 * time.Second
	maxPatience   = 30 * time.Second
)

// stateShare is the part of the time that taking states may cost: of large ones a checkpoint is taken less often.
const stateShare = 20

var errNotAtRest = errors.New("records are in flight")

// keepCheckpoints saves the checkpoints soon and then every second until ctx is done.
func (e *Engine) keepCheckpoints(ctx context.Context) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	first := time.NewTimer(firstCheckpoint)
	defer first.Stop()
	failed := false
	patience := firstPatience
	last, told := time.Now(), false
	for {
		select {
		case <-tick.C:
		case <-first.C:
		case <-ctx.Done():
			return
		}
		try, stop := context.WithTimeout(ctx, patience)
		held, err := e.commit(try)
		stop()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotAtRest):
			if since := time.Since(last); since >= maxPatience && !told {
				told = true
				e.log.Warn("no checkpoint, as the pipeline does not come to rest: after a crash what was read meanwhile comes again; look for an output that is down, or a script that sends itself events", "for", since.Round(time.Second))
			}
			e.rest(ctx, patience)
			patience = min(2*patience, maxPatience)
			continue
		case err != nil && !failed:
			e.log.Error("checkpoints cannot be saved: after a crash more than the last second would come again", "err", err)
		case err == nil && failed:
			e.log.Info("checkpoints are saved again")
		}
		if told {
			e.log.Info("checkpoints are taken again", "after", time.Since(last).Round(time.Second))
		}
		failed, last, told = err != nil, time.Now(), false
		patience = firstPatience
		e.rest(ctx, stateShare*held-checkpointEvery)
	}
}

// rest pauses for a time, which may be negative.
func (e *Engine) rest(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// commit saves the checkpoints, with the states of scripts if any keeps some: then it waits until nothing is in flight, or
// returns errNotAtRest when ctx is done before. held is how long the states took.
func (e *Engine) commit(ctx context.Context) (held time.Duration, err error) {
	if !e.keepsState() {
		return 0, e.parts.Checkpoints.Save()
	}
	e.committing.Lock()
	defer e.committing.Unlock()
	plain := e.plain.Load()
	if plain == e.plainSaved && e.onlyPartitions() {
		return 0, nil // partitions save what their scripts keep, and there is nothing else
	}
	cut, held, err := e.cut(ctx)
	if err != nil {
		return held, err
	}
	if err := e.parts.Checkpoints.Write(cut); err != nil {
		return held, err
	}
	e.plainSaved = plain
	return held, nil
}

// onlyPartitions reports whether states move with the partitions of all inputs: these keep no positions here.
func (e *Engine) onlyPartitions() bool {
	for i := range e.moves {
		if !e.moves[i].Load() {
			return false
		}
	}
	return true
}

// commitReplay saves a checkpoint with what scripts have counted of a batch of dead letters, before the progress of the
// replay is saved. It returns ctx's error if there is none.
func (e *Engine) commitReplay(ctx context.Context) error {
	for e.keepsState() {
		try, stop := context.WithTimeout(ctx, firstPatience)
		_, err := e.commit(try)
		stop()
		if err == nil {
			break
		}
		e.rest(ctx, firstPatience)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// cut takes the checkpoint of a pipeline whose scripts keep state.
func (e *Engine) cut(ctx context.Context) (*Cut, time.Duration, error) {
	e.gate.hold()
	defer e.gate.open()
	if e.gate.waitIdle(ctx) != nil {
		return nil, 0, errNotAtRest
	}
	start := time.Now()
	states := map[string]StageState{}
	for _, st := range e.stages() {
		if !st.keepsState.Load() {
			continue
		}
		shards := make([][]byte, len(st.shards))
		answers := make(chan savedState, len(st.shards)) // room for all: a worker never waits
		for _, sh := range st.shards {
			sh.save.Store(&answers)
			sh.queue.poke()
		}
		for range st.shards {
			select {
			case a := <-answers:
				shards[a.shard] = a.data
			case <-ctx.Done():
				return nil, 0, errNotAtRest
			}
		}
		states[st.key()] = NewStageState(shards)
	}
	return e.parts.Checkpoints.Cut(states), time.Since(start), nil
}

// keepsState reports whether a script of the pipeline keeps state.
func (e *Engine) keepsState() bool {
	for _, st := range e.stages() {
		if st.keepsState.Load() {
			return true
		}
	}
	return false
}

// tellForgottenStates names what is kept for stages that are not there (any more).
func (e *Engine) tellForgottenStates() {
	known := map[string]bool{}
	for _, st := range e.stages() {
		known[st.key()] = true
	}
	for _, stage := range e.parts.Checkpoints.Stages() {
		if !known[stage] {
			e.log.Warn("the state of a stage that config.lua does not name is kept; `dragonfly state forget` removes it", "stage", stage)
		}
	}
}

// savedState is what a worker answers.
type savedState struct {
	shard int
	data  []byte
}

// key is the name under which the state of a stage is kept.
func (st *stage) key() string { return st.kind() + " " + st.row.Tag }

// answer gives the state of the shard's script to whom asks for it. A state that cannot be saved stays as it was saved last.
func (sh *shard) answer(to chan<- savedState) {
	to <- savedState{sh.n, sh.saveState()}
}

// saveState returns the state of the shard's script, encoded.
func (sh *shard) saveState() []byte { return sh.keeper.save(sh.script, sh.log, sh.stage.row.Script) }

// stateKeeper holds the state of one script as saved last. Only the worker touches it, except for what is atomic.
type stateKeeper struct {
	kept    []byte
	told    time.Time // that it cannot be saved
	bytes   atomic.Int64
	unsaved atomic.Bool // it can not be saved
}

// save returns the state of script, encoded; if that fails, as it was saved last.
func (k *stateKeeper) save(script Script, log *slog.Logger, name string) []byte {
	keeper, ok := script.(StateKeeper)
	if !ok {
		return k.kept
	}
	data, err := keeper.SaveState()
	if err != nil {
		k.unsaved.Store(true)
		if now := time.Now(); now.Sub(k.told) >= 30*time.Second {
			k.told = now
			log.Error("the state of a script cannot be saved: after a restart it would be what it was before", "script", name, "err", err)
		}
		return k.kept
	}
	if k.unsaved.Swap(false) {
		k.told = time.Time{}
		log.Info("the state of the script is saved again", "script", name)
	}
	k.kept = data
	k.bytes.Store(int64(len(data)))
	return data
}

// states returns what the script of the shard starts with: what it had before if it is replaced, else what was saved. If the
// stage had another number of workers, that is the states of all of them.
func (sh *shard) states() (saved [][]byte, resharded bool) {
	if sh.script != nil {
		return [][]byte{sh.saveState()}, false
	}
	saved = sh.e.parts.Checkpoints.State(sh.stage.key())
	n := len(sh.stage.shards)
	if len(saved) != n {
		if len(saved) > 0 && sh.n == 0 {
			sh.log.Info(fmt.Sprintf("the state that %d workers had is given to %d", len(saved), n))
		}
		return saved, len(saved) > 0
	}
	sh.keeper.kept = saved[sh.n]
	return saved[sh.n : sh.n+1], false
}
