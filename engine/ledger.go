package engine

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// reasons lists every reason of a dead letter; a record's fate holds an index into it.
var reasons = [...]string{ReasonMalformed, ReasonNotObject, ReasonTooLong, ReasonTruncated, ReasonScript, ReasonTimeout,
	ReasonDisabled, ReasonLoop, ReasonFanOut, ReasonRejected, ReasonMemory, ReasonInstructions, ReasonNoStage}

func reasonIndex(reason string) uint32 {
	for i, r := range reasons {
		if r == reason {
			return uint32(i)
		}
	}
	panic("BUG: unknown reason of a dead letter: " + reason)
}

// books are the accounts of one input. A record is counted once, by the gravest thing that happened to anything derived
// from it: dead-lettered before delivered before dropped (a script emitted nothing for it).
type books struct {
	tag       string
	read      atomic.Int64
	delivered atomic.Int64
	dropped   atomic.Int64
	dead      [len(reasons)]atomic.Int64
}

// fate of a record: 0 until something happens to it, fateDelivered, or fateDead|reason.
const (
	fateDelivered = 1 << 8
	fateDead      = 1 << 9
	fateReason    = 0xff
)

// recordBatch is the records that an input emitted together; it is finished when all of them are.
type recordBatch struct {
	books   *books
	origin  string
	records []record
	bytes   int64
	left    atomic.Int64 // records not yet finished
	done    func()       // the input's Batch.Done, may be nil
	gate    *gate        // nil for lines of the engine itself, which nobody counts
	letters []letter     // of a replay, one per record; else nil
	part    *Partition   // nil: of no partition
}

// record is one record on its way: it is finished when the last event that was derived from it is.
type record struct {
	batch   *recordBatch
	offset  int64
	pending atomic.Int32 // events of this record in queues and workers
	derived atomic.Int32 // forked from it so far
	fate    atomic.Uint32
}

func (g *gate) newBatch(b *books, origin string, n int, bytes int64, done func()) *recordBatch {
	batch := &recordBatch{books: b, origin: origin, records: make([]record, n), bytes: bytes, done: done, gate: g}
	batch.left.Store(int64(n))
	for i := range batch.records {
		r := &batch.records[i]
		r.batch = batch
		r.offset = -1
		r.pending.Store(1)
	}
	b.read.Add(int64(n))
	return batch
}

// fork says that the caller's event of rec became n events, n > 1. It is refused beyond MaxFanOut.
func (rec *record) fork(n int) bool {
	if n > MaxFanOut || rec.derived.Load() > MaxFanOut || rec.derived.Add(int32(n)) > MaxFanOut {
		return false
	}
	rec.pending.Add(int32(n - 1))
	return true
}

// settle notes what happened to one event of rec. The gravest fate stays.
func (rec *record) settle(fate uint32) {
	for {
		old := rec.fate.Load()
		if old >= fate || rec.fate.CompareAndSwap(old, fate) {
			return
		}
	}
}

// finished takes one event of rec out of the count and reports whether it was the last.
func (rec *record) finished() bool {
	return rec.pending.Load() == 1 || rec.pending.Add(-1) == 0
}

// finisher finishes events one after the other and tells their batches in runs: one atomic operation for neighbours of
// the same batch.
type finisher struct {
	batch *recordBatch
	n     int64
}

func (f *finisher) finish(rec *record, fate uint32) {
	if fate != 0 {
		rec.settle(fate)
	}
	if !rec.finished() {
		return
	}
	if rec.batch != f.batch {
		f.flush()
		f.batch = rec.batch
	}
	f.n++
}

func (f *finisher) flush() {
	if f.n > 0 && f.batch.left.Add(-f.n) == 0 {
		f.batch.close()
	}
	f.batch, f.n = nil, 0
}

// close books a finished batch and tells its input.
func (b *recordBatch) close() {
	var delivered, dropped int64
	for i := range b.records {
		switch fate := b.records[i].fate.Load(); {
		case fate&fateDead != 0:
			b.books.dead[fate&fateReason].Add(1)
		case fate == fateDelivered:
			delivered++
		default:
			dropped++
		}
	}
	b.books.delivered.Add(delivered)
	b.books.dropped.Add(dropped)
	if b.done != nil {
		b.done()
	}
	if b.gate != nil {
		b.gate.release(len(b.records), b.bytes)
	}
	if b.part != nil {
		b.part.release(len(b.records))
	}
}

// Account is the state of one input's books: Read = Delivered + Dropped + the sum of DeadLettered + InFlight.
type Account struct {
	Input        string           `json:"input"`
	Read         int64            `json:"read"`
	Delivered    int64            `json:"delivered"`
	Dropped      int64            `json:"dropped"` // by a script: it emitted nothing
	DeadLettered map[string]int64 `json:"dead_lettered"`
	InFlight     int64            `json:"in_flight"`
}

func (b *books) account() Account {
	a := Account{Input: b.tag, DeadLettered: map[string]int64{}}
	sum := int64(0)
	for i := range b.dead {
		if n := b.dead[i].Load(); n > 0 {
			a.DeadLettered[reasons[i]] = n
			sum += n
		}
	}
	a.Delivered, a.Dropped = b.delivered.Load(), b.dropped.Load()
	a.Read = b.read.Load() // last: it is never smaller than the rest
	a.InFlight = a.Read - a.Delivered - a.Dropped - sum
	return a
}

// String is the line that the operator sees at exit.
func (a Account) String() string {
	var dead int64
	var why []string
	for _, r := range reasons {
		if n := a.DeadLettered[r]; n > 0 {
			dead += n
			why = append(why, fmt.Sprintf("%s %d", r, n))
		}
	}
	s := fmt.Sprintf("%s: read %d = delivered %d + dropped %d + dead-lettered %d", a.Input, a.Read, a.Delivered, a.Dropped, dead)
	if dead > 0 {
		s += " (" + strings.Join(why, ", ") + ")"
	}
	return fmt.Sprintf("%s + in flight %d", s, a.InFlight)
}
