package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Parts is what an Engine is built from: the components of each row of its Config, made by the command.
type Parts struct {
	Inputs    []Input   // one per Config.Inputs
	Finite    []bool    // one per Config.Inputs: it ends by itself
	Filters   []Program // one per Config.Inputs
	Analyzers []Program // one per Config.Analyzers
	Outputs   []Output  // one per Config.Outputs

	LogOutput        Output // what dragonfly.log_event writes
	StatsOutput      Output // what dragonfly.stats_event writes, and the engine's own figures
	DeadLetterOutput Output

	Opened      map[any]bool // inputs and outputs that are open already (taken over from the engine before a reload)
	Checkpoints *Checkpoints
	State       *os.Root  // the state directory, for spools; nil: no row may have one
	Counters    *Counters // nil: none
	Replay      *Replay   // dead letters that are sent back; nil: none
	WWW         string    // directory behind /www/; "" serves nothing
	Log         *slog.Logger

	// Metrics adds figures of what scripts share to /metrics; nil adds none. It may be called at any time.
	Metrics func(add func(name, kind, help string, value int64))

	// Interrupt makes host functions that wait for the outside fail at once while on is true: when drain_timeout is reached.
	Interrupt func(on bool) // nil: nothing waits
}

// Engine runs one Config. Use: New, Open, Run; then Close.
type Engine struct {
	cfg   *Config
	parts Parts
	log   *slog.Logger

	gate      *gate
	timers    *timers
	books     []*books // one per input, then "replay" and the engine's own ("timer")
	filters   []*stage
	analyzers []*stage
	sinks     []*sink // log, stats, dead letter, then the user's
	ports     []port
	dests     []dest // by Route: log, stats, dead letter, outputs, analyzers, filters
	routes    struct{ analyzers, outputs map[string]Route }
	files     wwwFiles

	opened     []bool   // by input
	unknown    sync.Map // tag -> *atomic.Int64
	complaints complaints
	started    time.Time
	committing sync.Mutex    // held while a checkpoint is taken
	state      atomic.Int32  // 0 not yet running, 1 running, 2 draining, 3 ended
	aborted    atomic.Bool   // drain_timeout is reached: what is not finished stays so
	ended      chan struct{} // closed when Run returns

	moves      []atomic.Bool // by input: the state of scripts moves with its partitions. Set by Run
	partitions sync.Map      // *Partition: those with scripts
	stopped    chan struct{} // closed when workers no longer answer
	plain      atomic.Int64  // batches that belong to no partition
	plainSaved int64         // as of the last checkpoint, -1 before the first; with committing held
}

// Destinations that every engine has, before those of the user.
const (
	routeDeadLetter Route = 2
	firstOutput     Route = 3
)

