package luabind

import (
	"context"
	"sync/atomic"
	"time"
)

// limits is what one interpreter may spend on the current callback. The watchdog sets stop from its own goroutine; the
// interpreter's worker clears it before each callback.
type limits struct {
	stop  atomic.Bool
	calls atomic.Uint64 // callbacks begun (odd) and ended (even): the watchdog sees a call that stays
}

// stopped reports whether the current callback has run out of time. Host functions that can work for long (pattern
// matching, string building) ask it every few thousand steps and raise errStopped.
func (l *limits) stopped() bool { return l.stop.Load() }

// errStopped is the message that a stopped callback fails with; handling it is vm's task.
const errStopped = "script_timeout reached"

// maxString is the longest string in bytes that a host function makes for a script.
const maxString = 256 << 20

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// limits is the context of interpreters whose script may loop: gopher-lua asks Done before every instruction, and a nil
// channel costs half of a real one.
var _ context.Context = (*limits)(nil)

func (l *limits) Done() <-chan struct{} {
	if l.stop.Load() {
		return closedChannel
	}
	return nil
}

func (l *limits) Err() error {
	if l.stop.Load() {
		return context.DeadlineExceeded
	}
	return nil
}

func (l *limits) Deadline() (time.Time, bool) { return time.Time{}, false }
func (l *limits) Value(any) any               { return nil }
