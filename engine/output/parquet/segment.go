package parquet

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// Names of write-ahead segments, and of damaged ones, which stay for the operator.
const (
	walPrefix     = ".wal-"
	walSuffix     = ".ndjson"
	damagedPrefix = ".damaged-"
)

// segment is a write-ahead file: a header and an event a line. Its lock says that its process lives.
type segment struct {
	name  string
	id    string
	file  *os.File
	size  int64 // of what is whole
	rows  int
	began time.Time
	torn  bool // the file has bytes behind size
}

// header is the first line of a segment: with it the same files are made of it, whatever the configuration is by then.
type header struct {
	Version   int    `json:"version"`
	Partition string `json:"partition"`
	Missing   string `json:"missing"`
	Began     int64  `json:"began"` // microseconds since 1970: the time of events that have none
}

const headerVersion = 1

func (o *output) header() header {
	return header{Version: headerVersion, Partition: o.partition, Missing: o.missing}
}

// check reports what is wrong with the partition.
func (h header) check() error {
	if h.Version != headerVersion {
		return fmt.Errorf("version %d, this program reads %d", h.Version, headerVersion)
	}
	for elem := range strings.SplitSeq(h.Partition, "/") {
		if strings.HasPrefix(elem, ".") {
			return fmt.Errorf("%q has a directory that begins with a dot, which readers leave out", h.Partition)
		}
	}
	_, err := h.template()
	return err
}

// begin makes a segment.
func (o *output) begin() (*segment, error) {
	var random [4]byte
	rand.Read(random[:])
	now := time.Now().UTC()
	id := fmt.Sprintf("%s-%x", now.Format("20060102T150405.000000"), random)
	s := &segment{name: walPrefix + id + walSuffix, id: id, began: now}
	f, err := o.root.OpenFile(s.name, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_RDWR, o.mode)
	if err != nil {
		return nil, err
	}
	s.file = f
	h := o.header()
	h.Began = now.UnixMicro()
	line, _ := json.Marshal(h)
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = s.append(append(line, '\n'), 0, o.fsync)
	}
	if err == nil && o.fsync {
		err = o.syncDir(".")
	}
	if err != nil {
		f.Close()
		return nil, errors.Join(err, o.root.Remove(s.name))
	}
	return s, nil
}

// append writes lines; after an error the file is as it was, or torn.
func (s *segment) append(lines []byte, rows int, fsync bool) error {
	if s.torn {
		return errors.New("it ends in a piece of a line")
	}
	n, err := s.file.Write(lines)
	if err == nil && fsync {
		err = s.file.Sync()
	}
	if err != nil {
		if n > 0 {
			if cut := s.file.Truncate(s.size); cut != nil {
				s.torn = true
				err = errors.Join(err, cut)
			}
		}
		return err
	}
	s.size += int64(n)
	s.rows += rows
	return nil
}

func (s *segment) nameOr(otherwise string) string {
	if s == nil {
		return otherwise
	}
	return s.name
}

// leftovers returns the segments of processes that have ended, sealed.
func (o *output) leftovers(root *os.Root) (list []*segment, err error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasPrefix(name, walPrefix) || !strings.HasSuffix(name, walSuffix) {
			continue
		}
		id := strings.TrimSuffix(strings.TrimPrefix(name, walPrefix), walSuffix)
		f, err := root.OpenFile(name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
				f.Close() // of a process that lives
				continue
			}
		}
		var info os.FileInfo
		if err == nil {
			info, err = f.Stat()
		}
		if err != nil {
			f.Close()
			for _, s := range list {
				s.file.Close()
			}
			return nil, fmt.Errorf("%s, which an earlier process has left: %w", filepath.Join(o.dir, name), err)
		}
		list = append(list, &segment{name: name, id: id, file: f, size: info.Size(), began: info.ModTime()})
	}
	return list, nil
}

// lines returns the header and the events of a segment. A last line without line end was not delivered, it is left out.
// damaged is how many lines are not JSON: a bad disk.
func (s *segment) lines() (h header, events []engine.Event, damaged int, err error) {
	b := engine.NewChunk(int(s.size))
	if n, err := io.ReadFull(io.NewSectionReader(s.file, 0, s.size), b); err != nil {
		return h, nil, 0, fmt.Errorf("has %d bytes of %d: %w", n, s.size, err)
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	if end == 0 {
		return h, nil, 0, errNoHeader
	}
	first, rest, _ := strings.Cut(textOf(b[:end]), "\n")
	if json.Unmarshal([]byte(first), &h) != nil || h.check() != nil {
		return h, nil, 0, errHeader
	}
	for line := range strings.Lines(rest) {
		ev := engine.Event{Body: line[:len(line)-1]}
		if s.rows == 0 && lazyjson.Validate(ev.Body) != nil { // of an earlier process; ours are valid
			damaged++
			continue
		}
		events = append(events, ev)
	}
	return h, events, damaged, nil
}

// errNoHeader says that a segment has not even a header: its process was killed when it made it.
var errNoHeader = errors.New("the segment is empty")

// errHeader says that a segment cannot be used.
var errHeader = errors.New("the first line of the segment is not the header of one")

// drop removes a segment of which all is in files, or puts it aside.
func (o *output) drop(s *segment, damaged bool) error {
	err := error(nil)
	if damaged {
		aside := damagedPrefix + strings.TrimPrefix(s.name, walPrefix)
		err = o.root.Rename(s.name, aside)
		o.log.Error("a write-ahead segment is damaged: what could be read of it is in files, it is kept", "path", filepath.Join(o.dir, aside))
	} else {
		err = o.root.Remove(s.name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		s.file.Close()
	}
	return err
}

// syncDir brings the names in a directory to the disk.
func (o *output) syncDir(name string) error {
	d, err := o.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