// New builds the pipeline of cfg. It opens and starts nothing.
func New(cfg *Config, parts Parts) (*Engine, error) {
	if len(parts.Inputs) != len(cfg.Inputs) || len(parts.Filters) != len(cfg.Inputs) ||
		len(parts.Analyzers) != len(cfg.Analyzers) || len(parts.Outputs) != len(cfg.Outputs) {
		return nil, errors.New("BUG: parts do not match the configuration")
	}
	if parts.Counters == nil {
		parts.Counters = NewCounters()
	}
	if parts.Checkpoints == nil {
		parts.Checkpoints = NewCheckpoints()
	}
	e := &Engine{cfg: cfg, parts: parts, log: parts.Log, timers: newTimers(), opened: make([]bool, len(cfg.Inputs)), ended: make(chan struct{}), stopped: make(chan struct{}), moves: make([]atomic.Bool, len(cfg.Inputs)), plainSaved: -1}
	e.files.dir = parts.WWW
	e.gate = newGate(cfg.MaxInFlight, cfg.MaxInFlightBytes)
	e.routes.analyzers, e.routes.outputs = map[string]Route{}, map[string]Route{}

	e.addSink(e.newSink(logSink, "log", "", parts.LogOutput))
	e.addSink(e.newSink(statsSink, "stats", "", parts.StatsOutput))
	dead := e.newSink(deadLetterSink, "dead-letter", cfg.DeadLetter, parts.DeadLetterOutput)
	dead.limit = cfg.DeadLetterSpool
	e.addSink(dead)
	for i, row := range cfg.Outputs {
		s := e.newSink(userSink, row.Tag, ShownURI(row.URI), parts.Outputs[i])
		s.limit, s.noSync = row.Spool, row.NoSync
		setFirst(e.routes.outputs, row.Tag, e.addSink(s))
	}
	for _, row := range cfg.Analyzers {
		st := &stage{row: row}
		e.analyzers = append(e.analyzers, st)
		setFirst(e.routes.analyzers, row.Tag, e.addStage(st))
	}
	for _, row := range cfg.Inputs {
		st := &stage{row: row.Filter, isFilter: true}
		e.filters = append(e.filters, st)
		e.addStage(st)
		e.books = append(e.books, &books{tag: row.Tag})
	}
	e.books = append(e.books, &books{tag: "replay"}, &books{tag: "timer"})
	for i, st := range e.stages() { // after all ports are there: an outbox has a buffer for each
		st.n = i
		for n := range st.row.Workers {
			sh := e.newShard(st, n)
			st.shards = append(st.shards, sh)
			e.ports[e.dests[e.stageRoute(st)].first+n].queue = &sh.queue
			e.gate.shards = append(e.gate.shards, sh)
		}
	}
	if len(parts.Opened) > 0 {
		for _, s := range e.sinks {
			s.opened = parts.Opened[s.out]
		}
		for i, in := range parts.Inputs {
			e.opened[i] = parts.Opened[in]
		}
	}
	if err := e.checkPartitions(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) addSink(s *sink) Route {
	e.sinks = append(e.sinks, s)
	e.dests = append(e.dests, dest{first: len(e.ports), shards: 1, sink: s})
	e.ports = append(e.ports, port{queue: &s.queue, sink: s})
	return Route(len(e.dests) - 1)
}

func (e *Engine) addStage(st *stage) Route {
	st.row.Workers = max(st.row.Workers, 1)
	e.dests = append(e.dests, dest{first: len(e.ports), shards: st.row.Workers, by: newKeyer(st.row.ShardBy), stage: st})
	e.ports = append(e.ports, make([]port, st.row.Workers)...)
	return Route(len(e.dests) - 1)
}

func (e *Engine) stages() []*stage { return append(append([]*stage{}, e.filters...), e.analyzers...) }

func (e *Engine) stageRoute(st *stage) Route {
	for i := range e.dests {
		if e.dests[i].stage == st {
			return Route(i)
		}
	}
	panic("BUG: stage without a route")
}

func (e *Engine) filterRoute(i int) Route {
	return firstOutput + Route(len(e.cfg.Outputs)+len(e.analyzers)+i)
}

func setFirst(routes map[string]Route, tag string, r Route) {
	tag = strings.ToLower(tag)
	if _, ok := routes[tag]; !ok {
		routes[tag] = r
	}
}

// Analyzer implements Router.
func (e *Engine) Analyzer(tag string) Route { return find(e.routes.analyzers, tag) }

// Output implements Router.
func (e *Engine) Output(tag string) Route { return find(e.routes.outputs, tag) }

func find(routes map[string]Route, tag string) Route {
	if r, ok := routes[strings.ToLower(tag)]; ok {
		return r
	}
	return NoRoute
}

// Unknown implements Router.
func (e *Engine) Unknown(stage, tag string) {
	n, seen := e.unknown.LoadOrStore(tag, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	if !seen {
		e.log.Warn("a script sends events to a tag that does not exist: they are dropped", "stage", stage, "tag", strconv.Quote(tag))
	}
}

// Open does what must be done before the process gives up its rights: it opens inputs and outputs, loads the scripts and
// runs their setup(). It fails for faults of the configuration and of scripts; what the outside world may mend later
// (a missing file, a sink that is down) is logged and tried again by Run.
func (e *Engine) Open(ctx context.Context) error {
	e.files.get()
	self.open()
	var errs []error
	for i := range e.parts.Inputs {
		if err := e.openInput(ctx, i); err != nil {
			if len(ConfigErrors(err)) > 0 {
				errs = append(errs, e.cfg.placed(err, fmt.Sprintf("inputs[%d]", i+1), e.cfg.Inputs[i].Line))
				continue
			}
			e.log.Error("input cannot be opened yet", "input", e.cfg.Inputs[i].Tag, "uri", ShownURI(e.cfg.Inputs[i].URI), "err", err)
		}
	}
	e.tellOrphans()
	for _, s := range e.sinks {
		if err := errors.Join(s.openSpool(), s.open(ctx)); err != nil {
			if len(ConfigErrors(err)) > 0 {
				errs = append(errs, err)
				continue
			}
			s.failing(err)
		}
	}
	for i, st := range e.filters {
		errs = append(errs, e.loadStage(st, e.parts.Filters[i]))
	}
	for i, st := range e.analyzers {
		errs = append(errs, e.loadStage(st, e.parts.Analyzers[i]))
	}
	return errors.Join(errs...)
}

func (e *Engine) openInput(ctx context.Context, i int) error {
	o, ok := e.parts.Inputs[i].(Opener)
	if !ok || e.opened[i] {
		return nil
	}
	err := o.Open(ctx)
	e.opened[i] = err == nil
	return err
}

func (e *Engine) loadStage(st *stage, program Program) error {
	for _, sh := range st.shards {
		if err := sh.load(program); err != nil {
			return fmt.Errorf("%s %s: %w", st.kind(), st.row.Tag, err)
		}
	}
	e.log.Info("Loaded "+st.row.Script, "stage", st.row.Tag, "workers", len(st.shards))
	return nil
}

// Run moves events until ctx is done or, if untilDrained, until every finite input has ended; then it drains: inputs stop,
// what is queued is finished, pending one-shot timers fire, finish() of each script runs, outputs are flushed. The drain
// after ctx ends with cfg.DrainTimeout; what is left then is not acked and comes again. Inputs and outputs stay open: see Close.
func (e *Engine) Run(ctx context.Context, untilDrained bool) error {
	e.started = time.Now()
	e.tellForgottenStates()
	e.setMoves()
	e.state.Store(1)
	defer close(e.ended)
	defer e.state.Store(3)
	abort, abortNow := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abortNow(nil)

	var workers, inputs, helpers, steady sync.WaitGroup // steady: what must have ended before the drain
	for _, s := range e.sinks {
		workers.Go(func() { s.run(abort) })
	}
	for _, sh := range e.gate.shards {
		workers.Go(func() { sh.run(abort) })
	}
	inputCtx, stopInputs := context.WithCancel(ctx)
	defer stopInputs()
	finite := make(chan struct{}, len(e.parts.Inputs))
	failures := make([]error, len(e.parts.Inputs)+1) // each written by its input's goroutine; the last one is of "replay"
	for i := range e.parts.Inputs {
		inputs.Go(func() {
			failures[i] = e.runInput(inputCtx, i, untilDrained)
			finite <- struct{}{}
		})
	}
	lastReplay, replayed := make(chan struct{}), make(chan struct{})
	inputs.Go(func() {
		defer close(replayed)
		failures[len(e.parts.Inputs)] = e.runReplay(inputCtx, lastReplay)
	})
	helperCtx, stopHelpers := context.WithCancel(abort)
	timerCtx, stopTimers := context.WithCancel(helperCtx)
	steady.Go(func() { e.timers.run(timerCtx, func(due []pendingTimer) { e.fireTimers(timerCtx, due) }) })
	commitCtx, stopCommits := context.WithCancel(helperCtx)
	steady.Go(func() { e.keepCheckpoints(commitCtx) })
	helpers.Go(func() { e.keepBooks(helperCtx) })
	e.log.Info("threads running", "inputs", len(e.parts.Inputs), "workers", len(e.gate.shards), "outputs", len(e.cfg.Outputs))

	e.waitInputs(ctx, finite, untilDrained)
	close(lastReplay)
	if untilDrained {
		select {
		case <-replayed:
		case <-ctx.Done():
		}
	}
	e.state.Store(2)
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(e.cfg.DrainTimeout, func() { abortNow(errDrainTimeout) })
		context.AfterFunc(abort, func() { t.Stop() })
	})
	defer stop()
	noAnswers := sync.OnceFunc(func() { close(e.stopped) })
	context.AfterFunc(abort, func() { e.aborted.Store(true); noAnswers() })
	if e.parts.Interrupt != nil {
		quiet := context.AfterFunc(abort, func() { e.parts.Interrupt(true) })
		defer func() {
			if !quiet() {
				e.parts.Interrupt(false)
			}
		}()
	}
	stopInputs()
	stopCommits()
	inputs.Wait()
	stopTimers()
	steady.Wait()
	err := e.drain(abort)
	if err == nil || !e.keepsState() { // else the last checkpoint stands
		_, failed := e.commit(abort)
		err = errors.Join(err, failed)
	} else {
		e.parts.Checkpoints.Rollback()
	}
	if err == nil {
		e.drainSpools(ctx, abort)
	} else {
		for _, in := range e.parts.Inputs {
			if r, ok := in.(Rewinder); ok {
				r.Rewind()
			}
		}
	}
	for _, p := range e.ports {
		p.queue.close()
	}
	workers.Wait()
	noAnswers()
	e.closePartitions()
	stopHelpers()
	helpers.Wait()
	if cause := context.Cause(abort); err != nil && cause == errDrainTimeout {
		n, _ := e.gate.inFlight()
		err = fmt.Errorf("%w after %v: %d records are not finished", errDrainTimeout, e.cfg.DrainTimeout, n)
	}
	return errors.Join(errors.Join(failures...), err, e.settleReplay(err == nil))
}

