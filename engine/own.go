package engine

import (
	"context"
	"errors"
	"time"

	"dragonfly/engine/deadletter"
)

// What the engine sends on its own account: events of timers, setup() and finish(), and dead letters.

// heldTimers is how long timers of a partition wait that is at rest for a moment.
const heldTimers = 10 * time.Millisecond

// fireTimers sends what timers hold to their analyzers. If the engine drains before it may, they are pending again.
func (e *Engine) fireTimers(ctx context.Context, due []pendingTimer) {
	for len(due) > 0 {
		n := 1
		for n < len(due) && due[n].of == due[0].of {
			n++
		}
		e.fireTimersOf(ctx, due[0].of, due[:n:n])
		due = due[n:]
	}
}

// fireTimersOf does so for timers of one partition, or of none.
func (e *Engine) fireTimersOf(ctx context.Context, p *Partition, due []pendingTimer) {
	if p != nil {
		entered, closed := p.enterTimers(len(due))
		if !entered {
			if !closed {
				e.timers.postpone(due, time.Now().Add(heldTimers))
			}
			return
		}
	}
	emissions, bytes := emissionsOf(due)
	if e.gate.enterOpen(ctx, len(emissions), bytes) != nil {
		if p != nil {
			p.release(len(due))
		}
		e.timers.giveBack(due)
		return
	}
	e.sendEntered(e.newOutbox(), p, emissions, bytes, "timer")
}

func emissionsOf(due []pendingTimer) (list []Emission, bytes int64) {
	for i := range due {
		list = append(list, Emission{Route: due[i].Route, Body: due[i].Body})
		bytes += int64(len(due[i].Body))
	}
	return list, bytes
}

// sendOwn sends events that come from no record: of setup() and finish(), and of the timers that fire when the engine drains. p is
// the partition whose script emitted them, nil if it is of none.
func (e *Engine) sendOwn(out *outbox, p *Partition, emissions []Emission, origin string) {
	if len(emissions) == 0 {
		return
	}
	var bytes int64
	for i := range emissions {
		bytes += int64(len(emissions[i].Body))
	}
	e.gate.enter(len(emissions), bytes)
	if p != nil {
		p.enter(len(emissions))
	}
	e.sendEntered(out, p, emissions, bytes, origin)
}

// sendEntered sends events that the gate, and p if it is not nil, have let in. They are booked as read by "timer".
func (e *Engine) sendEntered(out *outbox, p *Partition, emissions []Emission, bytes int64, origin string) {
	batch := e.gate.newBatch(e.books[len(e.books)-1], origin, len(emissions), bytes, nil)
	if batch.part = p; p == nil {
		e.plain.Add(1)
	}
	for i, em := range emissions {
		out.add(em.Route, Event{Body: em.Body, Index: em.Index, rec: &batch.records[i], hops: 1})
	}
	out.flush()
}

// deadLetter sends ev, with what is wrong with it, to the dead-letter output.
func (e *Engine) deadLetter(out *outbox, ev *Event, stage, reason string, err error) {
	ev.rec.settle(fateDead | reasonIndex(reason))
	e.complaints.tell(e.log, ev, stage, reason, err)
	entry := deadletter.Entry{Time: time.Now(), Origin: ev.Origin(), Stage: stage, Reason: reason, Error: err.Error(),
		ReplayOf: ev.rec.replayOf(), Event: ev.Body, JSON: ev.Index != nil}
	body := entry.Append(make([]byte, 0, len(ev.Body)+256))
	out.add(routeDeadLetter, Event{Body: string(body), rec: ev.rec, hops: ev.hops})
}

func rejectText(reason string) error {
	switch reason {
	case ReasonTooLong:
		return errors.New("the record is longer than max_line of its input (event holds its beginning)")
	case ReasonTruncated:
		return errors.New("the datagram was larger than the input's buffer (event holds its beginning)")
	}
	return errors.New(reason)
}
