package flow

import (
	"context"
	"sync"
	"time"

	"dragonfly/engine"
)

// queue holds events between the workers, which must go on emptying their rings, and the pipeline, which may be full for a
// moment. It is bounded in bytes; when it is full, workers wait.
type queue struct {
	most int64 // bytes

	mu      sync.Mutex
	batches [][]engine.Record
	bytes   int64
	changed chan struct{} // closed and replaced when something was put in, taken out, or the queue was closed
	closed  bool
}

func newQueue(most int64) *queue { return &queue{most: most, changed: make(chan struct{})} }

// put copies records into the queue. It waits while the queue is full, at most until ctx is done; then nothing was put. While
// it waits it calls waiting once a second.
func (q *queue) put(ctx context.Context, records []engine.Record, waiting func()) error {
	var size int64
	for i := range records {
		size += int64(len(records[i].Body))
	}
	q.mu.Lock()
	for len(q.batches) > 0 && q.bytes+size > q.most {
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(every):
			waiting()
		case <-ctx.Done():
			return ctx.Err()
		}
		q.mu.Lock()
	}
	q.batches = append(q.batches, append([]engine.Record(nil), records...))
	q.bytes += size
	q.signal()
	q.mu.Unlock()
	return nil
}

// first returns the oldest batch, which stays; nil: the queue is closed and empty, or ctx is done.
func (q *queue) first(ctx context.Context) []engine.Record {
	for {
		q.mu.Lock()
		if len(q.batches) > 0 {
			defer q.mu.Unlock()
			return q.batches[0]
		}
		changed, closed := q.changed, q.closed
		q.mu.Unlock()
		if closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// drop removes the oldest batch.
func (q *queue) drop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.batches[0] {
		q.bytes -= int64(len(q.batches[0][i].Body))
	}
	q.batches[0] = nil
	q.batches = q.batches[1:]
	q.signal()
}

// open makes the queue ready for a Run; what is in it stays. close says that nothing more will be put.
func (q *queue) open()  { q.set(false) }
func (q *queue) close() { q.set(true) }

func (q *queue) set(closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = closed
	q.signal()
}

// left returns how many events are in the queue.
func (q *queue) left() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.batches {
		n += len(b)
	}
	return n
}

// signal is called with mu held.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}
