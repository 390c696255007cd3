package tail

import (
	"os"
	"slices"
	"time"

	"dragonfly/engine/input/lines"
)

// recalled reports whether a candidate is a file that was read before; it is then followed again, if it has grown.
func (in *input) recalled(c candidate) bool {
	file, info, err := c.spot.open()
	if os.IsNotExist(err) {
		in.stale = true
		return false
	}
	if err != nil {
		in.unreadable(c.spot.path(), err)
		if p := in.pastWith(idOf(c.info)); p != nil {
			p.seen = true // it is there
		}
		return true
	}
	in.stale = in.stale || idOf(info) != idOf(c.info)
	if in.following(idOf(info)) == nil && in.recall(file, info, c.spot, c.present) {
		in.fine(c.spot.path())
		return true
	}
	file.Close()
	return false
}

// claimed reports whether a candidate holds a file that is looked for: as its copy, or packed. That is then read.
func (in *input) claimed(c candidate) bool {
	for _, p := range slices.Clone(in.past) {
		if !p.wants(idOf(c.info)) || c.packed && p.finished {
			continue
		}
		if c.packed && in.full(c) {
			in.later()
			return true
		}
		file, info, err := c.spot.open()
		if err != nil {
			return false // take will say it
		}
		if c.packed {
			if head, err := unpackedHead(file); err == nil && in.claimPacked(p, file, info, head, c.spot) {
				return true
			}
		} else if in.claim(p, file, info, c.spot) {
			return true
		}
		file.Close()
	}
	return false
}

// take follows a candidate that is new, or remembers it if it need not be read.
func (in *input) take(c candidate, first bool) {
	if !c.present && !first && in.full(c) {
		in.later()
		return
	}
	file, info, err := c.spot.open()
	if err != nil {
		in.unreadable(c.spot.path(), err)
		return
	}
	in.fine(c.spot.path())
	switch {
	case in.following(idOf(info)) != nil:
		file.Close()
	case c.packed:
		in.takePacked(c, file, info, first)
	case in.recall(file, info, c.spot, c.present):
	case first && !c.present: // it was rotated before this input ever ran
		in.past = append(in.past, in.remembered(file, info, c.spot, false))
		file.Close()
	default:
		in.takeNew(c, file, info, first)
	}
}

// mostPacked bounds how many packed files are read side by side: each needs memory to be unpacked.
const mostPacked = 4

// later lets a file wait for the next scan.
func (in *input) later() { in.waiting, in.scans = true, max(in.scans, 1) }

// full reports whether as many files are open as may be.
func (in *input) full(c candidate) bool {
	if !c.packed {
		return len(in.files) >= maxOpen
	}
	n := 0
	for _, f := range in.files {
		if f.unpack != nil && !f.closed {
			n++
		}
	}
	return n >= mostPacked
}

func (in *input) takeNew(c candidate, file *os.File, info os.FileInfo, first bool) {
	switch in.compare(file, info, nil) {
	case same:
		in.copied(c.spot, info)
		in.past = append(in.past, in.remembered(file, info, c.spot, true))
		file.Close()
		return
	case unclear:
		file.Close()
		return
	}
	offset := int64(0)
	if first && !in.fromStart {
		offset = lineStart(file, info.Size())
	}
	s := c.spot
	if c.present {
		s = in.lead(s)
	}
	if f := in.followAt(file, s, offset, nil, false); f != nil && !c.present {
		f.gone = f.grown
	}
}

// takePacked remembers a packed file whose content was read, and reads one that nobody has seen.
func (in *input) takePacked(c candidate, file *os.File, info os.FileInfo, first bool) {
	path := c.spot.path()
	if !in.recalledPacked(file, info) && !first {
		head, err := unpackedHead(file)
		if err != nil || len(head) == 0 {
			in.tell(path, "a packed file cannot be read yet")
			file.Close()
			return
		}
		if !in.adoptPacked(file, info, head, c.spot) {
			return
		}
	}
	in.past = append(in.past, in.remembered(file, info, c.spot, false))
	file.Close()
}

// recalledPacked reports whether a packed file is one that was dealt with before. What is remembered of it goes: the caller
// remembers it anew. What is remembered of files that had its inode before stays, for they may come packed too.
func (in *input) recalledPacked(file *os.File, info os.FileInfo) (known bool) {
	for _, p := range slices.Clone(in.past) {
		switch {
		case p.id != idOf(info):
		case compressed(p.at.Path) && lines.Same(file, p.at):
			known = true
			in.forget(p)
		default:
			p.id = fileID{}
		}
	}
	return known
}

// lineStart returns the offset behind the last line end before size: a line that is being written is read whole.
func lineStart(file *os.File, size int64) int64 {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(int64(len(buf)), end)
		if _, err := file.ReadAt(buf[:n], end-n); err != nil {
			return size
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return end - n + i + 1
			}
		}
		end -= n
	}
	return 0
}

// mostRotated bounds how many rotated files stay open for a writer that has not noticed yet.
const mostRotated = 64

// tidy closes what is read to its end and need not be open.
func (in *input) tidy(now time.Time) {
	rotated := 0
	for _, f := range slices.Backward(in.files) {
		if !f.gone.IsZero() && f.unpack == nil {
			rotated++
			f.hurry = rotated > mostRotated
		}
	}
	crowd := len(in.files) - maxOpen
	in.files = slices.DeleteFunc(in.files, func(f *followed) bool {
		switch {
		case f.unpack != nil || !f.finished():
			return false
		case f.over(now, in.grace):
			in.log.Info("a rotated file is read to its end", "path", f.at.Path)
			in.putAway(f, false)
			return true
		case crowd > 0 && f.gone.IsZero() && now.Sub(f.grown) >= in.grace:
			crowd--
			in.putAway(f, true)
			return true
		}
		return false
	})
	if len(in.places) > mostPlaces {
		in.leave()
	}
}

// mostPlaces bounds how many directories are watched that symlinks led to.
const mostPlaces = 8

// leave lets go of a place without followed files.
func (in *input) leave() {
	for i, p := range in.places[1:] {
		if !slices.ContainsFunc(in.files, func(f *followed) bool { return f.spot.at == p }) {
			if in.watcher != nil && p.watched && p.dir != in.places[0].dir {
				in.watcher.Remove(p.dir)
			}
			p.close()
			in.places = slices.Delete(in.places, i+1, i+2)
			return
		}
	}
}
