package engine

import (
	"sync"
	"sync/atomic"
)

// Counters holds what components count beyond the ledger, such as datagrams that the kernel dropped. It outlives reloads.
type Counters struct {
	mu   sync.Mutex
	list []*counter
}

type counter struct {
	kind, tag, name, help string
	n                     atomic.Int64
}

// NewCounters returns an empty set.
func NewCounters() *Counters { return &Counters{} }

// Of returns the Params.Counter of one row; kind is "input" or "output".
func (c *Counters) Of(kind, tag string) func(name, help string) *atomic.Int64 {
	return func(name, help string) *atomic.Int64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, k := range c.list {
			if k.kind == kind && k.tag == tag && k.name == name {
				return &k.n
			}
		}
		k := &counter{kind: kind, tag: tag, name: name, help: help}
		c.list = append(c.list, k)
		return &k.n
	}
}

func (c *Counters) all() []*counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*counter{}, c.list...)
}

// Loss is a component's own counter, for the report at exit.
type Loss struct {
	Kind, Tag, Name, Help string
	N                     int64
}

// NonZero returns the counters that have counted something.
func (c *Counters) NonZero() []Loss {
	var list []Loss
	for _, k := range c.all() {
		if n := k.n.Load(); n > 0 {
			list = append(list, Loss{k.kind, k.tag, k.name, k.help, n})
		}
	}
	return list
}
