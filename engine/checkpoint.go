package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"dragonfly/engine/durable"
)

// checkpointVersion is the format of the checkpoint file. Version 1 had no states.
const checkpointVersion = 2

// MaxFingerprint is how many of a file's first bytes tell it from another that got its inode.
const MaxFingerprint = 1024

// Position is how far one source file is finished: below Offset every record, and all that was derived from it, is acked.
type Position struct {
	Path           string `json:"path"`
	Device         uint64 `json:"device"`
	Inode          uint64 `json:"inode"`
	Fingerprint    string `json:"fingerprint"`     // hash of the first FingerprintLen bytes, hexadecimal
	FingerprintLen int    `json:"fingerprint_len"` // bytes, at most MaxFingerprint
	Offset         int64  `json:"offset"`          // bytes; of the decompressed stream for compressed files; of captures: events
	Finished       bool   `json:"finished"`        // a finite source, completely read and acked
	Born           int64  `json:"born,omitempty"`  // when the file was made, in ns; 0 is unknown. Only compared for equality
	Mark           uint32 `json:"mark,omitempty"`  // checksum of the bytes before Offset; 0 is unknown

	Size    int64 `json:"size,omitempty"` // of a capture, whose Offset counts events: bytes of the file when it was metered
	Earlier bool  `json:"-"`              // from the file: it was not read since this process began
}

// Checkpoints remembers the positions of all inputs, by tag. It is safe for all goroutines.
type Checkpoints struct {
	path string   // "" keeps them in memory only
	root *os.Root // of the directory of path, so that saving works in a chroot
	keep error    // why the file at path must not be written over: it is there and could not be read

	mu      sync.Mutex
	old     map[string][]Position // as loaded, without those that a Cursor took over; see Start and Settle
	cursors map[string][]*Cursor
	states  map[string]StageState // of scripts, by stage: as loaded, then as of the last Cut
	last    *Cut

	writing sync.Mutex // held by Write; protects what follows
	saved   []byte     // what is on disk
}

// Cut is one moment of a pipeline: the positions of its inputs, and what scripts keep that have handled just the records
// below them. It is also the format of the checkpoint file.
type Cut struct {
	Version int                   `json:"version"`
	Inputs  map[string][]Position `json:"inputs"`           // by tag
	States  map[string]StageState `json:"states,omitempty"` // by stage, "analyzer dns"
}

// NewCut returns a Cut of this program's version.
func NewCut(inputs map[string][]Position, states map[string]StageState) *Cut {
	return &Cut{Version: checkpointVersion, Inputs: inputs, States: states}
}

// StageState is what the scripts of one stage keep, by shard. Only the script loader knows what the bytes mean.
type StageState struct {
	Shards [][]byte `json:"shards"`
	Sum    uint32   `json:"sum"` // CRC-32C of all shards, one behind the other
}

// NewStageState returns the state of a stage with its checksum.
func NewStageState(shards [][]byte) StageState {
	return StageState{Shards: shards, Sum: sumOf(shards)}
}

