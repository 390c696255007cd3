package deadletter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"dragonfly/engine/durable"
)

// IndexSuffix makes the path of the index of that of the dead-letter file.
const IndexSuffix = ".done"

// Verbs of the index.
const (
	verbReplay   = "replay"
	verbDrop     = "drop"
	verbVoid     = "void"     // the marks of a request that was never handed over do not count
	verbFinished = "finished" // what became of a request
)

// note is one line of the index.
type note struct {
	Time    time.Time `json:"time"`
	Verb    string    `json:"verb"`
	ID      string    `json:"id,omitempty"` // all 32 digits
	Request string    `json:"request,omitempty"`
	Who     string    `json:"who,omitempty"`
	Outcome *Outcome  `json:"outcome,omitempty"`
}

// Mark is what was done with an entry, the last time.
type Mark struct {
	Dropped bool // else replayed
	Time    time.Time
	Who     string
	Request string // of a replay
}

// Index is the content of a .done file.
type Index struct {
	Marks    map[ID]Mark
	Outcomes map[string]Outcome // by request
	Damaged  int                // lines that were passed over: cut off by a crash before they counted, or edited
}

// ReadIndex reads the index of the dead-letter file at path; a missing one is empty. Marks of the requests for which void
// is true do not count: they were never handed over. void is called when the index was read: a mark is younger than its
// R.part, so what is no R.part any more then was handed over.
func ReadIndex(path string, void func(request string) bool) (*Index, error) {
	x := &Index{Marks: map[ID]Mark{}, Outcomes: map[string]Outcome{}}
	type marked struct {
		id ID
		Mark
	}
	var marks []marked
	voided := map[string]bool{"": false}
	err := eachNote(path, func(n *note) {
		switch {
		case n == nil:
			x.Damaged++
		case n.Verb == verbVoid:
			voided[n.Request] = true
		case n.Verb == verbFinished && n.Outcome != nil:
			x.Outcomes[n.Request] = *n.Outcome
		case n.Verb == verbReplay || n.Verb == verbDrop:
			if id, err := ParseID(n.ID); err == nil {
				marks = append(marks, marked{id, Mark{Dropped: n.Verb == verbDrop, Time: n.Time, Who: n.Who, Request: n.Request}})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, m := range marks {
		dead, known := voided[m.Request]
		if !known {
			dead = void(m.Request)
			voided[m.Request] = dead
		}
		if !dead {
			x.Marks[m.id] = m.Mark
		}
	}
	return x, nil
}

func eachNote(path string, f func(*note)) error {
	file, err := os.Open(path + IndexSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for r := NewReader(file, 0); ; {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n := &note{}
		if json.Unmarshal([]byte(line.Text), n) != nil || n.Verb == "" {
			n = nil
		}
		f(n)
	}
}

// appendNotes adds lines to the index; when it returns they are on the disk. After an error none or some of them are.
func appendNotes(path string, notes func(add func(note))) (err error) {
	f, err := os.OpenFile(path+IndexSuffix, os.O_CREATE|os.O_APPEND|os.O_RDWR|syscall.O_NOFOLLOW, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if info.Size() == 0 {
		giveAway(f, filepath.Dir(path))
	} else {
		var last [1]byte
		if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
			return err
		}
		if last[0] != '\n' { // a crash cut the last line off
			w.WriteByte('\n')
		}
	}
	notes(func(n note) { w.Write(n.line()) })
	if err = errors.Join(w.Flush(), f.Sync()); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	if info.Size() == 0 {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

func (n *note) line() []byte {
	text, err := json.Marshal(n)
	if err != nil {
		panic("BUG: note: " + err.Error())
	}
	return append(bytes.TrimSpace(text), '\n')
}

// compact writes the index anew without the marks for which keep is false, and without what no mark refers to.
func compact(path string, keep func(ID) bool) error {
	x, err := ReadIndex(path, func(string) bool { return false })
	if err != nil || len(x.Marks)+len(x.Outcomes)+x.Damaged == 0 {
		return err
	}
	old, err := os.Stat(path + IndexSuffix)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path) + IndexSuffix
	err = durable.Write(root, name, func(w io.Writer) error {
		used := map[string]bool{}
		for id, m := range x.Marks {
			if !keep(id) {
				continue
			}
			used[m.Request] = true
			n := note{Time: m.Time, Verb: verbReplay, ID: id.Full(), Request: m.Request, Who: m.Who}
			if m.Dropped {
				n.Verb = verbDrop
			}
			if _, err := w.Write(n.line()); err != nil {
				return err
			}
		}
		for request, o := range x.Outcomes {
			if !used[request] {
				continue
			}
			n := note{Time: o.Time, Verb: verbFinished, Request: request, Outcome: &o}
			if _, err := w.Write(n.line()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	likeBefore(f, old)
	return f.Close()
}

// likeBefore gives a file that was written anew the owner and permissions that it had, as far as this user may. It needs
// no path: the directory may belong to the user of the engine, who could put a link there.
func likeBefore(f *os.File, old fs.FileInfo) {
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		f.Chown(int(st.Uid), int(st.Gid))
	}
	f.Chmod(old.Mode().Perm())
}

// giveAway gives a new file to the owner of its directory: the engine may run as another user than the command.
func giveAway(f *os.File, dir string) {
	if info, err := os.Stat(dir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			f.Chown(int(st.Uid), int(st.Gid))
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
