package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"dragonfly/engine/durable"
)

// checkpointVersion is the format of the checkpoint file.
const checkpointVersion = 1

// MaxFingerprint is how many of a file's first bytes tell it from another that got its inode.
const MaxFingerprint = 1024

// Position is how far one source file is finished: below Offset every record, and all that was derived from it, is acked.
type Position struct {
	Path           string `json:"path"`
	Device         uint64 `json:"device"`
	Inode          uint64 `json:"inode"`
	Fingerprint    string `json:"fingerprint"`     // hash of the first FingerprintLen bytes, hexadecimal
	FingerprintLen int    `json:"fingerprint_len"` // bytes, at most MaxFingerprint
	Offset         int64  `json:"offset"`          // bytes; of the decompressed stream for compressed files
	Finished       bool   `json:"finished"`        // a finite source, completely read and acked

	Earlier bool `json:"-"` // from the file: it was not read since this process began
}

// Checkpoints remembers the positions of all inputs, by tag. It is safe for all goroutines.
type Checkpoints struct {
	path string   // "" keeps them in memory only
	root *os.Root // of the directory of path, so that saving works in a chroot

	mu      sync.Mutex
	old     map[string][]Position // as loaded, without those that a Cursor took over; see Start and Settle
	cursors map[string][]*Cursor
	saved   []byte // what is on disk
}

type checkpointFile struct {
	Version int                   `json:"version"`
	Inputs  map[string][]Position `json:"inputs"`
}

// check finds positions that this program never writes.
func (f *checkpointFile) check() error {
	for input, list := range f.Inputs {
		for _, p := range list {
			if p.Offset < 0 || p.FingerprintLen < 0 || p.FingerprintLen > MaxFingerprint {
				return fmt.Errorf("input %q: %q has offset %d and fingerprint_len %d, want 0 or more, and 0 to %d", input, p.Path, p.Offset, p.FingerprintLen, MaxFingerprint)
			}
		}
	}
	return nil
}

// NewCheckpoints returns checkpoints that are kept in memory only.
func NewCheckpoints() *Checkpoints {
	return &Checkpoints{old: map[string][]Position{}, cursors: map[string][]*Cursor{}}
}

// OpenCheckpoints loads the checkpoints of the file at path; a missing file is empty. A damaged file, or one of a newer
// version, is moved aside to path.damaged, and the error says so: the checkpoints returned with it are empty and usable.
func OpenCheckpoints(path string) (*Checkpoints, error) {
	c := NewCheckpoints()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return c, err
	}
	c.path, c.root = path, root
	text, err := root.ReadFile(filepath.Base(path))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	var f checkpointFile
	if err = json.Unmarshal(text, &f); err == nil && f.Version != checkpointVersion {
		err = fmt.Errorf("version %d, this program reads %d", f.Version, checkpointVersion)
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		aside := filepath.Base(path) + ".damaged"
		return c, errors.Join(fmt.Errorf("checkpoints %q cannot be read, starting without: kept as %s: %w", path, aside, err),
			root.Rename(filepath.Base(path), aside))
	}
	for input, list := range f.Inputs {
		for i := range list {
			list[i].Earlier = true
		}
		c.old[input] = list
	}
	c.saved = text
	return c, nil
}

// Load returns the positions of an input: as they were when the file was opened or, if the input runs again, as they are
// now. It is nil for an input that never ran, and empty but not nil for one that had nothing to remember.
func (c *Checkpoints) Load(input string) []Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.positions(input)
}

// positions is called with mu held.
func (c *Checkpoints) positions(input string) []Position {
	list := slices.Clone(c.old[input])
	cursors, ran := c.cursors[input]
	if ran && list == nil {
		list = []Position{}
	}
	for _, cur := range cursors {
		list = append(list, cur.position())
	}
	return list
}

// Start begins a run of an input: it makes Cursors for the positions that still hold, then calls Settle. Until then the
// positions that no Cursor took over stay in the file, so that a crash meanwhile loses none.
func (c *Checkpoints) Start(input string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old[input] = c.positions(input)
	c.cursors[input] = nil
}

