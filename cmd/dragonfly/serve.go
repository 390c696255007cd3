package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	_ "time/tzdata" // time zones work in a chroot

	"dragonfly/engine"
	"dragonfly/luabind"
)

// checkpointFile and replayDir are in the state directory.
const (
	checkpointFile = "checkpoint.json"
	replayDir      = "replay"
)

// lockWait is how long the process waits for one that is ending.
const lockWait = 5 * time.Second

// serve runs the pipeline of a root until it is drained.
func serve(ctx context.Context, f flags, at place, stdout, stderr io.Writer) error {
	log := newLog(stderr, f.verbose)
	signals := make(chan os.Signal, 64) // asked for already here: HUP and USR1 would end a process that does not
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
	defer signal.Stop(signals)
	log.Debug("version: " + version)
	log.Info("root directory: " + at.root)
	log.Info("log dir: " + at.logDir)
	hardenProcess(log)
	notify := newNotifier(log)
	log.Debug("analyzer dir: " + filepath.Join(at.root, "analyzers") + ", " + filepath.Join(at.root, "analyzer"))
	if err := os.Chdir(at.root); err != nil { // scripts name files relative to ROOT
		return err
	}
	outside, err := lookOutside(f)
	if err != nil {
		return err
	}
	loader, err := luabind.NewLoader(at.root, luabind.Options{Stdout: stdout, Roots: outside.roots, Hosts: outside.hosts})
	if err != nil {
		return err
	}
	defer loader.Close()
	unlock, err := lockState(at.stateDir, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	checkpoints, err := engine.OpenCheckpoints(filepath.Join(at.stateDir, checkpointFile))
	if err != nil {
		log.Error(err.Error())
	}
	replay, err := engine.OpenReplay(filepath.Join(at.stateDir, replayDir))
	if err != nil {
		log.Error("dead letters cannot be replayed until the next start", "err", err)
	} else {
		defer replay.Close()
	}
	state, err := os.OpenRoot(at.stateDir) // works in a chroot, too
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	defer state.Close()
	b := &builder{place: at, log: log, loader: loader, checkpoints: checkpoints, counters: engine.NewCounters(), replay: replay, state: state}
	p, err := b.build(nil)
	if err != nil {
		return err
	}
	if f.exit && !slices.Contains(p.parts.Finite, true) {
		return &engine.ConfigError{File: p.cfg.File, Key: "inputs", Msg: "-x ends when the inputs that have an end are drained, and none of these has one"}
	}
	web := newWeb(p.cfg.Listen, at.runDir, log)
	defer web.close()
	sh, err := openRedis(p.cfg, at, outside, loader, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := sh.close(); err != nil {
			log.Error("the end of redis and the store", "err", err)
		}
	}()
	b.shared.Store(sh)
	if err := p.engine.Open(ctx); err != nil {
		p.engine.Close(nil)
		return err
	}
	b.drops.good = b.drops.now
	notes, err := watchDropIn(at.root, p.cfg.DropIn)
	if err != nil {
		return err
	}
	defer notes.close()
	if err := b.confine(f, outside, p, web); err != nil {
		return err
	}
	s := &server{builder: b, flags: f, web: web, notify: notify, pipeline: p, signals: signals, dropped: make(chan struct{}, 1)}
	s.drops.notes = notes
	return s.run(ctx)
}

// server runs one engine after the other: the first, and a new one after each reload that changes more than scripts.
type server struct {
	*builder
	flags    flags
	web      *web
	notify   *notifier
	pipeline *pipeline
	next     atomic.Pointer[pipeline] // set by a reload that ends the running engine
	dropped  chan struct{}            // 1 token: files of drop_in have changed
	signals  chan os.Signal           // from the start to the end: what comes between two engines waits for the second
}

func (s *server) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT)
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan struct{}) // closed when this function returns
	defer close(ended)
	var runs atomic.Pointer[engine.Engine]
	runs.Store(s.pipeline.engine)
	wg.Go(func() { s.notify.watch(ended, func() { runs.Load().Ledger() }) })
	if dir := s.pipeline.cfg.DropIn; dir != "" {
		known := sumOf(s.drops.good, nil)
		wg.Go(func() { s.watchDropIns(ended, dir, known) })
	}
	s.notify.tell("READY=1\nSTATUS=running")
	for {
		p := s.pipeline
		runs.Store(p.engine)
		s.web.show(p.engine)
		runCtx, end := context.WithCancelCause(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			s.watch(runCtx, s.signals, end, stop)
		}()
		err := p.engine.Run(runCtx, s.flags.exit)
		end(nil)
		if ctx.Err() != nil {
			s.shared.Load().interrupt.Store(true) // a reload may wait for redis
		}
		<-watched
		s.account(p.engine)
		next := s.next.Swap(nil)
		if next == nil || ctx.Err() != nil {
			return errors.Join(err, p.engine.Close(nil))
		}
		if err != nil {
			s.log.Error("the old pipeline did not end well", "err", err)
		}
		if err := p.engine.Close(next.kept()); err != nil {
			s.log.Error("closing what is no longer used", "err", err)
		}
		s.pipeline = next
		if err := next.engine.Open(ctx); err != nil {
			return err
		}
		s.log.Info("the new configuration runs")
	}
}

