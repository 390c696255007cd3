package tail

import (
	"bytes"
	"os"

	"dragonfly/engine/input/lines"
)

// mark is the lines.Reader's Mark of an offset that was passed.
type mark struct {
	offset int64
	sum    uint32
}

// mostMarks bounds the marks of a file; when they are too many, every second of the older ones goes.
const mostMarks = 64

// mark notes the Mark of f's present offset and returns it.
func (f *followed) mark() uint32 {
	sum := f.reader.Mark()
	if sum == 0 {
		return 0
	}
	if len(f.marks) >= mostMarks {
		kept := f.marks[:0]
		for i, m := range f.marks {
			if i%2 == 1 || i > mostMarks/2 {
				kept = append(kept, m)
			}
		}
		f.marks = kept
	}
	f.marks = append(f.marks, mark{f.reader.Offset(), sum})
	return sum
}

// copyLen is how many first bytes must agree for a file to be taken for the copy of another: a line's timestamp at least.
const copyLen = 64

// isCopy finds out whether a file of which nothing was read yet is the copy of a followed one, as copytruncate and backups
// make them. It is then not followed any more.
func (in *input) isCopy(f *followed) bool {
	info, err := f.file.Stat()
	if err != nil {
		return false
	}
	like := in.compare(f.file, info, f)
	if like == foreign && in.wantedFrom(f.file, info) {
		like, in.scans = unclear, 2 // the next look claims it
	}
	if like == foreign {
		return false
	}
	if like == same {
		in.copied(f.spot, info)
		in.past = append(in.past, in.remembered(f.file, info, f.spot, true))
	}
	if f.cursor != nil {
		f.cursor.Remove()
	}
	f.close()
	f.closed = true
	return true
}

func (in *input) copied(s spot, info os.FileInfo) {
	in.counts.copies.Add(1)
	in.log.Info("the file is a copy of one that is followed: not reading it again", "path", s.path(), "bytes", info.Size())
}

type likeness int

const (
	foreign likeness = iota
	same             // all of it is in the other file, at the same place
	unclear          // the other file has just changed: look again
)

// compare tells whether file is a copy of any followed file but self.
func (in *input) compare(file *os.File, info os.FileInfo, self *followed) likeness {
	size := info.Size()
	if size < copyLen {
		return foreign
	}
	head := firstBytes(file, int(min(size, lines.FingerprintLen)))
	for _, f := range in.files {
		n := min(len(head), len(f.head))
		if f == self || f.unpack != nil || f.id == idOf(info) || n < copyLen || !bytes.Equal(head[:n], f.head[:n]) {
			continue
		}
		if end := lines.Before(file, size); end != nil && bytes.Equal(end, lines.Before(f.file, size)) {
			return same
		}
		if !in.unchanged(f) {
			in.restart(f)
			return unclear
		}
	}
	return foreign
}

// copiedTo reports whether file is a copy of p's file, which is gone or was truncated.
func (p *past) copiedTo(file *os.File, size int64) bool {
	if p.at.FingerprintLen < copyLen || size < copyLen || !p.beginsLike(file, size) {
		return false
	}
	if end := p.at.Offset; size >= end {
		return lines.Marked(file, end, p.at.Mark)
	}
	return p.changed && p.passed(file, size)
}

// claim goes on in file with p if it is a copy of p's file. It reports whether the file is now accounted for; else it is
// still the caller's.
func (in *input) claim(p *past, file *os.File, info os.FileInfo, s spot) bool {
	size, end := info.Size(), p.at.Offset
	if !p.copiedTo(file, size) {
		return false
	}
	if g := in.following(idOf(info)); g != nil {
		if !g.begun && (g.sent > end || g.sent == 0) {
			g.sent = end
			in.rewind(g, end)
			g.at.Offset = end
			if old := g.cursor; old != nil {
				g.takeOver(p.cursor)
				p.cursor = nil
				old.Remove()
			}
		}
		in.forget(p)
		file.Close()
		return true
	}
	if q := in.pastWith(idOf(info)); q != nil && q != p {
		in.forget(q)
	}
	in.copied(s, info)
	if size > end {
		in.log.Info("what was not yet read of a file that is gone or was truncated is in its copy", "path", s.path(), "offset", end)
		if f := in.followAt(file, s, end, p.cursor, true); f != nil {
			f.gone, p.cursor = f.grown, nil
			in.forget(p)
		}
		return true
	}
	in.past = append(in.past, in.remembered(file, info, s, true))
	file.Close()
	in.forget(p)
	return true
}

// beginsLike reports whether file has p's first bytes, as far as it goes.
func (p *past) beginsLike(file *os.File, size int64) bool {
	if p.head != nil {
		n := int(min(size, int64(len(p.head))))
		return bytes.Equal(firstBytes(file, n), p.head[:n])
	}
	print, err := lines.Fingerprint(file, p.at.FingerprintLen)
	return err == nil && print == p.at.Fingerprint
}

// passed reports whether what stands before size in file is what was read there, as far as marks tell.
func (p *past) passed(file *os.File, size int64) bool {
	for i := len(p.marks) - 1; i >= 0; i-- {
		if m := p.marks[i]; m.offset <= size {
			return lines.Marked(file, m.offset, m.sum)
		}
	}
	return true
}
