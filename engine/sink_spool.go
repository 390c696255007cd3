package engine

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"dragonfly/engine/spool"
)

// patience is how long a sink may take over one batch before what waits goes to its spool.
const patience = 100 * time.Millisecond

// maxHolds is how many refused events of a spool may be on their way to the dead letter.
const maxHolds = 1024

// readBytes is about how much of a spool is in memory.
const readBytes = 4 << 20

// spooler is the worker of a sink with a spool. The events of the sink stand, in order, in hand, in the spool, in pending
// and in the queue. While the sink works and the spool is empty they go from the queue to the sink; a sink that fails, or is
// slow, gets them by way of the disk: they are acked when they are there. The output is the writer's, a goroutine of its
// own, so that a Write that hangs does not keep events from the spool.
type spooler struct {
	s  *sink
	sp *spool.Spool

	jobs    chan []Event // written and closed by the spooler, read by the writer
	results chan result  // written by the writer, one for each job; room for 1

	hand    []Event       // with the writer, or to be tried again
	stored  []spool.Entry // the first events of hand, if they are in the spool too
	busy    bool          // the writer has hand
	since   time.Time     // that
	pending []Event       // taken from the queue
	ended   bool          // the queue is closed and empty

	wait    backoff
	retry   time.Time // of the next try; zero while the sink works
	rewait  backoff
	again   time.Time // of the next try to append; zero while the spool works
	fault   string    // why the spool takes nothing
	faultAt time.Time // since when
	stop    bool      // nothing more is given to the writer

	acked uint64  // number of the last event of the spool that was delivered
	holds []*hold // refused events of the spool, in order
	out   *outbox // for these; nil until one is needed

	spooling bool // events went through the spool since it was empty
	began    time.Time
	spooled  int64
	slowTold time.Time
	fullTold bool
}

// result is what became of a job.
type result struct {
	n   int
	err error
}

// hold is a refused event that the dead letter does not have yet.
type hold struct {
	id   uint64
	done atomic.Bool
}

// Values of sink.ask.
const (
	askNothing = iota
	askDrain   // answer when the spool is delivered or the sink fails
	askStop    // answer now
)

// runSpooled is run for a sink with a spool.
func (s *sink) runSpooled(ctx context.Context) {
	for wait := (backoff{}); ; {
		err := s.openSpool()
		if err == nil {
			break
		}
		s.failing(err)
		if !s.unopened(ctx, wait.pause()) {
			return
		}
	}
	w := &spooler{s: s, sp: s.spool.Load(), jobs: make(chan []Event), results: make(chan result, 1)}
	if st := w.sp.Stats(); st.Events > 0 {
		w.spooling, w.began, w.spooled = true, time.Now(), st.Events
	}
	writeCtx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.write(writeCtx)
	}()
	w.run(ctx)
	cancel()
	close(w.jobs)
	<-done
	w.end()
}

