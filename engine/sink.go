package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/spool"
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
	shorter  int       // times that the event in hand was made shorter (dead letter)

	limit  int64 // bytes of its spool; 0 is none
	noSync bool  // of its spool
	spool  atomic.Pointer[spool.Spool]
	ask    atomic.Int32  // of a spooler: see drainSpools
	answer chan struct{} // 1 token: it does no more

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
	return &sink{e: e, kind: kind, tag: tag, uri: uri, out: out, queue: newQueue(), log: e.log.With("output", tag), answer: make(chan struct{}, 1)}
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
	if s.limit > 0 {
		s.runSpooled(ctx)
		return
	}
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
			if s.reject(&events[0], rejected) {
				events = events[1:]
			}
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
	s.works()
	s.delivered.Add(int64(len(events)))
	s.finish(events)
}

// finish says that events are where they cannot be lost.
func (s *sink) finish(events []Event) {
	fate := uint32(fateDelivered)
	if s.kind != userSink {
		fate = 0
	}
	for i := range events {
		s.finisher.finish(events[i].rec, fate)
	}
}

// works notes the end of an outage.
func (s *sink) works() {
	s.shorter = 0
	if d := s.down.Swap(nil); d != nil {
		s.log.Info("output works again", "after", time.Since(d.since).Round(time.Millisecond))
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
		s.log.Error("output does not work, "+s.meanwhile(), "uri", s.uri, "err", err, "remedy", remedy(err))
	case now.Sub(s.told) >= 30*time.Second:
		s.told = now
		s.log.Error("output still does not work, "+s.meanwhile(), "uri", s.uri, "for", now.Sub(d.since).Round(time.Second), "err", err, "remedy", remedy(err))
	}
	s.down.Store(&outage{since: d.since, err: err})
}

// meanwhile says what becomes of the events during an outage.
func (s *sink) meanwhile() string {
	switch {
	case s.spool.Load() != nil:
		return "its events go to the spool"
	case s.kind == deadLetterSink:
		return "what failed waits, and soon the inputs stop reading"
	}
	return "its events wait"
}

// remedy says what the operator can do about a fault of a sink.
func remedy(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "correct the host in the uri, or make DNS or /etc/hosts know it"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free space there"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("let the user of this process (uid %d) write there", os.Geteuid())
	case errors.Is(err, syscall.EROFS):
		return "mount the file system for writing"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the server or program that reads there, or correct the uri"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "make it, start what makes it, or correct the uri"
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return "see why the other side has gone"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "see why the other side does not read"
	case errors.Is(err, spool.ErrBusy):
		return "end the other process, such as `dragonfly spool fsck --repair`"
	}
	return "it is tried again"
}

// reject deals with an event that the sink refuses for good, and reports whether that is the end of it: a dead letter is
// tried again in a shorter form.
func (s *sink) reject(ev *Event, err *RejectError) bool {
	if s.kind != deadLetterSink {
		s.rejected.Add(1)
		o := s.e.newOutbox()
		s.e.deadLetter(o, ev, "output "+s.tag, ReasonRejected, err.Err)
		o.flush()
		return true
	}
	if s.shorten(ev) {
		return false
	}
	s.rejected.Add(1)
	s.log.Error("the dead-letter output refuses an event also in its shortest form: it is lost; a file:// takes all", "origin", ev.Origin(), "err", err.Err, "event", ev.Body)
	if ev.rec != nil {
		s.finisher.finish(ev.rec, fateDead|reasonIndex(ReasonRejected))
	}
	return true
}

// shortLens are the bytes that a dead letter's event is cut to, one after the other, while the output refuses it.
var shortLens = [...]int{64 << 10, 16 << 10, 4 << 10, 1 << 10, 0}

// shorten cuts the event in a dead letter, of which then the beginning is there, as a string, and its length; false if
// nothing is left to cut.
func (s *sink) shorten(ev *Event) bool {
	fields, err := lazyjson.IndexObject(nil, ev.Body)
	if err != nil {
		return false
	}
	f := lazyjson.Find(fields, ev.Body, "event")
	if f == nil {
		return false
	}
	text, size := f.Raw(ev.Body), fmt.Sprint(f.ValEnd-f.ValOff)
	if before := lazyjson.Find(fields, ev.Body, "event_bytes"); before != nil { // it is a string of ours already
		text, size = lazyjson.Unquote(text[1:len(text)-1]), before.Raw(ev.Body)
	}
	for s.shorter < len(shortLens) && shortLens[s.shorter] >= len(text) {
		s.shorter++
	}
	if s.shorter == len(shortLens) {
		s.shorter = 0
		return false
	}
	n := shortLens[s.shorter]
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	body := append([]byte{}, ev.Body[:f.ValOff]...)
	body = lazyjson.AppendQuoted(body, text[:n])
	body = append(body, `,"event_bytes":`...)
	ev.Body, ev.Index = string(append(append(body, size...), '}')), nil
	s.shorter++
	return true
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

// backoff pauses between two tries: 50 ms, doubled up to lastWait, up to a quarter less: many that lost the same sink do not all
// come back to it at the same time.
type backoff struct{ next time.Duration }

func (b *backoff) sleep(ctx context.Context) error {
	timer := time.NewTimer(b.pause())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
