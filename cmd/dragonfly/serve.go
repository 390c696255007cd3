package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
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

// checkpointFile is in the state directory.
const checkpointFile = "checkpoint.json"

// serve runs the pipeline of a root until it is drained.
func serve(ctx context.Context, f flags, at place, stdout, stderr io.Writer) error {
	log := newLog(stderr, f.verbose)
	log.Debug("version: " + version)
	log.Info("root directory: " + at.root)
	log.Info("log dir: " + at.logDir)
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
	checkpoints, err := engine.OpenCheckpoints(filepath.Join(at.stateDir, checkpointFile))
	if err != nil {
		log.Error(err.Error())
	}
	state, err := os.OpenRoot(at.stateDir) // works in a chroot, too
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	defer state.Close()
	b := &builder{place: at, log: log, loader: loader, checkpoints: checkpoints, counters: engine.NewCounters(), state: state}
	p, err := b.build(nil)
	if err != nil {
		return err
	}
	if f.exit && !slices.Contains(p.parts.Finite, true) {
		return &engine.ConfigError{File: p.cfg.File, Key: "inputs", Msg: "-x ends when the inputs that have an end are drained, and none of these has one"}
	}
	web := newWeb(p.cfg.Listen, log)
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
	if err := outside.confine(f, at, log); err != nil {
		return err
	}
	s := &server{builder: b, flags: f, web: web, pipeline: p}
	return s.run(ctx)
}

// server runs one engine after the other: the first, and a new one after each reload that changes more than scripts.
type server struct {
	*builder
	flags    flags
	web      *web
	pipeline *pipeline
	next     atomic.Pointer[pipeline] // set by a reload that ends the running engine
}

func (s *server) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for {
		p := s.pipeline
		s.web.show(p.engine)
		runCtx, end := context.WithCancel(ctx)
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			s.watch(runCtx, signals, end, stop)
		}()
		err := p.engine.Run(runCtx, s.flags.exit)
		end()
		signal.Stop(signals)
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
		keep := map[any]bool{}
		for _, c := range next.keys {
			keep[c] = true
		}
		if err := p.engine.Close(keep); err != nil {
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
func (s *server) watch(ctx context.Context, signals <-chan os.Signal, end, stop func()) {
	var reloading sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGUSR1:
				s.pipeline.engine.Reopen()
			case syscall.SIGHUP:
				wg.Go(func() { // TERM must not wait for it
					reloading.Lock()
					defer reloading.Unlock()
					if ctx.Err() == nil {
						s.reload(ctx, end)
					}
				})
			default:
				s.log.Info("draining; a second signal aborts", "signal", sig.String())
				stop()
				end()
				go func() {
					<-signals
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
func (s *server) reload(ctx context.Context, end func()) {
	s.log.Info("reloading")
	s.loader.Forget()
	next, err := s.build(s.pipeline)
	if err != nil {
		report(logWriter{s.log}, err)
		s.log.Error("the new configuration does not load: the old one goes on")
		return
	}
	if err := next.dryRun(); err != nil {
		report(logWriter{s.log}, err)
		s.log.Error("a new script does not load: the old ones go on")
		return
	}
	if s.shared.Load().changed(next.cfg) {
		s.log.Warn("what config.lua says of redis and the store has changed: that takes effect at the next start")
	}
	if sameRows(s.pipeline.cfg, next.cfg) {
		if err := s.pipeline.engine.Swap(ctx, next.parts.Filters, next.parts.Analyzers); err != nil {
			s.log.Error("not every script could be exchanged: the old one goes on there", "err", err)
			return
		}
		s.log.Info("the new scripts run")
		return
	}
	s.next.Store(next)
	end()
}

// dryRun loads every script once and runs its setup(), without sending what it emits.
func (p *pipeline) dryRun() error {
	var errs []error
	try := func(row engine.StageRow, filter bool, prog engine.Program) {
		var out engine.Results
		sc, err := prog.Load(engine.ScriptEnv{Stage: row.Tag, IsFilter: filter, DefaultAnalyzer: row.DefaultAnalyzer,
			DefaultOutput: row.DefaultOutput, Timeout: row.Timeout, Router: p.engine}, &out)
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

// web is the HTTP listener; it serves the engine that runs.
type web struct {
	server  *http.Server
	handler atomic.Pointer[http.Handler]
}

// newWeb listens on address; that it cannot is told, and not fatal, as in the original.
func newWeb(address string, log *slog.Logger) *web {
	w := &web{}
	if address == "" {
		return w
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		log.Error("no HTTP listener: /metrics, /healthz, /ledger and /www/ are not there", "err", err)
		return w
	}
	log.Info("HTTP listener", "address", l.Addr().String())
	w.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if h := w.handler.Load(); h != nil {
			(*h).ServeHTTP(rw, r)
			return
		}
		http.Error(rw, "starting", http.StatusServiceUnavailable)
	})}
	go w.server.Serve(l) // ended by close
	return w
}

func (w *web) show(e *engine.Engine) {
	h := e.Handler()
	w.handler.Store(&h)
}

func (w *web) close() {
	if w.server != nil {
		w.server.Close()
	}
}
