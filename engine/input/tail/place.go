package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// place is a directory with files to follow: that of the URI, and those that symlinks there lead to.
type place struct {
	dir     string
	pattern string   // of the names in it; may be a glob
	root    *os.Root // nil while there is no such directory
	watched bool
	listed  bool // the last list was complete
}

// spot is a name in a place.
type spot struct {
	at   *place
	name string
}

func (s spot) path() string { return filepath.Join(s.at.dir, s.name) }

// fileID tells a file from all others that exist.
type fileID struct{ dev, ino uint64 }

func idOf(info os.FileInfo) fileID {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{st.Dev, st.Ino}
	}
	return fileID{}
}

// glob reports whether the place's pattern stands for more than one name.
func (p *place) glob() bool { return strings.ContainsAny(p.pattern, "*?[") }

// hold takes hold of the directory when it is there, and of its successor when it was removed or renamed.
func (p *place) hold(in *input) {
	if p.root != nil && p.replaced() {
		if in.watcher != nil && p.watched {
			in.watcher.Remove(p.dir) // of a directory that is removed the kernel took it back already
		}
		p.close()
	}
	if p.root == nil {
		p.root, _ = os.OpenRoot(p.dir)
	}
	if p.root == nil || p.watched || in.watcher == nil {
		return
	}
	p.watched = true
	if err := in.watcher.Add(p.dir); err != nil {
		in.polls(p.dir, err)
	}
}

// replaced reports whether the directory has no name any more, or another one has its name. In a chroot the path leads
// nowhere: then it is kept.
func (p *place) replaced() bool {
	held, err := p.root.Stat(".")
	if err != nil {
		return false
	}
	if st, ok := held.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
		return true
	}
	now, err := os.Stat(p.dir)
	return err == nil && now.IsDir() && !os.SameFile(held, now)
}

func (p *place) close() error {
	if p.root == nil {
		return nil
	}
	err := p.root.Close()
	p.root, p.watched = nil, false
	return err
}

// list returns the names in the directory.
func (p *place) list() ([]string, error) {
	p.listed = false
	if p.root == nil {
		return nil, fs.ErrNotExist
	}
	d, err := p.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	p.listed = err == nil
	return names, err
}

// stat tells of a file of the place. A symlink may lead out of it.
func (s spot) stat() (os.FileInfo, error) {
	if s.at.root == nil {
		return nil, fs.ErrNotExist
	}
	info, err := s.at.root.Stat(s.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		info, err = os.Stat(s.path())
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("is not a regular file but %s", kind(info.Mode()))
	}
	return info, err
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// open opens a file of the place. It never waits, as it would for the writer of a named pipe that came meanwhile.
func (s spot) open() (*os.File, os.FileInfo, error) {
	if s.at.root == nil {
		return nil, nil, fs.ErrNotExist
	}
	f, err := s.at.root.OpenFile(s.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		f, err = os.OpenFile(s.path(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("is not a regular file but %s", kind(info.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// lead returns where a symlink of the place leads, for the siblings of its target; the spot itself if it is none.
func (in *input) lead(s spot) spot {
	if s.at.root == nil {
		return s
	}
	info, err := s.at.root.Lstat(s.name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return s
	}
	real, err := filepath.EvalSymlinks(s.path())
	if err != nil {
		return s
	}
	dir, name := filepath.Split(real)
	return spot{in.placeOf(filepath.Clean(dir), name), name}
}

// placeOf returns the place of a file that a symlink leads to, or led to once.
func (in *input) placeOf(dir, name string) *place {
	for _, p := range in.places {
		if p.dir == dir && (p.pattern == name || matches(p.pattern, name)) {
			return p
		}
	}
	p := &place{dir: dir, pattern: name}
	p.hold(in)
	in.places = append(in.places, p)
	return p
}

// startWatcher asks the kernel for notifications.
func (in *input) startWatcher() {
	w, err := in.newWatcher()
	if err != nil {
		in.polls(in.places[0].dir, err)
		return
	}
	in.watcher = w
}

// polls says that the kernel tells nothing of a directory.
func (in *input) polls(dir string, err error) {
	in.counts.polled.Add(1)
	in.log.Warn("no notification of changes from the kernel, polling instead: raise fs.inotify.max_user_instances and max_user_watches", "directory", dir, "every", in.poll, "err", err)
}

func newWatcher() (*fsnotify.Watcher, error) { return fsnotify.NewBufferedWatcher(64) }
