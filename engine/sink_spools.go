package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"dragonfly/engine/spool"
)

// openSpool opens the spool of a sink that has one.
func (s *sink) openSpool() error {
	if s.limit == 0 || s.spool.Load() != nil {
		return nil
	}
	if s.e.parts.State == nil {
		return errors.New("BUG: a spool without a state directory")
	}
	sp, err := spool.Open(s.e.parts.State, s.spoolTag(), spool.Options{Limit: s.limit, NoSync: s.noSync, Log: s.log})
	if err != nil {
		return err
	}
	if st := sp.Stats(); st.Events > 0 {
		s.log.Info("the spool holds events: they are delivered first", "events", st.Events, "bytes", st.Bytes)
	}
	s.spool.Store(sp)
	return nil
}

func (s *sink) spoolTag() string {
	if s.kind == deadLetterSink {
		return spool.DeadLetter
	}
	return s.tag
}

// closeSpool is called after run has ended.
func (s *sink) closeSpool() error {
	sp := s.spool.Load()
	if sp == nil {
		return nil
	}
	if st := sp.Stats(); st.Events > 0 {
		s.log.Warn("events stay in the spool: they are delivered at the next start", "events", st.Events, "bytes", st.Bytes)
	}
	s.spool.Store(nil)
	return sp.Close()
}

// poll is take for a reader that waits for other things too: it does not sleep. When it returns nothing the next push
// or poke puts a token into wake. ok is false when the queue is closed and empty.
func (q *queue) poll() (events []Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		q.waiting = true
		return nil, !q.closed
	}
	events = q.events
	q.events, q.bytes = nil, 0
	return events, true
}

// ended reports whether the queue is closed and empty.
func (q *queue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && len(q.events) == 0
}

// pause returns how long to wait now.
func (b *backoff) pause() time.Duration {
	if b.next == 0 {
		b.next = 50 * time.Millisecond
	}
	d := b.next - rand.N(b.next/4)
	b.next = min(2*b.next, lastWait)
	return d
}

// drainSpools lets the spools be delivered to the sinks that work, those of the user before the dead letter's, until ctx is
// done; then, or where there are none, it only sees to it that no spool gives its sink anything more.
func (e *Engine) drainSpools(ctx, abort context.Context) {
	for _, own := range []bool{false, true} {
		for _, s := range e.sinks {
			if s.limit == 0 || own != (s.kind != userSink) {
				continue
			}
			s.askSpooler(askDrain)
			select {
			case <-s.answer:
				continue
			case <-ctx.Done():
			}
			s.askSpooler(askStop)
			select {
			case <-s.answer:
			case <-abort.Done():
				return
			}
		}
		if e.gate.waitIdle(abort) != nil {
			return
		}
	}
}

func (s *sink) askSpooler(what int32) {
	s.ask.Store(what)
	s.queue.poke()
}

// tellOrphans tells of spools that hold events for an output that has no spool now.
func (e *Engine) tellOrphans() {
	if e.parts.State == nil {
		return
	}
	for tag, bytes := range spool.Waiting(e.parts.State) {
		known := false
		for _, s := range e.sinks {
			known = known || s.limit > 0 && spool.Name(s.spoolTag()) == spool.Name(tag)
		}
		if !known {
			e.log.Error("a spool holds events of an output that has no spool in config.lua: they stay there", "output", tag, "bytes", bytes,
				"dir", e.parts.State.Name()+"/"+spool.Top+"/"+spool.Name(tag),
				"remedy", fmt.Sprintf("give the row %q its spool back, or read them with `dragonfly spool cat %s` and remove the directory", tag, tag))
		}
	}
}

func (s *sink) spooledEvents() int64 {
	if sp := s.spool.Load(); sp != nil {
		return sp.Stats().Events
	}
	return 0
}

// spoolMetrics adds the figures of the sink's spool.
func (s *sink) spoolMetrics(m *metricWriter, l string) {
	sp := s.spool.Load()
	if sp == nil {
		return
	}
	st := sp.Stats()
	age := 0.0
	if !st.Oldest.IsZero() {
		age = time.Since(st.Oldest).Seconds()
	}
	m.add("dragonfly_output_spool_events", "gauge", "Events in the spool of an output.", l, st.Events)
	m.add("dragonfly_output_spool_bytes", "gauge", "Bytes of the spool's files.", l, st.Bytes)
	m.add("dragonfly_output_spool_limit_bytes", "gauge", "Limit of these.", l, st.Limit)
	m.addFloat("dragonfly_output_spool_oldest_seconds", "gauge", "Age of the oldest event in the spool.", l, age)
	m.add("dragonfly_output_spool_events_total", "counter", "Events that went through the spool.", l, st.Appended)
	m.add("dragonfly_output_spool_lost_total", "counter", "Events that damage of the spool's files has cost.", l, st.Lost)
	m.add("dragonfly_output_spool_damaged_bytes_total", "counter", "Bytes of the spool's files that could not be read.", l, st.Damaged)
}
