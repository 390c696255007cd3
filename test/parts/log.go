package parts

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Log keeps what several goroutines write. Its zero value is empty.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count is how often s was written.
func (l *Log) Count(s string) int { return strings.Count(l.String(), s) }

// Logger writes to l, all levels.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Wait waits until s was written.
func (l *Log) Wait(t testing.TB, s string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the log:\n%s", l)
		}
	}()
	Until(t, "the log says "+s, func() bool { return l.Count(s) > 0 })
}
