package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// gate bounds the pipeline. It has two doors:
//
// Inputs pass admit: a batch of records waits until the records in flight (read, not acked) leave room for it in events
// and bytes.
//
// Stages pass turn, which is open unless scripts multiplied events so that more than limit are queued. Then only the
// stages whose next event has travelled furthest go on, and none while an output has events to write: the pipeline
// works off depth first, so that what is queued grows with the depth of the fan-out, not with its breadth. As one stage
// or an output can always go on, this cannot deadlock, whatever routes the scripts choose.
type gate struct {
	limit int
	bytes int64

	mu      sync.Mutex
	freed   *sync.Cond // signalled when something was released or worked off while somebody waits
	records int        // in flight
	inBytes int64
	held    bool          // nothing comes in: a checkpoint is being taken
	queued  atomic.Int64  // events in queues and workers' hands
	queuedB atomic.Int64  // their bytes
	waiters atomic.Int32  // goroutines in admit or turn
	writing atomic.Int64  // events that outputs have not finished
	shards  []*shard      // of all stages; fixed before Run
	idle    chan struct{} // 1 token when records has fallen to 0
}

func newGate(limit int, bytes int64) *gate {
	g := &gate{limit: limit, bytes: bytes, idle: make(chan struct{}, 1)}
	g.freed = sync.NewCond(&g.mu)
	return g
}

// admit takes n records of together size bytes in flight. It waits while there is no room; a batch larger than the whole
// gate passes alone.
func (g *gate) admit(ctx context.Context, n int, size int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.wait(ctx, func() bool { return g.room(n, size) }); err != nil {
		return err
	}
	g.records += n
	g.inBytes += size
	return nil
}

// wait returns when open says so or ctx is done; then with its error. It is called with mu held, and so is open.
func (g *gate) wait(ctx context.Context, open func() bool) error {
	if !open() {
		stop := context.AfterFunc(ctx, g.wakeAll)
		defer stop()
		g.waiters.Add(1)
		defer g.waiters.Add(-1)
		for !open() && ctx.Err() == nil {
			g.freed.Wait()
		}
	}
	return ctx.Err()
}

// hold closes the first door, whatever room there is, until open is called.
func (g *gate) hold() {
	g.mu.Lock()
	g.held = true
	g.mu.Unlock()
}

// open ends hold.
func (g *gate) open() {
	g.mu.Lock()
	g.held = false
	g.freed.Broadcast()
	g.mu.Unlock()
}

// room is called with mu held.
func (g *gate) room(n int, size int64) bool {
	if g.held || g.records == 0 {
		return !g.held
	}
	return g.records+n <= g.limit && g.inBytes+size <= g.bytes && !g.over()
}

// enter takes n records in flight without waiting: for events that scripts make in setup() and finish().
func (g *gate) enter(n int, size int64) {
	g.mu.Lock()
	g.records += n
	g.inBytes += size
	g.mu.Unlock()
}

// enterOpen does the same, but not while the gate is held: for events of timers.
func (g *gate) enterOpen(ctx context.Context, n int, size int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.wait(ctx, func() bool { return !g.held }); err != nil {
		return err
	}
	g.records += n
	g.inBytes += size
	return nil
}

// release gives back what admit or enter took.
func (g *gate) release(n int, size int64) {
	g.mu.Lock()
	g.records -= n
	g.inBytes -= size
	if g.records == 0 {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
	g.mu.Unlock()
	g.progress()
}

func (g *gate) inFlight() (records int, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.records, g.inBytes
}

// waitIdle returns when no record is in flight, or with ctx's error.
func (g *gate) waitIdle(ctx context.Context) error {
	for {
		if n, _ := g.inFlight(); n == 0 {
			return nil
		}
		select {
		case <-g.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// over reports whether more is queued than the inputs alone may queue.
func (g *gate) over() bool { return g.queued.Load() > 2*int64(g.limit) || g.queuedB.Load() > 4*g.bytes }

// turn waits until a shard, whose head says so, may handle an event that has travelled hops stages. Its last event may have
// travelled further: who waits for that one looks again.
func (g *gate) turn(ctx context.Context, hops int32) {
	if !g.over() {
		return
	}
	g.progress()
	stop := context.AfterFunc(ctx, g.wakeAll)
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiters.Add(1)
	defer g.waiters.Add(-1)
	for g.over() && ctx.Err() == nil && (g.writing.Load() > 0 || g.deeper(hops)) {
		g.freed.Wait()
	}
}

// deeper reports whether a stage holds an event that has travelled further than hops.
func (g *gate) deeper(hops int32) bool {
	for _, sh := range g.shards {
		if sh.head.Load() > hops {
			return true
		}
	}
	return false
}

// progress wakes those who wait at a door. Called after anything that may open it.
func (g *gate) progress() {
	if g.waiters.Load() > 0 {
		g.wakeAll()
	}
}

func (g *gate) wakeAll() {
	g.mu.Lock()
	g.freed.Broadcast()
	g.mu.Unlock()
}