// unopened waits while the spool cannot be opened; false if the sink is to end.
func (s *sink) unopened(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if s.ask.Swap(askNothing) != askNothing {
			s.answered()
		}
		if s.queue.ended() {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-s.queue.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// answered tells drainSpools that this sink does no more.
func (s *sink) answered() {
	select {
	case s.answer <- struct{}{}:
	default: // it knows
	}
}

// write is the writer.
func (w *spooler) write(ctx context.Context) {
	s := w.s
	for events := range w.jobs {
		if s.reopen.Swap(false) {
			s.rotate()
		}
		var r result
		if len(events) > 0 {
			if r.err = s.open(ctx); r.err == nil {
				r.n, r.err = s.out.Write(ctx, events)
			}
			if r.err == nil && r.n == 0 {
				r.err = errors.New("the output wrote nothing and gave no error")
			}
		}
		w.results <- r
	}
}

func (w *spooler) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		quiet := false // the queue is empty, and will wake us
		if len(w.pending) == 0 && !w.ended {
			var ok bool
			w.pending, ok = w.s.queue.poll()
			w.ended, quiet = !ok, len(w.pending) == 0
		}
		w.release()
		w.give()
		w.store(time.Now())
		if w.ended && len(w.pending) == 0 && len(w.stored) == len(w.hand) {
			return
		}
		if w.asked() || len(w.pending) == 0 && !w.ended && !quiet {
			continue
		}
		timer.Reset(w.sleep())
		select {
		case r := <-w.results:
			w.settle(r)
		case <-w.s.queue.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// asked answers drainSpools.
func (w *spooler) asked() bool {
	switch w.s.ask.Load() {
	case askDrain:
		if w.retry.IsZero() && (len(w.hand) > 0 || w.sp.Unread() > 0 || len(w.pending) > 0 || len(w.holds) > 0) {
			return false
		}
	case askNothing:
		return false
	}
	w.s.ask.Store(askNothing)
	w.stop = true
	w.s.answered()
	return true
}

// sleep is how long nothing is to be done unless something happens.
func (w *spooler) sleep() time.Duration {
	now := time.Now()
	d := time.Hour
	until := func(t time.Time) { d = min(d, max(t.Sub(now), time.Millisecond)) }
	if !w.again.IsZero() {
		until(w.again)
	}
	if !w.busy && !w.retry.IsZero() && !w.stop {
		until(w.retry)
	}
	if w.busy && w.again.IsZero() && w.fault == "" && (len(w.stored) < len(w.hand) || len(w.pending) > 0) {
		until(w.since.Add(patience))
	}
	return d
}

// give hands the writer what is next.
func (w *spooler) give() {
	if w.busy || w.stop || len(w.holds) >= maxHolds || !w.retry.IsZero() && time.Now().Before(w.retry) {
		if !w.busy && w.s.reopen.Load() {
			w.busy, w.since = true, time.Now()
			w.jobs <- nil
		}
		return
	}
	for len(w.hand) == 0 && w.sp.Unread() > 0 {
		w.stored = w.sp.Read(writeLen, readBytes)
		for i := range w.stored {
			w.hand = append(w.hand, Event{Body: w.stored[i].Body})
		}
		w.emptied()
	}
	if len(w.hand) == 0 {
		n := min(len(w.pending), writeLen)
		w.hand, w.pending = w.pending[:n:n], w.pending[n:]
	}
	if len(w.hand) == 0 && !w.s.reopen.Load() {
		return
	}
	w.busy, w.since = true, time.Now()
	w.jobs <- w.hand // the writer waits for it
}

// store moves what waits to the spool, if the sink fails or is slow.
func (w *spooler) store(now time.Time) {
	slow := w.busy && len(w.hand) > 0 && now.Sub(w.since) >= patience
	if w.retry.IsZero() && !slow && w.sp.Unread() <= writeLen || now.Before(w.again) || len(w.stored) == len(w.hand) && len(w.pending) == 0 {
		return
	}
	if !w.spooling {
		w.spooling, w.began, w.spooled = true, now, 0
		if w.retry.IsZero() && now.Sub(w.slowTold) >= 30*time.Second {
			w.slowTold = now
			w.s.log.Warn("output is slow, its events go to the spool", "uri", w.s.uri)
		}
	}
	if len(w.stored) < len(w.hand) {
		list, ok := w.append(w.hand[len(w.stored):])
		w.sp.Skip(len(list))
		w.stored = append(w.stored, list...)
		if !ok {
			return
		}
	}
	for len(w.pending) > 0 {
		list, ok := w.append(w.pending[:min(len(w.pending), writeLen)])
		w.pending = w.pending[len(list):]
		if !ok {
			return
		}
	}
}

// append puts events into the spool and finishes them. It returns those that are there; ok if all are.
func (w *spooler) append(events []Event) (list []spool.Entry, ok bool) {
	list = make([]spool.Entry, len(events))
	for i := range events {
		list[i] = spool.Entry{Body: events[i].Body, Origin: events[i].Origin()}
	}
	n, err := w.sp.Append(list)
	w.spooled += int64(n)
	w.s.finish(events[:n])
	w.gone(events[:n])
	if err != nil {
		w.spoolFails(err)
		return list[:n], false
	}
	if w.fault == cannotWrite {
		w.s.log.Info("the spool takes events again", "after", time.Since(w.faultAt).Round(time.Millisecond))
	}
	w.fault, w.again, w.rewait = "", time.Time{}, backoff{}
	return list, true
}

// Why a spool takes nothing.
const (
	isFull      = "the spool is full: events wait, and soon the inputs stop reading"
	cannotWrite = "the spool cannot be written: events wait, and soon the inputs stop reading"
)

// spoolFails notes that the spool takes nothing: in the log when it begins. A spool is full once on the way through it.
func (w *spooler) spoolFails(err error) {
	if errors.Is(err, spool.ErrFull) {
		if w.fault, w.again = isFull, (time.Time{}); !w.fullTold {
			w.fullTold = true
			w.s.log.Error(isFull, "uri", w.s.uri, "limit", w.s.limit, "remedy", "bring the sink back, or raise spool in config.lua")
		}
		return
	}
	w.again = time.Now().Add(w.rewait.pause())
	if w.fault != cannotWrite {
		w.fault, w.faultAt = cannotWrite, time.Now()
		w.s.log.Error(cannotWrite, "uri", w.s.uri, "err", err, "remedy", remedy(err))
	}
}

// gone takes events out of the gate's books.
func (w *spooler) gone(events []Event) {
	var bytes int64
	for i := range events {
		bytes += int64(len(events[i].Body))
	}
	g := w.s.e.gate
	g.queued.Add(int64(-len(events)))
	g.queuedB.Add(-bytes)
	g.writing.Add(int64(-len(events)))
	w.s.finisher.flush()
	g.progress()
}

// settle takes back what the writer has done.
func (w *spooler) settle(r result) {
	w.busy = false
	if len(w.hand) == 0 { // it was to rotate only
		return
	}
	if r.n > 0 {
		w.s.works()
		w.s.delivered.Add(int64(r.n))
		w.advance(r.n)
		w.wait, w.retry = backoff{}, time.Time{}
	}
	var rejected *RejectError
	switch {
	case r.err == nil || w.stop:
	case errors.As(r.err, &rejected) && len(w.hand) > 0:
		w.retry = time.Time{}
		w.refused(rejected)
	default:
		w.s.failing(r.err)
		w.retry = time.Now().Add(w.wait.pause())
	}
	w.emptied()
}

// advance takes n events, which are delivered or dead-lettered, from hand.
func (w *spooler) advance(n int) {
	k := min(n, len(w.stored))
	if k > 0 {
		w.acked = w.stored[k-1].ID
		w.ack()
	}
	if direct := w.hand[k:n]; len(direct) > 0 {
		w.s.finish(direct)
		w.gone(direct)
	}
	if w.stored, w.hand = w.stored[k:], w.hand[n:]; len(w.hand) == 0 {
		w.stored, w.hand = nil, nil
	}
}

// ack tells the spool what is delivered, up to the first refused event that the dead letter does not have yet.
func (w *spooler) ack() {
	to := w.acked
	if len(w.holds) > 0 {
		to = min(to, w.holds[0].id-1)
	}
	if to > 0 {
		w.sp.Ack(to)
	}
}

// release forgets the refused events that the dead letter has.
func (w *spooler) release() {
	n := 0
	for n < len(w.holds) && w.holds[n].done.Load() {
		n++
	}
	if n > 0 {
		w.holds = w.holds[n:]
		w.ack()
		w.emptied()
	}
}

// refused sends the first event of hand to the dead letter.
func (w *spooler) refused(err *RejectError) {
	ev, before := &w.hand[0], len(w.hand[0].Body)
	if len(w.stored) == 0 {
		ended := w.s.reject(ev, err)
		w.s.e.gate.queuedB.Add(int64(len(ev.Body) - before))
		if ended {
			w.gone(w.hand[:1])
			w.hand = w.hand[1:]
		}
		return
	}
	if w.s.kind == deadLetterSink {
		own := Event{Body: ev.Body}
		if !w.s.reject(&own, err) {
			ev.Body = own.Body
			return
		}
		w.advance(1)
		return
	}
	w.s.rejected.Add(1)
	h := &hold{id: w.stored[0].ID}
	w.holds = append(w.holds, h)
	if w.out == nil {
		w.out = w.s.e.newOutbox()
	}
	w.s.e.deadLetterOf(w.out, ev.Body, w.stored[0].Origin, "output "+w.s.tag, err.Err, func() {
		h.done.Store(true)
		w.s.queue.poke()
	})
	w.advance(1)
}

// deadLetterOf sends an event to the dead letter whose record is booked already, as delivered to a spool.
func (e *Engine) deadLetterOf(o *outbox, body, origin, stage string, err error, done func()) {
	tag, rest, _ := strings.Cut(origin, " ")
	e.gate.enter(1, int64(len(body)))
	batch := e.gate.newBatch(&books{tag: tag}, rest, 1, int64(len(body)), done)
	e.deadLetter(o, &Event{Body: body, rec: &batch.records[0]}, stage, ReasonRejected, err)
	o.flush()
}

// emptied tells of the end of the way through the spool.
func (w *spooler) emptied() {
	if w.spooling && w.retry.IsZero() && len(w.hand) == 0 && len(w.holds) == 0 && w.sp.Unread() == 0 {
		w.spooling, w.fullTold = false, false
		w.s.log.Info("the spool is delivered", "events", w.spooled, "since", time.Since(w.began).Round(time.Millisecond))
	}
}

// end is called when the writer has ended.
func (w *spooler) end() {
	select {
	case r := <-w.results:
		w.stop = true
		w.settle(r)
	default:
	}
	for more := true; more; { // what the drain timeout has cut off; what finds no room is not acked
		if len(w.pending) == 0 {
			w.pending, _ = w.s.queue.poll()
		}
		more = len(w.pending) > 0
		w.retry, w.again = time.Now(), time.Time{}
		w.store(time.Now())
		more = more && len(w.pending) == 0
	}
	w.release()
	if err := w.sp.Save(); err != nil {
		w.s.log.Error("the spool's position cannot be saved", "err", err, "remedy", remedy(err))
	}
}
