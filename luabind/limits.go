package luabind

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	lua "github.com/yuin/gopher-lua"
)

// limits is what one interpreter may spend on the current callback: time (here), memory and instructions (budget.go).
// The interpreter's worker calls begin, end and the methods that host functions use; the watchdog stops a call from its
// own goroutine.
type limits struct {
	timeout atomic.Int64  // of one callback in ns; 0 is none
	now     uint64        // number of the current call; the worker's own copy of running
	running atomic.Uint64 // the current call, 0 while there is none: the watchdog sees a call that stays
	stop    atomic.Uint64 // the call that has been stopped
	peek    atomic.Bool   // set by the watchdog: the heap is to be looked at
	budget  budget

	opened func(name string, access engine.Access) // told of files that the script opens; nil: nobody is
}

func (l *limits) begin() {
	l.now++
	l.budget.begin()
	l.running.Store(l.now)
}

func (l *limits) end() { l.running.Store(0) }

// waiting runs f, which waits for the outside world within limits of its own: that time does not count.
func (l *limits) waiting(f func()) {
	l.running.Store(0)
	defer func() {
		if !l.stopped() {
			l.now++
			l.running.Store(l.now)
		}
	}()
	f()
}

// stopped reports whether the current callback has used up its time or another budget. Host functions that can work for
// long (pattern matching, sorting) ask it every few thousand steps and raise stopText.
func (l *limits) stopped() bool { return l.now != 0 && l.stop.Load() == l.now }

// errStopped is the message that a callback fails with whose time is up.
const errStopped = "script_timeout reached"

// check raises if the current callback has been stopped.
func (l *limits) check(L *lua.LState) {
	if l != nil && l.stopped() {
		L.RaiseError("%s", l.stopText())
	}
}

// maxString is the longest string in bytes that a host function makes for a script.
const maxString = 256 << 20

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// limits is the context of interpreters whose script may loop: gopher-lua asks Done before every instruction, and a nil
// channel costs half of a real one.
var _ context.Context = (*limits)(nil)

// Done is part of context.Context.
func (l *limits) Done() <-chan struct{} {
	if l.budget.steps++; l.budget.steps >= l.budget.look {
		l.atStep()
	}
	if l.stopped() {
		return closedChannel
	}
	return nil
}

// Err is part of context.Context; gopher-lua raises its text.
func (l *limits) Err() error {
	if l.stopped() {
		return stopError{l.stopText()}
	}
	return nil
}

// Deadline is part of context.Context.
func (l *limits) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is part of context.Context.
func (l *limits) Value(any) any { return nil }

type stopError struct{ text string }

func (e stopError) Error() string { return e.text }

// watchdog stops callbacks that take longer than their limit. One goroutine looks at all interpreters.
type watchdog struct {
	mu      sync.Mutex
	watched map[*limits]*watch
	started bool
	looked  time.Time     // last
	quit    chan struct{} // closed by close
	wg      sync.WaitGroup
	now     atomic.Int64 // time of the last look, as budget.now tells it
	heap    atomic.Int64 // heap of the process then
}

// watch is how long the watchdog has seen the current call.
type watch struct {
	call uint64
	ran  time.Duration // since then, as far as the watchdog ran too
}

// mostTick is what the time between two looks counts for at most: while the process was stopped (SIGSTOP, a machine that was
// suspended) no call has run.
const mostTick = 5 * watchEvery

func newWatchdog() *watchdog {
	return &watchdog{watched: map[*limits]*watch{}, quit: make(chan struct{})}
}

func (w *watchdog) add(l *limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched[l] = &watch{}
	if !w.started {
		w.started = true
		w.wg.Go(w.run)
	}
}

func (w *watchdog) remove(l *limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, l)
}

// close ends the goroutine.
func (w *watchdog) close() {
	close(w.quit)
	w.wg.Wait()
}

// watchEvery is how exactly limits are kept.
const watchEvery = 10 * time.Millisecond

func (w *watchdog) run() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	sample := heapSample()
	for {
		select {
		case now := <-tick.C:
			w.heap.Store(readHeap(sample))
			w.now.Store(int64(time.Since(processStart)))
			w.look(now)
		case <-w.quit:
			return
		}
	}
}

func (w *watchdog) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tick := min(now.Sub(w.looked), mostTick)
	w.looked = now
	for l, seen := range w.watched {
		call := l.running.Load()
		if call != seen.call {
			seen.call, seen.ran = call, 0
			continue
		}
		seen.ran += tick
		if call != 0 && !l.peek.Load() {
			l.peek.Store(true)
		}
		if limit := time.Duration(l.timeout.Load()); call != 0 && limit > 0 && seen.ran >= limit {
			l.stop.Store(call)
		}
	}
}

// closed is the context of coroutines that must end.
type closed struct{}

var _ context.Context = closed{}

// Done is part of context.Context.
func (closed) Done() <-chan struct{} { return closedChannel }

// Err is part of context.Context.
func (closed) Err() error { return context.Canceled }

// Deadline is part of context.Context.
func (closed) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is part of context.Context.
func (closed) Value(any) any { return nil }
