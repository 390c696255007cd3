// Package spool keeps events on disk while a sink does not take them: a queue in files that survives a crash at any byte.
//
// A spool is a directory of segments (segment.go) and a position (position.go). Events are numbered from 1; segments are
// only appended to, the position is the number below which everything is delivered, and a segment wholly below it is
// removed, after the position was saved. What a crash or a bad disk does to the files costs the events that are hit and
// nothing else: the reader looks for the next sound frame, knows from the numbers how many events are missing, and says so.
package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Entry is one event.
type Entry struct {
	Body   string    // one JSON text
	Origin string    // where it came from, for messages; cut off after 64 KiB
	Time   time.Time // when it was appended, in milliseconds
	ID     uint64    // its number; Append gives it
}

// Options of a spool.
type Options struct {
	Limit   int64        // bytes of all segments together
	Segment int64        // bytes of one; 0 is a sixteenth of Limit, between 64 KiB and 16 MiB
	NoSync  bool         // leave it to the kernel when what was appended reaches the disk
	Log     *slog.Logger // nil logs nothing
}

// Errors that callers ask for.
var (
	ErrFull = errors.New("the spool is full")
	ErrBusy = errors.New("another process uses this spool")
)

// Stats are figures of a spool.
type Stats struct {
	Events   int64     // not yet delivered
	Bytes    int64     // of all segments
	Limit    int64     // of Bytes
	Oldest   time.Time // when the oldest event that is not delivered was appended; zero if there is none
	Appended int64     // events since Open
	Lost     int64     // events that could not be read, since Open
	Damaged  int64     // bytes of which no event could be made, since Open
}

// Spool is open for one process. Its methods are for one goroutine, except Stats.
type Spool struct {
	name string // below the state directory
	o    Options
	log  *slog.Logger

	state    *os.Root
	dir      *os.Root // nil: could not be made yet
	lock     *os.File // the directory, locked
	position position
	segments []segment // oldest first
	last     uint64    // sequence of the newest segment there ever was
	active   *os.File  // the last of segments, if it is open for appending
	torn     bool      // active has bytes behind its size that could not be cut off
	buf      []byte

	next  uint64 // number of the next event that is appended
	acked uint64 // all below are delivered
	saved uint64 // acked as it is on disk; 0: nothing is
	at    time.Time
	told  bool // that the position cannot be saved

	cur    *reader // of segments[curAt]; nil at its start
	curF   *os.File
	curAt  int
	expect uint64      // number of the next event to read
	unread []time.Time // of the events read and not acked
	ids    []uint64    // their numbers

	mu    sync.Mutex
	stats Stats
}

// segment is one file.
type segment struct {
	seq, first uint64 // first is 0 if the header is damaged
	size       int64  // bytes that count
	bound      uint64 // set when it is read: all its events are below
}

const segmentEnd = ".seg"

func (s segment) name() string { return fmt.Sprintf("%012d%s", s.seq, segmentEnd) }

// sequence returns the sequence of a segment's file name.
func sequence(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentEnd)
	if !ok || len(digits) != 12 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && seq > 0
}

