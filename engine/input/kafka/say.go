package kafka

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// complaints tells of faults: when they begin, every 30 s while they last (another text after 5 s), and when they are over.
type complaints struct {
	log *slog.Logger

	bad atomic.Bool // since is set

	mu    sync.Mutex
	last  string
	since time.Time // of the fault; zero: none
	told  time.Time
	seen  time.Time // of the last fault
}

// tell notes a fault; nil is none.
func (c *complaints) tell(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.since.IsZero() {
		c.since = now
		c.bad.Store(true)
	}
	c.seen = now
	if text, ago := err.Error(), now.Sub(c.told); ago >= 30*time.Second || text != c.last && ago >= 5*time.Second {
		c.last, c.told = text, now
		c.log.Error("input does not work, trying again", "for", now.Sub(c.since).Round(time.Second), "err", err)
	}
}

// works notes that it works.
func (c *complaints) works() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		c.log.Info("input works again", "after", time.Since(c.since).Round(time.Millisecond))
	}
	c.since, c.last = time.Time{}, ""
	c.bad.Store(false)
}

// flows notes that records come: with no fault for a while that is the end of the last one.
func (c *complaints) flows() {
	if !c.bad.Load() {
		return
	}
	c.mu.Lock()
	over := time.Since(c.seen) > 5*time.Second
	c.mu.Unlock()
	if over {
		c.works()
	}
}
