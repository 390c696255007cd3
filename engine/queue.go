package engine

import (
	"context"
	"sync"
)

// queue carries events to one worker. Its writers append whole batches, its one reader takes all that is there: under
// load batches grow by themselves, under light load an event does not wait. It has no bound of its own: what is in
// all queues together is bounded by the gate, at the inputs, so that sending never blocks and cycles cannot deadlock.
type queue struct {
	mu      sync.Mutex
	events  []Event
	bytes   int64
	waiting bool          // the reader sleeps
	wake    chan struct{} // 1 token; written by push and poke, read by the reader
	closed  bool
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

// push appends a copy of events. Events pushed after close are a bug.
func (q *queue) push(events []Event) {
	var bytes int64
	for i := range events {
		bytes += int64(len(events[i].Body))
	}
	q.mu.Lock()
	q.events = append(q.events, events...)
	q.bytes += bytes
	wake := q.waiting
	q.waiting = false
	q.mu.Unlock()
	if wake {
		q.poke()
	}
}

// poke makes a sleeping reader return from take, with no events if there are none.
func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
}

// close lets take return false once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
}

// take swaps the queued events for spare, an empty slice. It sleeps while there are none; after a poke it returns none.
// ok is false when the queue is closed and empty, or ctx done.
func (q *queue) take(ctx context.Context, spare []Event) (events []Event, bytes int64, ok bool) {
	q.mu.Lock()
	if len(q.events) == 0 {
		if q.closed {
			q.mu.Unlock()
			return spare, 0, false
		}
		q.waiting = true
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-ctx.Done():
			return spare, 0, false
		}
		q.mu.Lock()
		q.waiting = false
	}
	events, bytes = q.events, q.bytes
	q.events, q.bytes = spare, 0
	q.mu.Unlock()
	return events, bytes, ctx.Err() == nil
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// maxSpare is the largest event slice that a worker keeps for reuse.
const maxSpare = 16 << 10

// recycle empties events for the next take; what they referred to can be collected.
func recycle(events []Event) []Event {
	if cap(events) > maxSpare {
		return nil
	}
	clear(events)
	return events[:0]
}
