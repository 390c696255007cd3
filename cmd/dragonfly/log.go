package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// logHandler writes what the operator reads: "dragonfly: message key=value ...", warnings and errors named as such.
type logHandler struct {
	mu    *sync.Mutex
	w     io.Writer
	level slog.Level
	attrs string
	hint  *atomic.Pointer[string] // said beside "permission denied"; nil within: nothing
}

func newLog(w io.Writer, verbose bool) *slog.Logger {
	h := &logHandler{mu: &sync.Mutex{}, w: w, hint: new(atomic.Pointer[string])}
	if verbose {
		h.level = slog.LevelDebug
	}
	return slog.New(h)
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("dragonfly: ")
	if r.Level >= slog.LevelWarn {
		b.WriteString(map[bool]string{true: "ERROR ", false: "warning: "}[r.Level >= slog.LevelError])
	}
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(attrText(a)); return true })
	if hint := h.hint.Load(); hint != nil && r.Level >= slog.LevelWarn && strings.Contains(b.String(), "ermission denied") && !strings.Contains(b.String(), *hint) {
		b.WriteString(attrText(slog.String("hint", *hint)))
	}
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func attrText(a slog.Attr) string {
	v := a.Value.Resolve()
	s := v.String()
	if a.Key == "trace" {
		return "\n  " + strings.ReplaceAll(s, "\n", "\n  ")
	}
	if v.Kind() == slog.KindString && (s == "" || strings.ContainsAny(s, " \"\n\t=")) {
		s = strconv.Quote(s)
	}
	if err, ok := v.Any().(error); ok {
		s = strconv.Quote(err.Error())
	}
	return fmt.Sprintf(" %s=%s", a.Key, s)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	g := *h
	for _, a := range attrs {
		g.attrs += attrText(a)
	}
	return &g
}

// WithGroup implements slog.Handler; groups are not used here.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// hintDenied makes a log that newLog made say hint beside each permission that is denied from now on.
func hintDenied(log *slog.Logger, hint string) {
	if h, ok := log.Handler().(*logHandler); ok {
		h.hint.Store(&hint)
	}
}
