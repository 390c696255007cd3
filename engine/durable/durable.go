// Package durable writes files that a crash cannot tear.
package durable

import (
	"bufio"
	"errors"
	"io"
	"os"
)

// Write gives the file name in dir the content that write writes: into a new file, synced, that then takes the old one's
// place. After an error or a crash the old file is there, whole. It needs no path, so it works in a chroot.
func Write(dir *os.Root, name string, write func(w io.Writer) error) error {
	temp := name + ".new"
	f, err := dir.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(temp, name)
	}
	if err != nil {
		dir.Remove(temp)
		return err
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