// Open opens the spool of a tag in the state directory, or makes it. Damage is logged and counted. The error is ErrBusy, or
// what the file system says when it cannot be known whether events wait here; then Open may be tried again.
func Open(state *os.Root, tag string, o Options) (*Spool, error) {
	if o.Segment == 0 {
		o.Segment = min(max(o.Limit/16, 64<<10), 16<<20)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{name: inTop(Name(tag)), o: o, log: o.Log, state: state, next: 1, acked: 1, expect: 1}
	s.stats.Limit = o.Limit
	if err := s.enter(); err != nil {
		if _, err := state.Stat(s.name); errors.Is(err, fs.ErrNotExist) { // nothing waits here
			s.log.Error("the spool cannot be made: while the output does not work its events wait", "dir", s.path(), "err", err)
			return s, nil
		}
		return nil, fmt.Errorf("spool %s: %w", s.path(), err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("spool %s: %w", s.path(), err), s.Close())
	}
	return s, nil
}

func (s *Spool) path() string { return s.state.Name() + "/" + s.name }

// enter makes, opens and locks the directory.
func (s *Spool) enter() error {
	if err := s.state.MkdirAll(s.name, 0o700); err != nil {
		return err
	}
	dir, err := s.state.OpenRoot(s.name)
	if err != nil {
		return err
	}
	if s.lock, err = lockDir(dir, syscall.LOCK_EX); err != nil {
		return errors.Join(err, dir.Close())
	}
	s.dir = dir
	return nil
}

// lockDir locks a spool's directory: exclusively for a process that changes it, shared for one that reads.
func lockDir(dir *os.Root, how int) (*os.File, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	return f, nil
}

// load finds out what is there.
func (s *Spool) load() error {
	pos, gen, err := readPosition(s.dir)
	s.position.gen = gen
	switch {
	case errors.Is(err, errPosition):
		aside, err := setAside(s.dir, positionFile, ".damaged")
		if err != nil {
			return err
		}
		s.log.Error("the spool's position cannot be read: what is left of the spool is delivered from its start, also what was delivered before", "dir", s.path(), "kept_as", aside)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := s.list(); err != nil {
		return err
	}
	if err := s.findEnd(); err != nil {
		return err
	}
	first := s.next
	if len(s.segments) > 0 {
		first = s.segments[0].first // 0 if damaged: Read takes what comes
		if pos == 0 && err != nil && errors.Is(err, fs.ErrNotExist) {
			s.log.Error("the spool's position is missing: it is delivered from its start, also what was delivered before", "dir", s.path())
		}
	}
	if s.acked = pos; pos == 0 {
		s.acked = max(first, 1)
	}
	s.saved, s.expect, s.next = pos, s.acked, max(s.next, s.acked)
	if pos == 0 && first == 0 {
		s.expect = 0
	}
	for len(s.segments) > 0 && s.boundOf(0) <= s.acked && s.boundOf(0) > 0 {
		if err := s.removeFirst(); err != nil {
			return err
		}
	}
	if len(s.segments) > 0 {
		s.oldest()
	}
	s.note()
	return nil
}

// boundOf returns a number that all events of segment i are below; 0 if it is not known.
func (s *Spool) boundOf(i int) uint64 {
	switch {
	case s.segments[i].bound > 0:
		return s.segments[i].bound
	case i+1 < len(s.segments):
		return s.segments[i+1].first
	}
	return s.next
}

// list reads the headers of all segments. What is none is removed, what cannot be read set aside.
func (s *Spool) list() error {
	names, err := fileNames(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		seq, ok := sequence(name)
		if !ok {
			continue
		}
		s.last = max(s.last, seq)
		seg, err := statSegment(s.dir, seq)
		var newer newerError
		switch {
		case errors.As(err, &newer):
			aside, err := setAside(s.dir, name, ".newer")
			if err != nil {
				return err
			}
			s.log.Error("a segment of the spool is from a newer version of this program: its events are not delivered; `mv` it back for that version", "segment", s.path()+"/"+name, "kept_as", aside, "err", newer)
			continue
		case errors.Is(err, errHeader) && seg.size <= headerLen:
			s.log.Warn("a segment of the spool was empty: removed", "segment", s.path()+"/"+name, "bytes", seg.size)
			if err := s.dir.Remove(name); err != nil {
				return err
			}
			continue
		case errors.Is(err, errHeader):
			s.log.Error("the header of a spool's segment is damaged: its events are looked for", "segment", s.path()+"/"+name)
			s.stats.Damaged += headerLen
		case err != nil:
			return err
		}
		s.segments = append(s.segments, seg)
	}
	return nil
}

// fileNames returns the names in a directory, in order.
func fileNames(dir *os.Root) ([]string, error) {
	d, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// statSegment reads the header of a segment. With errHeader its size is known.
func statSegment(dir *os.Root, seq uint64) (segment, error) {
	seg := segment{seq: seq}
	f, err := dir.Open(seg.name())
	if err != nil {
		return seg, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return seg, err
	}
	seg.size = info.Size()
	b := make([]byte, headerLen)
	if seg.size < headerLen {
		return seg, errHeader
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		return seg, err
	}
	seg.first, err = parseHeader(b, seq)
	return seg, err
}

// findEnd reads the newest segment for the number of its last event and cuts off what a crash left behind it. If nothing in it
// says a number, the one before counts.
func (s *Spool) findEnd() error {
	for i := range s.segments {
		s.next = max(s.next, s.segments[i].first)
	}
	for i := len(s.segments) - 1; i >= 0; i-- {
		known, err := s.lastNumber(&s.segments[i], i == len(s.segments)-1)
		if err != nil || known {
			return err
		}
	}
	return nil
}

func (s *Spool) lastNumber(seg *segment, newest bool) (known bool, err error) {
	f, err := s.dir.OpenFile(seg.name(), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	r, end := newReader(f, seg.seq, seg.size), int64(headerLen)
	known = seg.first > 0
	for {
		fr, _, err := r.next()
		if err != nil && !errors.Is(err, io.EOF) { // Read will meet it
			return known, nil
		}
		if err != nil {
			break
		}
		known = true
		s.next = max(s.next, fr.id+1)
		end = r.off
	}
	switch {
	case r.lastBad >= s.next: // whole frames with a damaged body are lost, not torn: Read tells of them
		s.next = r.lastBad + 1
		return true, nil
	case !newest || end == seg.size:
		return known, nil
	}
	s.log.Warn("the end of the spool was torn by a crash: cut off", "segment", s.path()+"/"+seg.name(), "at", end, "bytes", seg.size-end)
	seg.size = end
	return known, f.Truncate(end)
}

// oldest looks at the first event for its age.
func (s *Spool) oldest() {
	f, err := s.dir.Open(s.segments[0].name())
	if err != nil {
		return
	}
	defer f.Close()
	for r := newReader(f, s.segments[0].seq, s.segments[0].size); ; {
		fr, _, err := r.next()
		if err != nil {
			return
		}
		if fr.id >= s.expect {
			s.stats.Oldest = fr.Time
			return
		}
	}
}

// lose counts events that cannot be read and tells of it.
func (s *Spool) lose(n uint64, what string, seg segment, at, bytes int64) {
	s.mu.Lock()
	s.stats.Lost += int64(n)
	s.stats.Damaged += bytes
	s.mu.Unlock()
	s.log.Error(what, "segment", s.path()+"/"+seg.name(), "at", at, "bytes", bytes, "events_lost", n)
}

// note brings the figures up to date.
func (s *Spool) note() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Bytes = 0
	for i := range s.segments {
		s.stats.Bytes += s.segments[i].size
	}
	s.stats.Events = int64(s.next - max(s.acked, 1))
	if len(s.unread) > 0 {
		s.stats.Oldest = s.unread[0]
	}
	if s.stats.Events == 0 {
		s.stats.Oldest = time.Time{}
	}
}

// Stats may be called from any goroutine.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close saves the position and gives the spool up. What is not delivered stays.
func (s *Spool) Close() error {
	var errs []error
	if s.dir != nil && len(s.segments) > 0 {
		errs = append(errs, s.Save())
	}
	s.leave()
	if s.active != nil {
		errs = append(errs, s.active.Close())
		s.active = nil
	}
	errs = append(errs, s.position.close())
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.dir != nil {
		errs = append(errs, s.dir.Close())
	}
	s.lock, s.dir = nil, nil
	return errors.Join(errs...)
}