// watch answers signals while one engine runs. end lets the engine drain; stop ends the process after that.
func (s *server) watch(ctx context.Context, signals <-chan os.Signal, end context.CancelCauseFunc, stop func()) {
	var reloading sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	reload := func(why reloadReason) { // TERM must not wait for it
		reloading.Lock()
		defer reloading.Unlock()
		if ctx.Err() == nil {
			s.reload(ctx, why, end)
		}
	}
	for {
		select {
		case <-s.dropped:
			wg.Go(func() { reload(filesDropped) })
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				s.pipeline.engine.Reopen()
			case syscall.SIGHUP:
				wg.Go(func() { reload(asked) })
			default:
				s.log.Info("draining; a second signal aborts", "signal", sig.String())
				s.notify.tell("STOPPING=1\nSTATUS=draining")
				stop()
				end(nil)
				go func() {
					for sig := <-signals; sig != syscall.SIGTERM && sig != syscall.SIGINT; {
						sig = <-signals // a rotation of logs goes on until the end
					}
					s.log.Error("aborted: what is not finished is read again at the next start")
					os.Exit(exitFailure)
				}()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// reload reads config.lua and the scripts again. If they do not load, the old ones go on.
func (s *server) reload(ctx context.Context, why reloadReason, end context.CancelCauseFunc) {
	s.log.Info("reloading")
	s.notify.reloading()
	defer s.notify.tell("READY=1\nSTATUS=running")
	s.loader.Forget()
	next, refused, err := s.drops.settle(s.prepare)
	for _, r := range refused {
		report(logWriter{s.log}, r.why)
		s.log.Error("a file of drop_in is not taken: what was there before goes on", "file", r.name)
	}
	if err != nil {
		s.tell(err)
		return
	}
	same := !next.renews && sameRows(s.pipeline.cfg, next.cfg)
	if why == filesDropped && same { // the scripts go on with what they remember
		s.log.Info("the files of drop_in change nothing")
		return
	}
	if s.shared.Load().changed(next.cfg) {
		s.log.Warn("what config.lua says of redis and the store has changed: that takes effect at the next start")
	}
	if old := s.pipeline.cfg; old.Listen != next.cfg.Listen || !reflect.DeepEqual(old.Confine, next.cfg.Confine) {
		s.log.Warn("what config.lua says of listen and of the confinement has changed: that takes effect at the next start")
	}
	if s.pipeline.cfg.DropIn != next.cfg.DropIn {
		s.log.Warn("another directory is drop_in: its changes are seen after the next start")
	}
	if same {
		if err := s.pipeline.engine.Swap(ctx, next.parts.Filters, next.parts.Analyzers); err != nil {
			s.log.Error("not every script could be exchanged: the old one goes on there", "err", err)
			return
		}
		s.log.Info("the new scripts run")
		return
	}
	s.next.Store(next)
	end(&engine.Handover{Kept: next.kept()})
}

// dryRun loads every script once and runs its setup(), without sending what it emits.
func (p *pipeline) dryRun() error {
	var errs []error
	try := func(row engine.StageRow, filter bool, prog engine.Program) {
		var out engine.Results
		sc, err := prog.Load(engine.ScriptEnv{Stage: row.Tag, IsFilter: filter, DefaultAnalyzer: row.DefaultAnalyzer,
			DefaultOutput: row.DefaultOutput, Timeout: row.Timeout, Router: p.engine, Statistics: p.engine.Statistics}, &out)
		if errs = append(errs, err); err == nil {
			sc.Close()
		}
	}
	for i, row := range p.cfg.Inputs {
		try(row.Filter, true, p.parts.Filters[i])
	}
	for i, row := range p.cfg.Analyzers {
		try(row, false, p.parts.Analyzers[i])
	}
	return errors.Join(errs...)
}

// account prints the ledger.
func (s *server) account(e *engine.Engine) {
	for _, a := range e.Ledger() {
		s.log.Info("ledger: " + a.String())
	}
	if s.log.Enabled(context.Background(), slog.LevelDebug) || os.Getenv("DRAGONFLY_MEMSTATS") != "" {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.log.Info("memory", "allocations", m.Mallocs, "allocated_bytes", m.TotalAlloc, "collections", m.NumGC)
	}
	for _, l := range s.counters.NonZero() {
		s.log.Info(fmt.Sprintf("counter: %s %s: %s %d", l.Kind, l.Tag, l.Name, l.N))
	}
}

// logWriter lets report write to a log.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	w.log.Error(strings.TrimSuffix(strings.TrimPrefix(string(b), "dragonfly: "), "\n"))
	return len(b), nil
}