var errDrainTimeout = errors.New("drain_timeout reached")

// waitInputs returns when ctx is done or every finite input has ended.
func (e *Engine) waitInputs(ctx context.Context, ended <-chan struct{}, untilDrained bool) {
	wait := 0
	for i := range e.parts.Finite {
		if e.parts.Finite[i] {
			wait++
		}
	}
	if !untilDrained {
		<-ctx.Done()
		return
	}
	for range wait {
		select {
		case <-ended: // only finite inputs end before ctx does
		case <-ctx.Done():
			return
		}
	}
}

// drain finishes everything that is queued. It returns early if abort is done.
func (e *Engine) drain(abort context.Context) error {
	if err := e.gate.waitIdle(abort); err != nil {
		return err
	}
	if last := e.timers.drain(); len(last) > 0 {
		emissions, _ := emissionsOf(last)
		e.sendOwn(e.newOutbox(), nil, emissions, "timer")
		if err := e.gate.waitIdle(abort); err != nil {
			return err
		}
	}
	for _, st := range e.stages() {
		done := make(chan struct{}, len(st.shards))
		for _, sh := range st.shards {
			sh.last.Store(&done)
			sh.queue.poke()
		}
		for range st.shards {
			select {
			case <-done:
			case <-abort.Done():
				return abort.Err()
			}
		}
		if err := e.gate.waitIdle(abort); err != nil {
			return err
		}
	}
	return nil
}

