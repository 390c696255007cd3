package spool

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// Unread is how many events Read has before it.
func (s *Spool) Unread() int64 { return int64(s.next - max(s.expect, 1)) }

// Read returns the next events, n at most and not many more bytes than given, at least one if there is one. What it cannot
// read is told, counted and passed over.
func (s *Spool) Read(n int, bytes int64) []Entry {
	if s.dir == nil {
		return nil
	}
	var list []Entry
	for len(list) < n && bytes > 0 {
		e, ok := s.readOne()
		if !ok {
			break
		}
		list = append(list, e)
		bytes -= int64(len(e.Body))
		s.ids = append(s.ids, e.ID)
		s.unread = append(s.unread, e.Time)
	}
	if len(list) == 0 && len(s.ids) == 0 && s.expect > s.acked { // what was left is lost
		s.Ack(s.expect - 1)
	}
	s.note()
	return list
}

// Skip reads n events without returning them: those that the caller has just appended and holds.
func (s *Spool) Skip(n int) {
	for n > 0 {
		got := len(s.Read(n, 1<<62))
		if got == 0 {
			return
		}
		n -= got
	}
}

// readOne returns the next event; false if there is none.
func (s *Spool) readOne() (Entry, bool) {
	for s.curAt < len(s.segments) {
		seg := &s.segments[s.curAt]
		lastOne := s.curAt == len(s.segments)-1
		if lastOne && s.active != nil && s.expect >= s.next { // most often there is nothing new
			return Entry{}, false
		}
		if s.cur == nil {
			if err := s.enterSegment(seg); err != nil {
				s.unreadable(seg, headerLen, err)
				if s.leaveSegment(lastOne) {
					continue
				}
				return Entry{}, false
			}
		}
		s.cur.extend(seg.size)
		f, skipped, err := s.cur.next()
		at := s.cur.off
		if err == nil {
			at -= frameLen + int64(len(f.Origin)) + int64(len(f.Body))
		}
		gap := uint64(0)
		if err == nil && s.expect > 0 && f.id > s.expect {
			gap = f.id - s.expect
		}
		if err == nil && f.kind == kindGap {
			s.expect = max(s.expect, f.id)
			gap = 0
		}
		if err != nil && lastOne && s.expect < s.next {
			if s.expect > 0 {
				gap = s.next - s.expect
			}
			s.expect = s.next
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			s.unreadable(seg, s.cur.off, err)
		case skipped > 0:
			s.lose(gap, "a part of the spool is damaged: passed over", *seg, at-skipped, skipped)
		case gap > 0:
			s.lose(gap, "events are missing in the spool", *seg, at, 0)
		}
		if err != nil {
			if s.leaveSegment(lastOne) {
				continue
			}
			return Entry{}, false
		}
		if f.kind == kindGap || f.id < s.expect { // delivered before
			continue
		}
		s.expect = f.id + 1
		s.next = max(s.next, s.expect)
		return f.Entry, true
	}
	return Entry{}, false
}

func (s *Spool) enterSegment(seg *segment) error {
	f, err := s.dir.Open(seg.name())
	if err != nil {
		return err
	}
	s.curF, s.cur = f, newReader(f, seg.seq, seg.size)
	return nil
}

// unreadable tells of a segment that the disk does not give; it is kept for fsck.
func (s *Spool) unreadable(seg *segment, at int64, err error) {
	aside := ""
	if !errors.Is(err, fs.ErrNotExist) {
		aside, _ = setAside(s.dir, seg.name(), ".damaged")
	}
	s.log.Error("a segment of the spool cannot be read: passed over", "segment", s.path()+"/"+seg.name(), "at", at, "kept_as", aside, "err", err)
}

// leaveSegment ends the reading of a segment and reports whether there is another one. The one that is being written is not left.
func (s *Spool) leaveSegment(lastOne bool) bool {
	if lastOne && s.active != nil {
		return false
	}
	s.segments[s.curAt].bound = max(s.expect, 1)
	s.leave()
	s.curAt++
	return s.curAt < len(s.segments)
}

func (s *Spool) leave() {
	if s.curF != nil {
		s.curF.Close()
	}
	s.cur, s.curF = nil, nil
}

// Ack says that the event with this number and all before are delivered. Segments that are delivered go.
func (s *Spool) Ack(id uint64) {
	if s.dir == nil || id < s.acked {
		return
	}
	n, _ := slices.BinarySearch(s.ids, id+1)
	if n > 0 {
		s.mu.Lock()
		s.stats.Oldest = s.unread[n-1]
		s.mu.Unlock()
	}
	s.ids, s.unread = slices.Delete(s.ids, 0, n), slices.Delete(s.unread, 0, n)
	if s.acked = id + 1; len(s.ids) == 0 {
		s.acked = max(s.acked, s.expect)
	}
	defer s.note()
	if s.acked >= s.next && s.expect >= s.next { // empty: begin anew next time
		if s.Save() == nil {
			s.empty()
		}
		return
	}
	if len(s.segments) > 0 && s.curAt > 0 && s.segments[0].bound <= s.acked {
		if s.Save() != nil {
			return
		}
		for s.curAt > 0 && s.segments[0].bound <= s.acked {
			if s.removeFirst() != nil {
				return
			}
		}
	}
	if time.Since(s.at) >= time.Second {
		s.Save()
	}
}

// empty removes all segments.
func (s *Spool) empty() {
	if s.torn {
		return
	}
	s.leave()
	if s.active != nil {
		s.active.Close()
		s.active = nil
	}
	for len(s.segments) > 0 {
		if s.removeFirst() != nil {
			return
		}
	}
}

// removeFirst removes the oldest segment. The position that makes it superfluous is saved.
func (s *Spool) removeFirst() error {
	name := s.segments[0].name()
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a delivered segment of the spool cannot be removed", "segment", s.path()+"/"+name, "err", err)
		return err
	}
	s.segments = s.segments[1:]
	if s.curAt > 0 {
		s.curAt--
	}
	return nil
}
