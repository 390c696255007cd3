package pcap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"

	"dragonfly/engine"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// Source is one capture: a file that Open has opened, or a Stream.
type Source struct {
	Path   string // "-" is standard input
	Reader io.Reader
	stream *stream // of which Reader is; nil for files
}

// unreadable is the error of what is no capture file, or may not be read. Trying again does not help: it is an engine.ErrDamaged.
type unreadable struct{ error }

// Is implements what errors.Is asks for.
func (unreadable) Is(target error) bool { return target == engine.ErrDamaged }

// Unwrap implements what errors.Is asks for.
func (u unreadable) Unwrap() error { return u.error }

// Open opens a capture file. Only regular files are captures; of what is none, or may not be read, the error is an engine.ErrDamaged.
func Open(path string) (Source, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if errors.Is(err, fs.ErrPermission) {
		err = unreadable{err}
	}
	if err != nil {
		return Source{}, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = unreadable{fmt.Errorf("%s is a directory: want a file, or a pattern such as %s/*.pcap", path, strings.TrimRight(path, "/"))}
	case !info.Mode().IsRegular():
		err = unreadable{fmt.Errorf("%s is no regular file: pcap://- reads a stream from standard input", path)}
	}
	if err != nil {
		return Source{}, errors.Join(err, f.Close())
	}
	return Source{Path: path, Reader: f}, nil
}

// Close closes the file of an opened source.
func (s Source) Close() error {
	if f, ok := s.Reader.(*os.File); ok {
		return f.Close()
	}
	return nil
}

// Sort puts captures into the order of their first frames; what has no frame comes first, by its path. Streams cannot be
// looked into and stay where they are if there is nothing else.
func Sort(list []Source) {
	if len(list) < 2 {
		return
	}
	first := make(map[string]int64, len(list))
	var r pcap.Reader
	for _, s := range list {
		first[s.Path] = s.first(&r)
	}
	slices.SortStableFunc(list, func(a, b Source) int {
		return cmp.Or(cmp.Compare(first[a.Path], first[b.Path]), strings.Compare(a.Path, b.Path))
	})
}

// first returns the time of the first frame, without moving the file's position.
func (s Source) first(r *pcap.Reader) int64 {
	f, ok := s.Reader.(io.ReaderAt)
	if !ok {
		return math.MaxInt64
	}
	if r.Reset(io.NewSectionReader(f, 0, math.MaxInt64)) != nil {
		return math.MinInt64
	}
	defer r.Close()
	var frame packet.Frame
	if r.Next(&frame) != nil {
		return math.MinInt64
	}
	return frame.Time
}
