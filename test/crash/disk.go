package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDisk is a file system of its own that can be filled.
type smallDisk struct{ dir, options string }

// mountSmall mounts one at dir. It needs root.
func mountSmall(dir string, bytes int) (*smallDisk, error) {
	d := &smallDisk{dir, fmt.Sprintf("size=%d,mode=755", bytes)}
	if err := syscall.Mount("crash", dir, "tmpfs", 0, d.options); err != nil {
		return nil, fmt.Errorf("mount %s: %w", dir, err)
	}
	return d, nil
}

func (d *smallDisk) unmount() error { return syscall.Unmount(d.dir, syscall.MNT_DETACH) }

// remount makes it read-only, or writable again. The first fails while a file is open for writing.
func (d *smallDisk) remount(readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return syscall.Mount("crash", d.dir, "tmpfs", flags, d.options)
}

// fill takes all the space, to the last byte.
func (d *smallDisk) fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// free gives the space back.
func (d *smallDisk) free() error { return os.Remove(d.ballast()) }

func (d *smallDisk) ballast() string { return filepath.Join(d.dir, "ballast") }
