package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// sink is an output with its queue: it writes batches, repeats what failed, and acks.
type sink struct {
	e        *Engine
	tag      string
	uri      string
	kind     sinkKind
	out      Output
	queue    queue
	opened   bool // touched by Open and then the worker only
	reopen   atomic.Bool
	finisher finisher
	log      *slog.Logger
	told     time.Time // of the last line about an outage

	delivered, rejected, errors atomic.Int64
	down                        atomic.Pointer[outage] // nil while the sink works
}

// outage is why and since when a sink does not take events.
type outage struct {
	since time.Time
	err   error
}

// sinkKind tells the internal outputs apart: what they write is not delivery of a record.
type sinkKind int

const (
	userSink sinkKind = iota
	logSink
	statsSink
	deadLetterSink
)

// writeLen is the most events in one Write.
const writeLen = 1024

func (e *Engine) newSink(kind sinkKind, tag, uri string, out Output) *sink {
	return &sink{e: e, kind: kind, tag: tag, uri: uri, out: out, queue: newQueue(), log: e.log.With("output", tag)}
}

// open tries once; run repeats it.
func (s *sink) open(ctx context.Context) error {
	if s.opened {
		return nil
	}
	s.log.Debug(s.tag + ": opening " + s.uri)
	err := s.out.Open(ctx)
	s.opened = err == nil
	return err
}

// run is the worker: until the queue is closed or ctx done. What is not delivered then is not acked.
func (s *sink) run(ctx context.Context) {
	var spare []Event
	for {
		events, bytes, ok := s.queue.take(ctx, spare)
		if s.reopen.Swap(false) {
			s.rotate()
		}
		if !ok {
			break
		}
		for rest := events; len(rest) > 0; {
			n := min(len(rest), writeLen)
			if !s.write(ctx, rest[:n]) {
				return
			}
			share := bytes * int64(n) / int64(len(rest))
			bytes -= share
			rest = rest[n:]
			s.e.gate.queued.Add(int64(-n))
			s.e.gate.queuedB.Add(-share)
			s.e.gate.writing.Add(int64(-n))
			s.finisher.flush()
			s.e.gate.progress()
		}
		spare = recycle(events)
	}
}

// close ends the output. It is called after run has ended.
func (s *sink) close() error {
	if !s.opened {
		return nil
	}
	s.opened = false
	return s.out.Close()
}

// write delivers all of events, however long that takes; false if ctx ended before.
func (s *sink) write(ctx context.Context, events []Event) bool {
	wait := backoff{}
	for len(events) > 0 {
		var n int
		err := s.open(ctx)
		if err == nil {
			n, err = s.out.Write(ctx, events)
		}
		if n > 0 {
			s.acked(events[:n])
			events = events[n:]
			wait = backoff{}
		}
		var rejected *RejectError
		switch {
		case err == nil && n == 0 && len(events) > 0:
			err = errors.New("the output wrote nothing and gave no error")
		case err == nil:
			continue
		case errors.As(err, &rejected):
			s.reject(&events[0], rejected)
			events = events[1:]
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		s.failing(err)
		if s.reopen.Swap(false) {
			s.rotate()
		}
		if wait.sleep(ctx) != nil {
			return false
		}
	}
	return true
}

func (s *sink) acked(events []Event) {
	if d := s.down.Swap(nil); d != nil {
		s.log.Info("output works again", "after", time.Since(d.since).Round(time.Millisecond))
	}
	s.delivered.Add(int64(len(events)))
	fate := uint32(fateDelivered)
	if s.kind != userSink {
		fate = 0
	}
	for i := range events {
		s.finisher.finish(events[i].rec, fate)
	}
}

// failing notes an outage: an error in the log when it begins and every 30 s.
func (s *sink) failing(err error) {
	s.errors.Add(1)
	now := time.Now()
	d := s.down.Load()
	switch {
	case d == nil:
		d = &outage{since: now}
		s.told = now
		s.log.Error("output does not work, its events wait", "uri", s.uri, "err", err)
	case now.Sub(s.told) >= 30*time.Second:
		s.told = now
		s.log.Error("output still does not work, its events wait", "uri", s.uri, "for", now.Sub(d.since).Round(time.Second), "err", err)
	}
	s.down.Store(&outage{since: d.since, err: err})
}

func (s *sink) reject(ev *Event, err *RejectError) {
	s.rejected.Add(1)
	if s.kind == deadLetterSink {
		s.log.Error("the dead-letter output refuses an event: it is lost", "origin", ev.Origin(), "err", err.Err)
		s.finisher.finish(ev.rec, fateDead|reasonIndex(ReasonRejected))
		return
	}
	o := s.e.newOutbox()
	s.e.deadLetter(o, ev, "output "+s.tag, ReasonRejected, err.Err)
	o.flush()
}

// rotate reopens the output's file.
func (s *sink) rotate() {
	r, ok := s.out.(Reopener)
	if !ok || !s.opened {
		return
	}
	if err := r.Reopen(); err != nil {
		s.log.Error("cannot reopen the output", "uri", s.uri, "err", err)
	}
}

// lastWait is the longest pause between two tries.
const lastWait = 5 * time.Second

// backoff pauses between two tries: 50 ms, doubled up to lastWait.
type backoff struct{ next time.Duration }

func (b *backoff) sleep(ctx context.Context) error {
	if b.next == 0 {
		b.next = 50 * time.Millisecond
	}
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	b.next = min(2*b.next, lastWait)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
