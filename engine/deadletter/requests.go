package deadletter

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dragonfly/engine/durable"
	"dragonfly/engine/lazyjson"
)

// Requests is the directory through which the command asks the engine for replays. A request R is
//
//	R.part      being written by the command; the entries in it do not count as replayed
//	R.json      handed over: the engine replays it
//	R.progress  how far the engine is: what stands before its offset is finished
//	R.result    the Outcome, when all of it is finished; R.json is removed behind it, R.result by the next command
//
// Besides there are the lock files "engine" and "command", and "rotate", which asks the engine to rotate its dead letters.
// All names are relative to a directory handle, so that it works in a chroot.
type Requests struct {
	dir  string
	root *os.Root
}

const (
	partSuffix     = ".part"
	requestSuffix  = ".json"
	progressSuffix = ".progress"
	resultSuffix   = ".result"
	rotateFile     = "rotate"

	// EngineLock is held by the engine that replays, CommandLock by a command that changes something.
	EngineLock  = "engine"
	CommandLock = "command"

	requestVersion = 1
)

// OpenRequests opens the directory dir, and makes it if it is missing.
func OpenRequests(dir string) (*Requests, error) {
	if err := os.Mkdir(dir, 0o750); err == nil {
		if f, err := os.Open(dir); err == nil {
			giveAway(f, filepath.Dir(dir))
			f.Close()
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Requests{dir, root}, nil
}

// Dir returns the path of the directory, as it was before a chroot.
func (q *Requests) Dir() string { return q.dir }

// Close closes the directory.
func (q *Requests) Close() error { return q.root.Close() }

// ErrBusy says that another process holds a lock.
var ErrBusy = errors.New("locked by another process")

// Lock takes a lock, which closing the file or the end of the process gives back. ErrBusy: another process has it.
func (q *Requests) Lock(name string) (io.Closer, error) {
	f, err := q.root.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o640)
	if err != nil {
		return nil, err
	}
	giveAway(f, q.dir)
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("%s: %w", filepath.Join(q.dir, name), err)
	}
	return f, nil
}

