package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Report is what a spool's files hold. It is made without changing them, also while another process uses the spool.
type Report struct {
	Tag      string
	Dir      string // below the state directory
	Running  bool   // a process uses the spool: the end of the newest segment is still being written
	Segments []SegmentReport
	Bytes    int64
	Events   int64     // that can be read and are not delivered
	Lost     int64     // that are missing between those that can be read
	Oldest   time.Time // of Events
	Position uint64    // number of the next event to deliver; 0 if it cannot be read
	Problems []string  // damage, with its place
	Aside    []string  // files that were set aside: NAME.damaged, NAME.newer
}

// SegmentReport is one segment of a Report.
type SegmentReport struct {
	Name        string
	Bytes       int64
	First, Last uint64 // numbers of its events; 0 if none can be read
	Events      int64
	damaged     bool
}

// Tags returns the tags of all spools in the state directory, in order. DeadLetter may be one of them.
func Tags(state *os.Root) ([]string, error) {
	top, err := state.Open(Top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer top.Close()
	entries, err := top.ReadDir(-1)
	var tags []string
	for _, e := range entries {
		if e.IsDir() {
			tags = append(tags, Tag(e.Name()))
		}
	}
	slices.Sort(tags)
	return tags, err
}

// Check reads every frame of a spool. each, if not nil, gets the events that are not delivered, in order; its error ends the
// reading. The error is of the file system, or each's: damage is in Report.Problems.
func Check(state *os.Root, tag string, each func(Entry) error) (*Report, error) {
	r := &Report{Tag: tag, Dir: inTop(Name(tag))}
	dir, err := state.OpenRoot(r.Dir)
	if err != nil {
		return r, err
	}
	defer dir.Close()
	lock, err := lockDir(dir, syscall.LOCK_SH)
	if r.Running = errors.Is(err, ErrBusy); err != nil && !r.Running {
		return r, err
	}
	if lock != nil {
		defer lock.Close()
	}
	return r, r.read(dir, each)
}

func (r *Report) read(dir *os.Root, each func(Entry) error) error {
	names, err := fileNames(dir) // before the position: what it says may be newer than the list, not older
	if err != nil {
		return err
	}
	next, _, err := readPosition(dir)
	r.Position = next
	hasSegments := slices.ContainsFunc(names, func(n string) bool { _, ok := sequence(n); return ok })
	switch {
	case errors.Is(err, errPosition):
		r.problem("%s: neither copy of the position is whole: what is left would be delivered from its start", positionFile)
	case errors.Is(err, fs.ErrNotExist) && hasSegments && !r.Running:
		r.problem("%s: is missing: what is left would be delivered from its start", positionFile)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for i, name := range names {
		seq, ok := sequence(name)
		if !ok {
			if strings.Contains(name, ".damaged") || strings.Contains(name, ".newer") {
				r.Aside = append(r.Aside, name)
			}
			continue
		}
		newest := !slices.ContainsFunc(names[i+1:], func(n string) bool { _, ok := sequence(n); return ok })
		if next, err = r.segment(dir, seq, next, newest, each); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// segment reads one segment, in which the event number expect (0: any) should be next, and returns the number after its last.
func (r *Report) segment(dir *os.Root, seq, expect uint64, newest bool, each func(Entry) error) (uint64, error) {
	seg, err := statSegment(dir, seq)
	if errors.Is(err, fs.ErrNotExist) { // delivered meanwhile
		return expect, nil
	}
	s := SegmentReport{Name: seg.name(), Bytes: seg.size}
	var newer newerError
	switch {
	case errors.Is(err, errHeader) && r.Running && newest && seg.size < headerLen: // just being made
	case errors.Is(err, errHeader), errors.As(err, &newer):
		s.damaged = true
		r.problem("%s: %v", s.Name, err)
	case err != nil:
		return expect, err
	}
	r.Bytes += seg.size
	if newer > 0 {
		r.Segments = append(r.Segments, s)
		return expect, nil
	}
	f, err := dir.Open(seg.name())
	if errors.Is(err, fs.ErrNotExist) {
		return expect, nil
	}
	if err != nil {
		return expect, err
	}
	defer f.Close()
	for in := newReader(f, seq, seg.size); ; {
		fr, skipped, err := in.next()
		torn := err != nil && newest && r.Running
		if skipped > 0 && !torn {
			s.damaged = true
			r.problem("%s: %d bytes before byte %d are no event", s.Name, skipped, in.off)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			s.damaged = true
			r.problem("%s: byte %d: %v", s.Name, in.off, err)
		}
		if err != nil {
			r.Segments = append(r.Segments, s)
			return expect, nil
		}
		if fr.kind == kindGap {
			expect = max(expect, fr.id)
			continue
		}
		if s.Events++; s.First == 0 {
			s.First = fr.id
		}
		s.Last = fr.id
		if fr.id < expect {
			continue
		}
		if lost := fr.id - expect; expect > 0 && lost > 0 && !r.moved(dir, fr.id) {
			s.damaged = true
			r.Lost += int64(lost)
			r.problem("%s: %d events before number %d are missing", s.Name, lost, fr.id)
		}
		expect = fr.id + 1
		if r.Events++; r.Oldest.IsZero() {
			r.Oldest = fr.Time
		}
		if each != nil {
			if err := each(fr.Entry); err != nil {
				return expect, err
			}
		}
	}
}

// moved reports whether the process that uses the spool has delivered everything before id meanwhile.
func (r *Report) moved(dir *os.Root, id uint64) bool {
	if !r.Running {
		return false
	}
	next, _, err := readPosition(dir)
	return err == nil && next >= id
}

// Repair makes a spool whole of which Check found problems: segments with damage are written anew with what can be read, and
// the old ones kept as NAME.damaged. It returns what it did. While another process uses the spool the error is ErrBusy.
func Repair(state *os.Root, tag string) (done []string, err error) {
	dir, err := state.OpenRoot(inTop(Name(tag)))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	lock, err := lockDir(dir, syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	r := &Report{Tag: tag}
	if err := r.read(dir, nil); err != nil {
		return nil, err
	}
	if len(r.Problems) == 0 {
		return nil, nil
	}
	expect, gen, err := readPosition(dir)
	if errors.Is(err, errPosition) {
		aside, err := setAside(dir, positionFile, ".damaged")
		if err != nil {
			return done, err
		}
		done = append(done, fmt.Sprintf("%s: kept as %s", positionFile, aside))
	}
	if expect == 0 { // from the start of what is there
		expect = 1
		if i := slices.IndexFunc(r.Segments, func(s SegmentReport) bool { return s.First > 0 }); i >= 0 {
			expect = r.Segments[i].First
		}
		p := position{gen: gen}
		if err := errors.Join(p.save(dir, expect, true), p.close()); err != nil {
			return done, err
		}
		done = append(done, fmt.Sprintf("%s: written, number %d", positionFile, expect))
	}
	for _, s := range r.Segments {
		if !s.damaged {
			expect = max(expect, s.Last+1)
			continue
		}
		what, err := rewrite(dir, s, &expect)
		if err != nil {
			return done, fmt.Errorf("%s: %w", s.Name, err)
		}
		done = append(done, what)
	}
	return done, nil
}

// rewrite makes a segment of what can be read of a damaged one. expect is the number of the event that should be next.
func rewrite(dir *os.Root, s SegmentReport, expect *uint64) (string, error) {
	seq, _ := sequence(s.Name)
	old, err := dir.Open(s.Name)
	if err != nil {
		return "", err
	}
	defer old.Close()
	temp := s.Name + ".new"
	f, err := dir.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	if s.Events > 0 {
		err = copyFrames(f, newReader(old, seq, s.Bytes), s, expect)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		dir.Remove(temp)
		return "", err
	}
	aside, err := setAside(dir, s.Name, ".damaged")
	if err != nil {
		return "", err
	}
	defer syncRoot(dir)
	if s.Events == 0 {
		return fmt.Sprintf("%s: holds no event that can be read, kept as %s", s.Name, aside), dir.Remove(temp)
	}
	return fmt.Sprintf("%s: written anew with %d events, the old one kept as %s", s.Name, s.Events, aside), dir.Rename(temp, s.Name)
}

func copyFrames(w io.Writer, in *reader, s SegmentReport, expect *uint64) error {
	b := appendHeader(nil, in.seq, s.First)
	for {
		fr, _, err := in.next()
		if err == nil && fr.kind == kindEvent {
			if fr.id > *expect {
				b = appendFrame(b, in.seq, fr.id, kindGap, &Entry{Time: fr.Time})
			}
			*expect = max(*expect, fr.id+1)
		}
		if err == nil {
			b = appendFrame(b, in.seq, fr.id, fr.kind, &fr.Entry)
		}
		if err != nil || len(b) > 1<<20 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		if err != nil {
			return nil
		}
	}
}

func syncRoot(dir *os.Root) {
	if d, err := dir.Open("."); err == nil {
		d.Sync()
		d.Close()
	}
}

// Waiting returns the tags of spools that hold events which are not delivered, without reading all of them, and how many
// bytes they have.
func Waiting(state *os.Root) map[string]int64 {
	found := map[string]int64{}
	tags, _ := Tags(state)
	for _, tag := range tags {
		dir, err := state.OpenRoot(inTop(Name(tag)))
		if err != nil {
			continue
		}
		names, _ := fileNames(dir)
		for _, name := range names {
			if _, ok := sequence(name); ok {
				if info, err := dir.Stat(name); err == nil && info.Size() > headerLen {
					found[tag] += info.Size()
				}
			}
		}
		dir.Close()
	}
	return found
}