// runInput runs one input until it ends or ctx is done, again after every fault. With untilDrained it gives up a source
// that does not exist or is damaged.
func (e *Engine) runInput(ctx context.Context, i int, untilDrained bool) error {
	row, in := &e.cfg.Inputs[i], e.parts.Inputs[i]
	log := e.log.With("input", row.Tag)
	log.Info("Running "+row.Tag, "uri", ShownURI(row.URI))
	emit, run := e.emitter(i), in.Run
	if e.moves[i].Load() {
		p := in.(Partitioned)
		run = func(ctx context.Context, emit EmitFunc) error { return p.RunPartitions(ctx, emit, e.openPartition) }
	}
	for wait := (backoff{}); ; {
		err := e.openInput(ctx, i)
		if err == nil {
			err = run(ctx, func(ctx context.Context, b Batch) error {
				wait = backoff{}
				return emit(ctx, b)
			})
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			log.Info(row.Tag + " exiting: its source has ended")
			return nil
		}
		if untilDrained && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged)) {
			return fmt.Errorf("input %s: %w", row.Tag, err)
		}
		log.Error("input does not work, trying again", "uri", ShownURI(row.URI), "err", err)
		if wait.sleep(ctx) != nil {
			return nil
		}
	}
}

// emitter returns the EmitFunc of input i. Like the input, it is used by one goroutine at a time.
func (e *Engine) emitter(i int) EmitFunc {
	row, books, route := &e.cfg.Inputs[i], e.books[i], e.filterRoute(i)
	out := e.newOutbox()
	var fin finisher
	return func(ctx context.Context, b Batch) error {
		if len(b.Records) == 0 {
			if b.Done != nil {
				b.Done()
			}
			return nil
		}
		var bytes int64
		for i := range b.Records {
			bytes += int64(len(b.Records[i].Body))
		}
		if err := e.gate.admit(ctx, len(b.Records), bytes); err != nil {
			return err
		}
		batch := e.gate.newBatch(books, b.Origin, len(b.Records), bytes, b.Done)
		if batch.part = b.Partition; b.Partition != nil {
			b.Partition.enter(len(b.Records))
		} else {
			e.plain.Add(1)
		}
		for i := range b.Records {
			r, rec := &b.Records[i], &batch.records[i]
			rec.offset = r.Offset
			ev := Event{Body: r.Body, rec: rec}
			if r.Reject != "" {
				e.deadLetter(out, &ev, "input "+row.Tag, r.Reject, rejectText(r.Reject))
				continue
			}
			out.add(route, ev)
		}
		out.flush()
		fin.flush()
		return nil
	}
}

