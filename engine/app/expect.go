package app

import (
	"sync"
	"sync/atomic"

	"dragonfly/engine/packet"
)

// Expectations are connections that others announced: data connections of FTP, which nothing else tells apart. All methods may
// be called from several goroutines. The zero value is ready for use.
type Expectations struct {
	count atomic.Int64 // of all, so that nobody waits for the lock where there is nothing to find
	mu    sync.Mutex
	pairs map[[2]packet.Addr][]expectation // by the two hosts, the lower address first
}

// expectation is one connection that is to come.
type expectation struct {
	by   *Conn
	port uint16 // of the server
	dir  Dir    // of its first bytes
	of   protocol
	time int64  // of the announcement
	flow uint64 // that announced it
}

// The bounds, and how long an expectation lasts: nanoseconds.
const (
	maxExpected = 10 // of two hosts
	maxPairs    = 4096
	expectFor   = 30e9
)

func pairOf(a, b packet.Addr) [2]packet.Addr {
	if b.Less(a) {
		a, b = b, a
	}
	return [2]packet.Addr{a, b}
}

// add remembers e. When there are too many the oldest of its hosts goes, or those that have lasted too long.
func (x *Expectations) add(a, b packet.Addr, e expectation) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pairs == nil {
		x.pairs = map[[2]packet.Addr][]expectation{}
	}
	k := pairOf(a, b)
	if len(x.pairs) >= maxPairs {
		for k, list := range x.pairs {
			x.keep(k, list, func(o expectation) bool { return e.time-o.time <= expectFor })
		}
	}
	if _, ok := x.pairs[k]; !ok && len(x.pairs) >= maxPairs {
		return
	}
	list := x.pairs[k]
	if len(list) >= maxExpected {
		list = list[1:]
		x.count.Add(-1)
	}
	x.pairs[k] = append(list, e)
	x.count.Add(1)
}

// keep drops the expectations of two hosts of which want is not true.
func (x *Expectations) keep(k [2]packet.Addr, list []expectation, want func(e expectation) bool) {
	left := make([]expectation, 0, len(list))
	for _, e := range list {
		if want(e) {
			left = append(left, e)
		}
	}
	x.count.Add(int64(len(left) - len(list)))
	if len(left) == 0 {
		delete(x.pairs, k)
		return
	}
	x.pairs[k] = left
}

// match takes what was expected of a connection to port in which d speaks; unknown if there was nothing.
func (x *Expectations) match(a, b packet.Addr, port uint16, d Dir, now int64) (p protocol, parent uint64) {
	if x == nil || x.count.Load() == 0 {
		return unknown, 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	k := pairOf(a, b)
	list, ok := x.pairs[k]
	if !ok {
		return unknown, 0
	}
	x.keep(k, list, func(e expectation) bool {
		if e.port == port && e.dir == d {
			p, parent = e.of, e.flow
			return false
		}
		return now-e.time <= expectFor
	})
	return p, parent
}

// forget drops what c announced.
func (x *Expectations) forget(c *Conn) {
	if x == nil || x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	k := pairOf(c.hosts[0], c.hosts[1])
	if list, ok := x.pairs[k]; ok {
		x.keep(k, list, func(e expectation) bool { return e.by != c })
	}
}