func sumOf(shards [][]byte) (sum uint32) {
	for _, b := range shards {
		sum = crc32.Update(sum, castagnoli, b)
	}
	return sum
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadCut decodes the content of a checkpoint file.
func ReadCut(text []byte) (Cut, error) {
	var f Cut
	if err := json.Unmarshal(text, &f); err != nil {
		return Cut{}, err
	}
	if f.Version < 1 || f.Version > checkpointVersion {
		return Cut{}, fmt.Errorf("version %d, this program reads 1 to %d", f.Version, checkpointVersion)
	}
	if err := f.check(); err != nil {
		return Cut{}, err
	}
	for stage, st := range f.States {
		if sumOf(st.Shards) != st.Sum {
			return Cut{}, fmt.Errorf("the checksum of the state of %s is wrong", stage)
		}
	}
	return f, nil
}

// check finds positions that this program never writes.
func (f *Cut) check() error {
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
	return &Checkpoints{old: map[string][]Position{}, cursors: map[string][]*Cursor{}, states: map[string]StageState{}, last: &Cut{}}
}

// OpenCheckpoints loads the checkpoints of the file at path; a missing file is empty. A damaged file, or one of a newer
// version, is moved aside to path.damaged, and the error says so: the checkpoints returned with it are empty and usable.
// One that cannot be read stays: then Save fails, because the positions in it may be good.
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
	if err != nil && !errors.Is(err, syscall.EISDIR) {
		c.keep = fmt.Errorf("checkpoints %q cannot be read, starting without and saving none: let this process read the file, and restart: %w", path, err)
		return c, c.keep
	}
	var f Cut
	if err == nil {
		f, err = ReadCut(text)
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
	maps.Copy(c.states, f.States)
	c.last, c.saved = &f, text
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

// Cursor begins to follow the acks of one source file from at. The position that was saved of it is forgotten; without an inode
// (packed content, known by its beginning alone) it is that with the same fingerprint.
func (c *Checkpoints) Cursor(input string, at Position) *Cursor {
	cur := &Cursor{all: c, input: input, at: at}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old[input] = slices.DeleteFunc(c.old[input], func(p Position) bool {
		return p.Device == at.Device && p.Inode == at.Inode && (at.Inode != 0 || p.Fingerprint == at.Fingerprint)
	})
	c.cursors[input] = append(c.cursors[input], cur)
	return cur
}

// Cut returns the positions as they are now, with states in the place of what the same stages had; the states of other
// stages stay, so that a row that is taken out for a while loses nothing. It is for a moment without records in flight.
func (c *Checkpoints) Cut(states map[string]StageState) *Cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.states, states)
	f := &Cut{Version: checkpointVersion, Inputs: map[string][]Position{}, States: maps.Clone(c.states)}
	for input := range c.old {
		f.Inputs[input] = c.positions(input)
	}
	for input := range c.cursors {
		f.Inputs[input] = c.positions(input)
	}
	c.last = f
	return f
}

// Rollback goes back to the positions of the last Cut, to which the states belong: the next run of the inputs reads from
// there. It is for a pipeline that was broken off.
func (c *Checkpoints) Rollback() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old, c.cursors = map[string][]Position{}, map[string][]*Cursor{}
	for input, list := range c.last.Inputs {
		c.old[input] = slices.Clone(list)
	}
}

// State returns what the scripts of a stage kept at the last Cut, by shard; nil if they kept nothing.
func (c *Checkpoints) State(stage string) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[stage].Shards
}

// Stages returns the stages that have kept something, sorted.
func (c *Checkpoints) Stages() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.states))
}

// SaveStart saves where an input begins, beside what the last Cut says of the others.
func (c *Checkpoints) SaveStart(input string) error {
	c.mu.Lock()
	f := *c.last
	f.Version, f.Inputs = checkpointVersion, maps.Clone(f.Inputs)
	if f.Inputs == nil {
		f.Inputs = map[string][]Position{}
	}
	f.Inputs[input] = c.positions(input)
	c.last = &f
	c.mu.Unlock()
	return c.Write(&f)
}

// Forget removes what the scripts of stages kept.
func (c *Checkpoints) Forget(stages ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stage := range stages {
		delete(c.states, stage)
	}
}

// Write saves a Cut if it differs from what is on disk: in a new file, synced, that then takes the old one's place.
func (c *Checkpoints) Write(f *Cut) error {
	if c.path == "" {
		return nil
	}
	if c.keep != nil {
		return c.keep
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		panic("BUG: checkpoints: " + err.Error())
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if bytes.Equal(text, c.saved) {
		return nil
	}
	if err := durable.Write(c.root, filepath.Base(c.path), func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return fmt.Errorf("checkpoints %q: %w", c.path, err)
	}
	c.saved = text
	return nil
}

// Save writes the positions as they are now. It is for pipelines whose scripts keep no state.
func (c *Checkpoints) Save() error { return c.Write(c.Cut(nil)) }

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
	mark uint32 // of the bytes before end; 0 is unknown
	done bool
}

// Track says that the input has emitted what stands before end, behind what it tracked before. The returned function
// is the Done of that batch.
func (cur *Cursor) Track(end int64) (done func()) { return cur.TrackMark(end, 0) }

// TrackMark is Track with the Mark of end.
func (cur *Cursor) TrackMark(end int64, mark uint32) (done func()) {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	n := cur.first + len(cur.pending)
	cur.pending = append(cur.pending, span{end: end, mark: mark})
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
		cur.at.Offset, cur.at.Mark = cur.pending[cur.head].end, cur.pending[cur.head].mark
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

// Reopen takes Finish back: the source has grown, or goes on elsewhere. change says where it is now, and must leave the
// offset and its mark: what is tracked stays so, and is acked as before.
func (cur *Cursor) Reopen(change func(*Position)) {
	cur.mu.Lock()
	defer cur.mu.Unlock()
	cur.finished = false
	change(&cur.at)
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