// EngineRuns reports whether an engine holds its lock.
func (q *Requests) EngineRuns() bool {
	f, err := q.root.Open(EngineLock)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// names returns the requests that have a file with the suffix, in the order in which they were made.
func (q *Requests) names(suffix string) ([]string, error) {
	d, err := q.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, name := range all {
		if r, ok := strings.CutSuffix(name, suffix); ok && r != "" {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Pending returns the requests that were handed over and are not finished, oldest first.
func (q *Requests) Pending() ([]string, error) { return q.names(requestSuffix) }

// Has reports whether the request was handed over and is not finished.
func (q *Requests) Has(request string) bool { return q.exists(request + requestSuffix) }

func (q *Requests) exists(name string) bool {
	_, err := q.root.Lstat(name)
	return err == nil
}

// header is the first line of a request.
type header struct {
	Version int    `json:"version"`
	Request string `json:"request"`
}

// writing is a request that the command makes.
type writing struct {
	q       *Requests
	request string
	f       *os.File
	w       *bufio.Writer
	buf     []byte
}

// begin opens R.part.
func (q *Requests) begin(request string) (*writing, error) {
	f, err := q.root.OpenFile(request+partSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	giveAway(f, q.dir)
	w := &writing{q: q, request: request, f: f, w: bufio.NewWriterSize(f, 256<<10)}
	text, err := json.Marshal(header{requestVersion, request})
	if err != nil {
		panic("BUG: header: " + err.Error())
	}
	w.w.Write(append(text, '\n'))
	return w, nil
}

const entryKey = `,"entry":`

// add writes one entry, to be sent to the stage to. Its line goes in as it stands in the dead-letter file.
func (w *writing) add(to, line string) error {
	w.buf = append(w.buf[:0], `{"to":`...)
	w.buf = lazyjson.AppendQuoted(w.buf, to)
	w.buf = append(w.buf, entryKey...)
	w.buf = append(w.buf, line...)
	w.buf = append(w.buf, '}', '\n')
	_, err := w.w.Write(w.buf)
	return err
}

// sync writes R.part to the disk.
func (w *writing) sync() error {
	if err := errors.Join(w.w.Flush(), w.f.Sync(), w.f.Close()); err != nil {
		return err
	}
	return syncRoot(w.q.root)
}

// handOver makes R.json of R.part: from now on the engine may replay it.
func (w *writing) handOver() error {
	if err := w.q.root.Rename(w.request+partSuffix, w.request+requestSuffix); err != nil {
		return err
	}
	return syncRoot(w.q.root)
}

func (w *writing) abandon() {
	w.f.Close()
	w.q.root.Remove(w.request + partSuffix)
}

func syncRoot(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Item is one entry of a request.
type Item struct {
	To string // the stage that it goes to, as in Entry.Stage
	Entry
	End int64 // offset in the request behind it
}

// RequestReader reads the entries of a request.
type RequestReader struct {
	f     *os.File
	lines *Reader
}

// OpenRequest opens a request at offset: 0, or the End of an Item.
func (q *Requests) OpenRequest(request string, offset int64) (*RequestReader, error) {
	f, err := q.root.Open(request + requestSuffix)
	if err != nil {
		return nil, err
	}
	r := &RequestReader{f: f, lines: NewReader(f, 0)}
	line, err := r.lines.Next()
	var h header
	switch {
	case err != nil && !errors.Is(err, io.EOF):
	case json.Unmarshal([]byte(line.Text), &h) != nil || h.Version < 1:
		err = errors.New("its first line is not that of a replay request: remove the file, and mark its entries with `dragonfly dead-letter replay --again`")
	case h.Version > requestVersion:
		err = fmt.Errorf("it was made by a newer version (%d, this program reads %d): run that version", h.Version, requestVersion)
	default:
		if err = nil; offset > 0 {
			if _, err = f.Seek(offset, io.SeekStart); err == nil {
				r.lines = NewReader(f, offset)
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("replay request %s: %w", filepath.Join(q.dir, request+requestSuffix), err)
	}
	return r, nil
}

// Next returns the next entry, or io.EOF. A damaged one has its whole line as Event, and no To.
func (r *RequestReader) Next() (Item, error) {
	line, err := r.lines.Next()
	if err != nil {
		return Item{}, err
	}
	it := Item{End: line.End}
	head, entry, ok := split(line.Text, entryKey)
	if ok {
		fields, err := lazyjson.IndexObject(nil, head)
		if f := lazyjson.Find(fields, head, "to"); err == nil && f != nil && f.Kind == lazyjson.String {
			it.To = f.Text(head)
		}
		if it.Entry, err = Parse(entry); err != nil {
			it.To = ""
		}
	}
	if it.To == "" {
		it.Entry = Entry{Event: line.Text}
	}
	return it, nil
}

// Close closes the file.
func (r *RequestReader) Close() error { return r.f.Close() }

// Outcome is what became of the entries of a request: Read = Delivered + Dropped + the sum of DeadLettered.
type Outcome struct {
	Time         time.Time        `json:"time"`
	Read         int64            `json:"read"`
	Delivered    int64            `json:"delivered"`
	Dropped      int64            `json:"dropped"`                 // by a script: it emitted nothing
	DeadLettered map[string]int64 `json:"dead_lettered,omitempty"` // again; by reason
}

// Dead returns how many entries became dead letters again.
func (o *Outcome) Dead() (n int64) {
	for _, k := range o.DeadLettered {
		n += k
	}
	return n
}

// Progress is how far a request is: the entries before Offset are finished, with that outcome.
type Progress struct {
	Offset int64 `json:"offset"`
	Outcome
}

// Progress returns how far a request is; the zero value if it has not begun. A damaged file is an error, and not a
// beginning: that would replay what was replayed.
func (q *Requests) Progress(request string) (p Progress, err error) {
	return p, q.read(request+progressSuffix, &p)
}

// SaveProgress writes p so that a crash cannot tear it.
func (q *Requests) SaveProgress(request string, p *Progress) error {
	return q.write(request+progressSuffix, p)
}

// Result returns the outcome of a finished request; false if it is not finished, or was taken by a command.
func (q *Requests) Result(request string) (o Outcome, ok bool, err error) {
	if !q.exists(request + resultSuffix) {
		return o, false, nil
	}
	err = q.read(request+resultSuffix, &o)
	return o, err == nil, err
}

// Finish writes the outcome of a request and then removes the request.
func (q *Requests) Finish(request string, o *Outcome) error {
	if !q.exists(request + resultSuffix) {
		if err := q.write(request+resultSuffix, o); err != nil {
			return err
		}
	}
	if err := q.root.Remove(request + requestSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := q.root.Remove(request + progressSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncRoot(q.root)
}

// AskRotation asks the engine to rotate its dead-letter file.
func (q *Requests) AskRotation() error {
	f, err := q.root.OpenFile(rotateFile, os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	giveAway(f, q.dir)
	return f.Close()
}

// TakeRotation reports whether a rotation was asked for, once.
func (q *Requests) TakeRotation() bool { return q.root.Remove(rotateFile) == nil }

func (q *Requests) read(name string, to any) error {
	text, err := q.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(q.dir, name), err)
	}
	return nil
}

func (q *Requests) write(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + name + ": " + err.Error())
	}
	err = durable.Write(q.root, name, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(q.dir, name), err)
	}
	return nil
}
