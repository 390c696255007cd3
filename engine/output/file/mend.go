package file

import (
	"os"
	"path/filepath"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/files"
)

// mend looks at the end of a file that was there before this process: one that was killed in the middle of a write leaves
// a piece of a line. A piece of an event is cut off, as the event was not acked and comes again; anything else gets its
// line end. gzip files are left alone, and those that another row writes already. s is locked.
func (o *output) mend(s *shared) error {
	size := s.end
	if !o.regular || o.gzip || size == 0 || s.moved || s.mended {
		return nil
	}
	s.mended = true
	f, err := o.root.Open(o.name)
	if err != nil { // a symlink that leads out of dir
		if f, err = os.Open(filepath.Join(o.dir, o.name)); err != nil {
			return nil // writable and not readable: nothing can be told
		}
	}
	defer f.Close()
	opened, err := o.file.Stat()
	if err != nil {
		return err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(opened, now) {
		return err // rotated since: whoever did that lives, and writes whole lines
	}
	piece, err := files.LastPiece(f, size)
	if err != nil || len(piece) == 0 {
		return err
	}
	path := filepath.Join(o.dir, o.name)
	if piece[0] == '{' && lazyjson.Validate(string(piece)) != nil {
		o.log.Warn("the file ended in a piece of an event, left by a process that was killed: cut off, the event comes again", "path", path, "bytes", len(piece))
		s.end = size - int64(len(piece))
		return o.file.Truncate(s.end)
	}
	o.log.Warn("the file did not end with a line end: added", "path", path)
	n, err := o.file.Write([]byte{'\n'})
	s.end += int64(n)
	return err
}
