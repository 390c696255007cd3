package engine

import (
	"log/slog"
	"sync"
	"time"
)

// complaints tells the operator of dead letters: at most once a second for each place and reason.
type complaints struct {
	mu   sync.Mutex
	last map[string]*complaint // by place and reason; few
}

type complaint struct {
	at     time.Time // of the last line in the log
	silent int       // dead letters since then
}

func (c *complaints) tell(log *slog.Logger, ev *Event, stage, reason string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := stage + " " + reason
	last := c.last[key]
	if last == nil {
		last = &complaint{}
		if c.last == nil {
			c.last = map[string]*complaint{}
		}
		c.last[key] = last
	}
	now := time.Now()
	if now.Sub(last.at) < time.Second {
		last.silent++
		return
	}
	attrs := []any{"reason", reason, "at", stage, "origin", ev.Origin(), "err", err}
	if last.silent > 0 {
		attrs = append(attrs, "more_since_last", last.silent)
	}
	log.Warn("an event goes to the dead letter", attrs...)
	last.at, last.silent = now, 0
}
