package main

import (
	"crypto/sha256"
	"errors"
	"io/fs"
)

// rowFiles are the files that a component was made of (certificates, keys), by the paths in its row, with checksums.
type rowFiles map[string][sha256.Size]byte

// read is engine.Params.Read for a component: it notes what was read.
func (f rowFiles) read(read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		text, err := read(path)
		if err == nil {
			f[path] = sha256.Sum256(text)
		}
		return text, err
	}
}

// renewed reports whether a file has another content now, or is gone: then the component is made anew from the same row. What may no longer
// be read, as the process has given up its rights, is taken for unchanged.
func (b *builder) renewed(f rowFiles, row string) bool {
	for path, known := range f {
		text, err := b.loader.Read(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			b.log.Warn("a file of a row can no longer be read: what it held at the start goes on until a restart", "row", row, "file", path, "err", err)
		case err != nil, sha256.Sum256(text) != known:
			return true
		}
	}
	return false
}