// Reopen lets every output reopen its file after what it is writing.
func (e *Engine) Reopen() {
	for _, s := range e.sinks {
		s.reopen.Store(true)
		s.queue.poke()
	}
}

// Swap puts new programs in the place of the running ones, shard by shard, between two events. A script whose setup()
// fails leaves its shard with the old one; all such errors are returned. Queues, inputs and outputs are not touched.
func (e *Engine) Swap(ctx context.Context, filters, analyzers []Program) error {
	programs := append(append([]Program{}, filters...), analyzers...)
	done := make(chan error, len(e.gate.shards))
	n := 0
	for i, st := range e.stages() {
		for _, sh := range st.shards {
			sh.next.Store(&swap{programs[i], done})
			sh.queue.poke()
			n++
		}
	}
	var errs []error
	for range n {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-e.ended:
			return errors.New("the engine has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.tellStaying()
	return errors.Join(errs...)
}

// Close closes the inputs and outputs except those in keep (which another engine takes over).
func (e *Engine) Close(keep map[any]bool) error {
	var errs []error
	for _, in := range e.parts.Inputs {
		if c, ok := in.(Closer); ok && !keep[in] {
			errs = append(errs, c.Close())
		}
	}
	for _, s := range e.sinks {
		errs = append(errs, s.closeSpool())
		if !keep[s.out] {
			if err := s.close(); err != nil {
				errs = append(errs, fmt.Errorf("output %s: %w", s.tag, err))
			}
		}
	}
	e.files.close()
	return errors.Join(errs...)
}

// IsOpen reports whether an input or output of this engine is open, so that another engine may take it over.
func (e *Engine) IsOpen(component any) bool {
	for _, s := range e.sinks {
		if s.out == component {
			return s.opened
		}
	}
	for i, in := range e.parts.Inputs {
		if in == component {
			return e.opened[i]
		}
	}
	return false
}

// Ledger returns the accounts of all inputs, and if they have any of "replay" (dead letters that were sent back) and of "timer"
// (events of timers, setup and finish).
func (e *Engine) Ledger() []Account {
	var list []Account
	for i, b := range e.books {
		a := b.account()
		if i < len(e.cfg.Inputs) || a.Read > 0 {
			list = append(list, a)
		}
	}
	return list
}
