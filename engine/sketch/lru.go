package sketch

import (
	"fmt"
	"strings"
)

// LRU keeps the values of the capacity keys that were used last, with an optional time to live. The memory of given-up
// keys is used again. An entry costs about 100 bytes and its key.
type LRU[V any] struct {
	capacity int
	ttl      float64 // seconds; 0 is none
	index    map[string]int32
	entries  []entry[V]
	newest   int32 // -1: none
	oldest   int32
	free     int32 // chain of entries that were deleted, by next; -1: none
}

type entry[V any] struct {
	key        string
	value      V
	expires    float64 // seconds since 1970; of no use without ttl
	prev, next int32   // prev is newer, next is older
}

// NewLRU returns an empty LRU. ttl is in seconds, counted from the last Put; 0 is none.
func NewLRU[V any](capacity int, ttl float64) (*LRU[V], error) {
	if capacity < 1 || capacity > MaxKeys {
		return nil, fmt.Errorf("capacity is %d, want 1 to %d", capacity, MaxKeys)
	}
	if !(ttl >= 0) {
		return nil, fmt.Errorf("ttl is %g, want seconds from 0", ttl)
	}
	return &LRU[V]{capacity: capacity, ttl: ttl, index: map[string]int32{}, newest: -1, oldest: -1, free: -1}, nil
}

// TTL returns the time to live in seconds; 0 is none.
func (l *LRU[V]) TTL() float64 { return l.ttl }

// Get returns the value of key at the time now (seconds; only used with a ttl), and makes key the last used. The pointer
// is valid until the next call.
func (l *LRU[V]) Get(key string, now float64) (*V, bool) {
	i, ok := l.index[key]
	if !ok {
		return nil, false
	}
	e := &l.entries[i]
	if l.ttl > 0 && now >= e.expires {
		l.remove(i)
		return nil, false
	}
	if i != l.newest {
		l.unlink(i)
		l.link(i)
	}
	return &e.value, true
}

// Put sets key to value. If that is one key too many, the least recently used is given up.
func (l *LRU[V]) Put(key string, value V, now float64) {
	i, ok := l.index[key]
	switch {
	case ok:
		l.unlink(i)
	case len(l.index) >= l.capacity:
		i = l.oldest
		l.unlink(i)
		delete(l.index, l.entries[i].key)
		l.name(i, key)
	case l.free >= 0:
		i = l.free
		l.free = l.entries[i].next
		l.name(i, key)
	default:
		i = int32(len(l.entries))
		l.entries = append(l.entries, entry[V]{})
		l.name(i, key)
	}
	l.entries[i].value, l.entries[i].expires = value, now+l.ttl
	l.link(i)
}

// name gives the entry i a key. The key is copied: it may be part of something large.
func (l *LRU[V]) name(i int32, key string) {
	key = strings.Clone(key)
	l.entries[i].key = key
	l.index[key] = i
}

// Delete forgets key and reports whether it was known.
func (l *LRU[V]) Delete(key string) bool {
	i, ok := l.index[key]
	if ok {
		l.remove(i)
	}
	return ok
}

// Len returns how many keys are held; with a ttl some may have expired.
func (l *LRU[V]) Len() int { return len(l.index) }

// All calls f for each key that has not expired at the time now, the last used first, until f returns false. f must not
// use the LRU.
func (l *LRU[V]) All(now float64, f func(key string, value *V) bool) {
	for i := l.newest; i >= 0; i = l.entries[i].next {
		e := &l.entries[i]
		if l.ttl > 0 && now >= e.expires {
			continue
		}
		if !f(e.key, &e.value) {
			return
		}
	}
}

// Reset forgets all keys.
func (l *LRU[V]) Reset() {
	l.index, l.entries, l.newest, l.oldest, l.free = map[string]int32{}, nil, -1, -1, -1
}

func (l *LRU[V]) remove(i int32) {
	l.unlink(i)
	delete(l.index, l.entries[i].key)
	l.entries[i] = entry[V]{next: l.free}
	l.free = i
}

func (l *LRU[V]) unlink(i int32) {
	e := &l.entries[i]
	if e.prev >= 0 {
		l.entries[e.prev].next = e.next
	} else {
		l.newest = e.next
	}
	if e.next >= 0 {
		l.entries[e.next].prev = e.prev
	} else {
		l.oldest = e.prev
	}
}

// link makes i the newest.
func (l *LRU[V]) link(i int32) {
	e := &l.entries[i]
	e.prev, e.next = -1, l.newest
	if l.newest >= 0 {
		l.entries[l.newest].prev = i
	} else {
		l.oldest = i
	}
	l.newest = i
}
