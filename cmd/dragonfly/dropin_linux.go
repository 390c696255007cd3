package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// notesFile watches the directory drop_in; nil cannot. It is opened at the start: later the process may be in a chroot.
type notesFile struct{ f *os.File }

// watchDropIn makes the directory if it is missing, and begins to watch it.
func watchDropIn(root, dir string) (*notesFile, error) {
	if dir == "" {
		return nil, nil
	}
	path := filepath.Join(root, dir)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("drop_in: %w", err)
	}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, nil // it is polled then
	}
	f := os.NewFile(uintptr(fd), "inotify")
	const events = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, path, events); err != nil {
		return nil, f.Close()
	}
	return &notesFile{f}, nil
}

// gone are the events after which the directory is another, or none.
const gone = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_IGNORED | unix.IN_UNMOUNT

// close ends read.
func (n *notesFile) close() {
	if n != nil {
		n.f.Close()
	}
}

// read waits for changes; false if there will be no more.
func (n *notesFile) read() bool {
	if n == nil {
		return false
	}
	buf := make([]byte, 64<<10)
	got, err := n.f.Read(buf)
	if err != nil {
		return false
	}
	for b := buf[:got]; len(b) >= unix.SizeofInotifyEvent; {
		mask, length := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
		if mask&gone != 0 {
			return false
		}
		b = b[min(len(b), unix.SizeofInotifyEvent+int(length)):]
	}
	return true
}