// Settle forgets the positions of an input that no Cursor took over: their files are gone.
func (c *Checkpoints) Settle(input string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.old, input)
}

// Cursor begins to follow the acks of one source file from at.
func (c *Checkpoints) Cursor(input string, at Position) *Cursor {
	cur := &Cursor{all: c, input: input, at: at}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old[input] = slices.DeleteFunc(c.old[input], func(p Position) bool { return p.Device == at.Device && p.Inode == at.Inode })
	c.cursors[input] = append(c.cursors[input], cur)
	return cur
}

// Save writes the positions if they have changed: to a new file, synced, that then takes the old one's place.
func (c *Checkpoints) Save() error {
	if c.path == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := checkpointFile{Version: checkpointVersion, Inputs: map[string][]Position{}}
	for input := range c.old {
		f.Inputs[input] = c.positions(input)
	}
	for input := range c.cursors {
		f.Inputs[input] = c.positions(input)
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		panic("BUG: checkpoints: " + err.Error())
	}
	if string(text) == string(c.saved) {
		return nil
	}
	if err := durable.Write(c.root, filepath.Base(c.path), func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return fmt.Errorf("checkpoints %q: %w", c.path, err)
	}
	c.saved = text
	return nil
}

// Cursor follows the acks of one source file. Track is called by the input's goroutine, the functions that it returns
// by any.
type Cursor struct {
	all   *Checkpoints
	input string

	mu       sync.Mutex
	at       Position
	pending  []span // tracked, in reading order; those before head are below the low-water mark
	head     int
	first    int  // number of pending[0]
	finished bool // everything is read
	removed  bool // to be forgotten when everything is acked
}

type span struct {
	end  int64
	done bool
}

// Track says that the input has emitted what stands before end, behind what it tracked before. The returned function
// is the Done of that batch.
func (cur *Cursor) Track(end int64) (done func()) {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	n := cur.first + len(cur.pending)
	cur.pending = append(cur.pending, span{end: end})
	return func() { cur.done(n) }
}

// Untrack takes back the last Track: the engine did not take that batch, because it is stopping.
func (cur *Cursor) Untrack() {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	cur.pending = cur.pending[:len(cur.pending)-1]
}

func (cur *Cursor) done(n int) {
	cur.mu.Lock()
	cur.pending[n-cur.first].done = true
	for cur.head < len(cur.pending) && cur.pending[cur.head].done {
		cur.at.Offset = cur.pending[cur.head].end
		cur.head++
	}
	if 2*cur.head >= len(cur.pending) { // else moving the rest would cost more than the room is worth
		n := copy(cur.pending, cur.pending[cur.head:])
		cur.pending = cur.pending[:n]
		cur.first += cur.head
		cur.head = 0
	}
	forget := cur.removed && cur.head == len(cur.pending)
	cur.mu.Unlock()
	if forget {
		cur.forget()
	}
}

// Acked returns the offset below which everything is acked.
func (cur *Cursor) Acked() int64 {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	return cur.at.Offset
}

// Finish says that a finite source is completely read: its position is marked finished when all is acked.
func (cur *Cursor) Finish() {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	cur.finished = true
}

// Update changes the path or fingerprint of the position.
func (cur *Cursor) Update(change func(*Position)) {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	change(&cur.at)
}

// Remove forgets the file when everything tracked is acked: it is read to its end and gone.
func (cur *Cursor) Remove() {
	cur.mu.Lock()
	cur.removed = true
	forget := cur.head == len(cur.pending)
	cur.mu.Unlock()
	if forget {
		cur.forget()
	}
}

func (cur *Cursor) forget() {
	c := cur.all
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursors[cur.input] = slices.DeleteFunc(c.cursors[cur.input], func(other *Cursor) bool { return other == cur })
}

func (cur *Cursor) position() Position {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	p := cur.at
	p.Earlier = false
	p.Finished = cur.finished && cur.head == len(cur.pending)
	return p
}
