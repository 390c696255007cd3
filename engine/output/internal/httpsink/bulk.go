package httpsink

import (
	"context"
	"errors"
	"time"

	"dragonfly/engine"
)

// Sender makes one request of events, or of as many from their start as one request may hold, and returns how many these
// are, at least 1. If each is not nil it holds their fates: nil for delivered, a *engine.RejectError, ErrAgain, or another error
// for what is to be sent again after a pause. Else err is the fate of all.
type Sender func(ctx context.Context, events []engine.Event) (n int, each []error, err error)

// ErrAgain is the fate of an event of which the server has said nothing because another one was wrong.
var ErrAgain = errors.New("not decided")

// Bulk divides what the engine writes into requests, finds the event that makes a server refuse a request, and remembers
// which events behind one that is sent again were delivered, so that these are not.
type Bulk struct {
	Size  int                          // events of one request, at least 1
	Bytes int64                        // of their bodies; an event that is longer goes alone
	Skip  func(ev *engine.Event) bool  // what is not sent, and counts as delivered; nil: nothing
	Send  Sender                       // called by Write only
	Check func(ev *engine.Event) error // a *engine.RejectError for what cannot be sent; nil: everything can
	limit int                          // events of the next request; 0 is Size
	fates []fate                       // of the batch in hand
	chunk []engine.Event               // of the request in hand
	at    []int                        // their places in the batch
	known []fate                       // of events that the next Write begins with
	body  []string                     // of those

	later     []fate // of events behind the batch in hand, which is shorter than the one before
	laterBody []string
}

// fate is what became of an event; the zero value is to be sent.
type fate struct {
	done bool
	err  error // refused
}

// ackTime is how long Write goes on before it says what is delivered.
const ackTime = 100 * time.Millisecond

// Write implements engine.Output.
func (b *Bulk) Write(ctx context.Context, batch []engine.Event) (int, error) {
	b.recall(batch)
	began := time.Now()
	for n := 0; ; {
		for n < len(batch) && b.fates[n].done {
			n++
		}
		if n == len(batch) {
			b.remember(batch, n)
			return n, nil
		}
		if err := b.fates[n].err; err != nil {
			b.remember(batch, n+1)
			return n, err
		}
		if err := ctx.Err(); err != nil {
			b.remember(batch, n)
			return n, err
		}
		if n > 0 && time.Since(began) > ackTime {
			b.remember(batch, n)
			return n, nil
		}
		b.fill(batch, n)
		if err := b.request(ctx); err != nil {
			for n < len(batch) && b.fates[n].done {
				n++
			}
			if n < len(batch) && b.fates[n].err != nil {
				continue // the engine deals with that first
			}
			b.remember(batch, n)
			return n, err
		}
	}
}

// recall sets the fates of a batch.
func (b *Bulk) recall(batch []engine.Event) {
	b.fates = append(b.fates[:0], make([]fate, len(batch))...)
	n := 0
	for n < min(len(batch), len(b.known)) && batch[n].Body == b.body[n] {
		b.fates[n] = b.known[n]
		n++
	}
	if n < len(batch) {
		n = len(b.known) // what comes now is not what came before
	}
	b.later, b.laterBody = append(b.later[:0], b.known[n:]...), append(b.laterBody[:0], b.body[n:]...)
	clear(b.body)
	b.known, b.body = b.known[:0], b.body[:0]
	for i := range batch {
		if b.fates[i] != (fate{}) {
			continue
		}
		if b.Skip != nil && b.Skip(&batch[i]) {
			b.fates[i].done = true
		} else if b.Check != nil {
			b.fates[i].err = b.Check(&batch[i])
		}
	}
}

// remember keeps the fates of what the next Write begins with.
func (b *Bulk) remember(batch []engine.Event, from int) {
	for i := from; i < len(batch); i++ {
		b.known = append(b.known, b.fates[i])
		b.body = append(b.body, batch[i].Body)
	}
	b.known, b.body = append(b.known, b.later...), append(b.body, b.laterBody...)
}

// fill chooses the events of a request, from place n on.
func (b *Bulk) fill(batch []engine.Event, n int) {
	most := b.Size
	if b.limit > 0 {
		most = b.limit
	}
	b.chunk, b.at = b.chunk[:0], b.at[:0]
	var bytes int64
	for i := n; i < len(batch) && len(b.chunk) < most; i++ {
		if b.fates[i] != (fate{}) {
			continue
		}
		bytes += int64(len(batch[i].Body))
		if b.Bytes > 0 && bytes > b.Bytes && len(b.chunk) > 0 {
			break
		}
		b.chunk, b.at = append(b.chunk, batch[i]), append(b.at, i)
	}
}

// request sends the chunk. An error says that some of it is to be sent again after a pause.
func (b *Bulk) request(ctx context.Context) error {
	n, each, err := b.Send(ctx, b.chunk)
	var rejected *engine.RejectError
	switch {
	case each != nil:
		return b.settle(each)
	case err == nil:
		for _, i := range b.at[:n] {
			b.fates[i].done = true
		}
		if b.limit > 0 && n >= b.limit {
			if b.limit *= 2; b.limit >= b.Size {
				b.limit = 0
			}
		}
		return nil
	case !errors.As(err, &rejected):
		return err
	case n > 1: // one of them is wrong, or they are too many
		b.limit = n / 2
		return nil
	}
	b.limit = 1
	b.fates[b.at[0]].err = rejected
	return nil
}

// settle notes the fate of each event of the chunk.
func (b *Bulk) settle(each []error) error {
	var wait error
	settled := false
	for i, err := range each {
		var rejected *engine.RejectError
		f := &b.fates[b.at[i]]
		switch {
		case err == nil:
			f.done, settled = true, true
		case errors.As(err, &rejected):
			f.err, settled = rejected, true
		case !errors.Is(err, ErrAgain) && wait == nil:
			wait = err
		}
	}
	if wait == nil && !settled {
		wait = errors.New("the server decided on no event")
	}
	return wait
}
