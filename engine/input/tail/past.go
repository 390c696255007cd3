package tail

import (
	"os"
	"slices"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// past is a file that is not open: one that was read to its end and is still there, so that it is not taken for a new one;
// or one that is looked for, because perhaps not all of it was read.
type past struct {
	at       engine.Position // Offset is where it was read to
	id       fileID          // zero when no file is it any more
	cursor   *engine.Cursor  // keeps it in the checkpoints; may be nil
	size     int64           // with modified: of the file when it was last looked at; -1 is not yet
	modified time.Time
	finished bool // it was read to its end
	parked   bool // it was read to its end, matches the pattern and may grow
	copied   bool // its lines were read from another file, of which it is a copy
	changed  bool // it was truncated or rewritten: what it held can be in a copy only
	told     bool // that it is gone
	tries    int  // scans that did not find it
	seen     bool // in this look
	head     []byte
	marks    []mark
}

// mostGone bounds how many files that are gone are remembered. A packed one may still come, and is then not read again.
const mostGone = 64

// mostTries is for how many scans a file is looked for among all that are there; later among those that are new.
const mostTries = 4

// wanted reports whether p is looked for.
func (p *past) wanted() bool { return !p.finished && !p.parked && !p.seen }

// wants reports whether p is not there, and id is a file that may be its copy.
func (p *past) wants(id fileID) bool {
	return !p.seen && !p.parked && id != fileID{p.at.Device, p.at.Inode}
}

func (in *input) following(id fileID) *followed {
	for _, f := range in.files {
		if f.id == id && !f.closed {
			return f
		}
	}
	return nil
}

func (in *input) pastWith(id fileID) *past {
	for _, p := range in.past {
		if p.id == id {
			return p
		}
	}
	return nil
}

// forget takes p from the list, and from the checkpoints when what was read of it is acked.
func (in *input) forget(p *past) {
	if p.cursor != nil {
		p.cursor.Remove()
	}
	in.past = slices.DeleteFunc(in.past, func(other *past) bool { return other == p })
}

// recalls takes over the positions of the checkpoints.
func (in *input) recalls(old []engine.Position) {
	for _, at := range old {
		p := &past{at: at, id: fileID{at.Device, at.Inode}, size: -1, finished: at.Finished}
		p.cursor = in.checkpoints.Cursor(in.tag, at)
		if at.Finished {
			p.cursor.Finish()
		}
		in.past = append(in.past, p)
	}
}

// remembered makes a past of a file all of which was read, here or elsewhere.
func (in *input) remembered(file *os.File, info os.FileInfo, s spot, copied bool) *past {
	at, err := lines.Identify(file, s.path())
	if err != nil {
		at = engine.Position{Path: s.path(), Device: idOf(info).dev, Inode: idOf(info).ino}
	}
	at.Offset = info.Size()
	if before := lines.Before(file, at.Offset); before != nil {
		at.Mark = lines.Sum(before)
	}
	p := &past{at: at, id: idOf(info), size: info.Size(), modified: info.ModTime(), finished: true, copied: copied, seen: true}
	if in.remember {
		p.cursor = in.checkpoints.Cursor(in.tag, at)
		p.cursor.Finish()
	}
	return p
}

// putAway makes a past of a followed file that is read to its end, and closes it.
func (in *input) putAway(f *followed, parked bool) {
	p := &past{at: f.at, id: f.id, size: -1, cursor: f.cursor, finished: !parked, parked: parked, seen: true}
	p.at.Offset, p.at.Mark = f.reader.Offset(), f.reader.Mark()
	if info, err := f.file.Stat(); err == nil && f.unpack == nil && info.Size() == p.at.Offset {
		p.size, p.modified = info.Size(), info.ModTime()
	}
	if f.cursor != nil && !parked {
		f.cursor.Finish()
	}
	in.past = append(in.past, p)
	f.close()
}

// stays reports whether a file is as p remembers it: no need to open it.
func (p *past) stays(info os.FileInfo) bool {
	return p.size == info.Size() && p.modified.Equal(info.ModTime()) && (p.finished || p.parked)
}

// recall finds out whether an open file is one that was read before, and goes on where it has grown. It reports whether the
// file is accounted for; else it is still the caller's.
func (in *input) recall(file *os.File, info os.FileInfo, s spot, present bool) bool {
	for _, p := range slices.Clone(in.past) {
		if p.id != idOf(info) {
			continue
		}
		if p.changed || !lines.Same(file, p.at) || info.Size() < p.at.Offset || !lines.Marked(file, p.at.Offset, p.at.Mark) {
			in.replaced(p, file, s)
			continue
		}
		if p.finished && in.wantedFrom(file, info) {
			return false // not all of what it is a copy of was acked
		}
		p.seen = true
		p.moved(s)
		switch {
		case info.Size() == p.at.Offset && present && len(in.files) >= maxOpen:
			p.parked = true
			file.Close()
		case info.Size() == p.at.Offset && (p.finished || p.parked):
			p.size, p.modified = info.Size(), info.ModTime()
			file.Close()
		case p.copied && in.compare(file, info, nil) != foreign:
			p.at.Offset, p.at.Mark = info.Size(), lines.Sum(lines.Before(file, info.Size()))
			in.keep(p)
			file.Close()
		case p.copied: // it was not a copy, but a file that began alike
			in.forget(p)
			return false
		case !in.resumeAt(p, file, s, present):
			p.seen = false
			in.replaced(p, file, s)
			continue
		}
		return true
	}
	return false
}

// wantedFrom reports whether a file is the copy of one that is looked for.
func (in *input) wantedFrom(file *os.File, info os.FileInfo) bool {
	return slices.ContainsFunc(in.past, func(p *past) bool { return p.wants(idOf(info)) && !p.finished && p.copiedTo(file, info.Size()) })
}

// resumeAt follows p's file from where it was read to; false if it holds something else by now. After it was looked what the file
// is, and not before, p must still be in it: otherwise p's offset would be applied to what was written meanwhile. What is
// written later, the first read sees.
func (in *input) resumeAt(p *past, file *os.File, s spot, present bool) bool {
	f := in.prepare(file, s, p.at.Offset, !p.finished)
	if f == nil {
		return true
	}
	if !lines.Same(file, p.at) || !lines.Marked(file, p.at.Offset, p.at.Mark) {
		return false
	}
	in.begin(f, p.cursor)
	if !present {
		f.gone = f.grown
	}
	in.past = slices.DeleteFunc(in.past, func(other *past) bool { return other == p })
	return true
}

// replaced notes that p's inode holds something else now.
func (in *input) replaced(p *past, file *os.File, s spot) {
	p.id = fileID{}
	if p.changed {
		return
	}
	born := lines.Born(file)
	p.changed = born == p.at.Born || p.at.Born == 0
	if p.changed && !p.finished {
		in.counts.truncated.Add(1)
		in.log.Warn("the file was truncated or rewritten while it was not followed, reading it from its start: what was not yet read is lost unless there is a copy", "path", s.path(), "read", p.at.Offset)
		p.told = true
	}
}

// keep gives p's position to the checkpoints.
func (in *input) keep(p *past) {
	if p.cursor == nil {
		return
	}
	old := p.cursor
	p.cursor = in.checkpoints.Cursor(in.tag, p.at)
	p.cursor.Finish()
	old.Remove()
}

// moved notes under which name p was seen.
func (p *past) moved(s spot) {
	if path := s.path(); p.at.Path != path {
		p.at.Path = path
		if p.cursor != nil {
			p.cursor.Update(func(at *engine.Position) { at.Path = path })
		}
	}
}

// prune tells of the files that are looked for and that two scans have not found, for one may miss a file that is renamed
// or packed meanwhile. It forgets the oldest of those that are gone.
func (in *input) prune() {
	gone := 0
	for _, p := range slices.Backward(slices.Clone(in.past)) {
		if p.seen {
			continue
		}
		p.tries++
		switch {
		case !p.wanted() || p.told:
		case p.tries < 2:
			in.scans = max(in.scans, 1)
		default:
			p.told = true
			in.counts.lost.Add(1)
			in.log.Warn("a file that was followed is gone: what was not yet read of it is lost, unless it comes back. Keep rotated files longer", "path", p.at.Path, "offset", p.at.Offset)
		}
		if gone++; gone > mostGone {
			in.forget(p)
		}
	}
}
