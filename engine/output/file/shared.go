package file

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// shared is a file that one or more rows of this process have open. They write it in turn, and not after one of them has rotated it:
// then it may be packed.
type shared struct {
	id   fileID
	rows int // with openFiles.mu

	mu    sync.Mutex
	end   int64 // size up to the end of the last whole line
	since time.Time
	moved bool // a row has rotated it

	mended bool // a row has looked at its end
}

type fileID struct{ device, inode uint64 }

var openFiles = struct {
	mu  sync.Mutex
	all map[fileID]*shared
}{all: map[fileID]*shared{}}

// join returns what rows share of an open file. What is not regular is not shared.
func join(info os.FileInfo) *shared {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return &shared{since: time.Now()}
	}
	id := fileID{uint64(st.Dev), st.Ino}
	openFiles.mu.Lock()
	defer openFiles.mu.Unlock()
	s := openFiles.all[id]
	if s == nil {
		s = &shared{id: id, end: info.Size(), since: time.Now()}
		openFiles.all[id] = s
	}
	s.rows++
	return s
}

// leave is called before the file is closed: afterwards another file may have the same id.
func (s *shared) leave() {
	openFiles.mu.Lock()
	defer openFiles.mu.Unlock()
	if s.rows--; s.rows == 0 && openFiles.all[s.id] == s {
		delete(openFiles.all, s.id)
	}
}

// cut removes what a write that failed has left of its n bytes behind the first keep, unless somebody else has written behind that
// meanwhile. s is locked.
func (s *shared) cut(f *os.File, n, keep int) error {
	pos, err := f.Seek(0, io.SeekCurrent) // of a file for appending: where the write ended
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.end = info.Size()
	if s.end != pos {
		return errors.New("a piece of an event stays in the file, as another process has written behind it")
	}
	s.end = pos - int64(n-keep)
	return f.Truncate(s.end)
}
