package spool

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Append writes entries behind those that are there, and gives each its ID. It returns how many, from the first, are in the
// spool for good: on the disk, unless NoSync. The error says why not all: ErrFull, or what the file system says; the
// rest may be tried again.
func (s *Spool) Append(entries []Entry) (n int, err error) {
	if s.dir == nil {
		if err := s.enter(); err != nil {
			return 0, err
		}
		if err := s.load(); err != nil {
			return 0, err
		}
	}
	defer s.note()
	for n < len(entries) {
		if err := s.room(sizeOf(&entries[n])); err != nil {
			return n, err
		}
		k := s.fill(entries[n:])
		if err := s.commit(k); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// room sees to it that a frame of n bytes may be appended to the active segment.
func (s *Spool) room(n int64) error {
	var sum int64
	for i := range s.segments {
		sum += s.segments[i].size
	}
	full := s.active == nil || s.segments[len(s.segments)-1].size >= s.o.Segment
	if full {
		sum += headerLen
	}
	if sum+n > s.o.Limit {
		return ErrFull
	}
	if s.torn { // what stands behind the end would be in the way
		if err := s.active.Truncate(s.segments[len(s.segments)-1].size); err != nil {
			return err
		}
		s.torn = false
	}
	if !full {
		return nil
	}
	return s.newSegment()
}

func (s *Spool) newSegment() error {
	if s.saved != s.acked || s.saved == 0 {
		if err := s.savePosition(); err != nil {
			return err
		}
	}
	if s.active != nil {
		s.active.Close()
		s.active = nil
	}
	seg := segment{seq: s.last + 1, first: s.next, size: headerLen}
	f, err := s.dir.OpenFile(seg.name(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) { // somebody put it there: the next number
			s.last++
		}
		return err
	}
	if _, err = f.Write(appendHeader(nil, seg.seq, seg.first)); err == nil {
		err = s.syncDir()
	}
	if err != nil {
		return errors.Join(err, f.Close(), s.dir.Remove(seg.name()))
	}
	s.last = seg.seq
	s.active = f
	s.segments = append(s.segments, seg)
	return nil
}

// fill makes frames in buf, at least one, as many as go into the segment and below the limit, and returns how many.
func (s *Spool) fill(entries []Entry) int {
	seg := &s.segments[len(s.segments)-1]
	var sum int64
	for i := range s.segments {
		sum += s.segments[i].size
	}
	s.buf = s.buf[:0]
	now := time.Now()
	for i := range entries {
		e := &entries[i]
		size := int64(len(s.buf))
		if i > 0 && (seg.size+size >= s.o.Segment || sum+size+sizeOf(e) > s.o.Limit || size > 4<<20) {
			return i
		}
		if e.Time.IsZero() {
			e.Time = now
		}
		e.ID = s.next + uint64(i)
		s.buf = appendFrame(s.buf, seg.seq, e.ID, kindEvent, e)
	}
	return len(entries)
}

// commit writes buf, which holds n frames. After an error the segment ends where it did, and another one is begun next.
func (s *Spool) commit(n int) error {
	seg := &s.segments[len(s.segments)-1]
	_, err := s.active.WriteAt(s.buf, seg.size)
	if err == nil && !s.o.NoSync {
		err = s.active.Sync()
	}
	if err != nil {
		if e := s.active.Truncate(seg.size); e != nil {
			s.torn = true
			return errors.Join(err, e)
		}
		s.active.Close()
		s.active = nil
		if seg.size == headerLen && s.curAt < len(s.segments)-1 || seg.size == headerLen && s.cur == nil {
			s.dir.Remove(seg.name())
			s.segments = s.segments[:len(s.segments)-1]
		}
		return err
	}
	if s.next == s.acked {
		s.mu.Lock()
		s.stats.Oldest = time.Now()
		s.mu.Unlock()
	}
	seg.size += int64(len(s.buf))
	s.next += uint64(n)
	s.mu.Lock()
	s.stats.Appended += int64(n)
	s.mu.Unlock()
	if cap(s.buf) > 8<<20 {
		s.buf = nil
	}
	return nil
}

// syncDir makes the names in the directory durable.
func (s *Spool) syncDir() error {
	if s.o.NoSync {
		return nil
	}
	d, err := s.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Save writes the position to the disk, if it has changed since the last time.
func (s *Spool) Save() error {
	if s.saved == s.acked || s.dir == nil || s.saved == 0 && len(s.segments) == 0 {
		return nil
	}
	return s.savePosition()
}

func (s *Spool) savePosition() error {
	isNew := s.saved == 0
	err := s.position.save(s.dir, s.acked, !s.o.NoSync)
	if err == nil && isNew {
		err = s.syncDir()
	}
	if err != nil {
		if !s.told {
			s.log.Error("the spool's position cannot be saved: after a crash events would come again", "dir", s.path(), "err", err)
		}
		s.told = true
		return err
	}
	s.saved, s.at, s.told = s.acked, time.Now(), false
	return nil
}
