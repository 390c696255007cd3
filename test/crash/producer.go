package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// identity is how a checkpoint names a file.
type identity struct{ device, inode uint64 }

// issued is where an event was written: its line ends before offset end of file number file.
type issued struct {
	file int32
	kind kind
	key  uint8
	end  int64
}

// producer appends events to dir/eve.json and rotates it by renaming. It is safe for all goroutines.
type producer struct {
	seed     uint64
	dir      string
	numbered bool         // rotated files are shifted, eve.json.1 being the newest; else each keeps a number of its own
	rate     int          // events a second
	every    atomic.Int64 // about so many events are between two rotations; 0: none

	mu        sync.Mutex
	rand      *rand.Rand
	file      *os.File
	size      int64
	files     []identity
	rotated   []string // names, the newest last
	stale     []string // see forget
	rotations int
	events    []issued // number n is events[n-first]
	first     int
	err       error
}

func newProducer(seed uint64, dir string, rate int) *producer {
	p := &producer{seed: seed, dir: dir, rate: rate, rand: rand.New(rand.NewPCG(seed, 0x1551)), first: 1}
	p.numbered = p.rand.IntN(2) == 0
	p.err = p.create()
	return p
}

func (p *producer) path() string { return filepath.Join(p.dir, "eve.json") }

// create opens a new file. Called with mu held, or before anybody else knows p.
func (p *producer) create() error {
	f, err := os.OpenFile(p.path(), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	id, err := identify(f)
	if err != nil {
		return err
	}
	p.file, p.size = f, 0
	p.files = append(p.files, id)
	return nil
}

func identify(f *os.File) (identity, error) {
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, errors.New("no inode")
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

// run issues events at the rate until ctx is done or there are limit (0: no limit); then one more that is good, so that
// the sinks tell when the file is read to its end.
func (p *producer) run(ctx context.Context, limit int) error {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	begun, done := time.Now(), 0
	for limit == 0 || done < limit {
		select {
		case <-ctx.Done():
			return p.end()
		case <-tick.C:
		}
		due := int(time.Since(begun).Seconds() * float64(p.rate))
		if limit > 0 {
			due = min(due, limit)
		}
		if due-done > p.rate/10 { // this process was held up: do not make up for it at once
			begun = begun.Add(time.Duration(float64(due-done-p.rate/10) / float64(p.rate) * float64(time.Second)))
			due = done + p.rate/10
		}
		if due <= done {
			continue
		}
		p.mu.Lock()
		p.write(due - done)
		if every := int(p.every.Load()); every > 0 && p.rand.IntN(every) < due-done {
			p.rotate()
		}
		err := p.err
		p.mu.Unlock()
		if err != nil {
			return err
		}
		done = due
	}
	return p.end()
}

// write appends n events in one or two calls, the line in the middle cut in two. mu is held.
func (p *producer) write(n int) {
	var b []byte
	for range n {
		b = p.next(b)
	}
	cut := len(b)
	if p.rand.IntN(20) == 0 {
		cut = p.rand.IntN(len(b) + 1)
	}
	p.put(b[:cut])
	if cut < len(b) {
		pause(time.Duration(p.rand.IntN(20)) * time.Millisecond)
		p.put(b[cut:])
	}
}

// next appends the next event to b and notes it as issued: before it is written, so that none arrives unknown.
func (p *producer) next(b []byte) []byte {
	e := newEvent(p.seed, p.first+len(p.events))
	from := len(b)
	b = append(e.append(b), '\n')
	p.size += int64(len(b) - from)
	p.events = append(p.events, issued{file: int32(len(p.files) - 1), kind: e.kind, key: uint8(e.key), end: p.size})
	return b
}

func (p *producer) put(b []byte) {
	if _, err := p.file.Write(b); err != nil && p.err == nil {
		p.err = err
	}
}

// rotate renames the file and begins another: at once, or, as a writer does that is told of it late, after some more
// lines to the old one, the first of which was begun before. mu is held.
func (p *producer) rotate() {
	if p.err != nil {
		return
	}
	var rest []byte
	late := p.rand.IntN(2) == 0
	if late {
		for range 1 + p.rand.IntN(20) {
			rest = p.next(rest)
		}
		cut := p.rand.IntN(len(rest))
		p.put(rest[:cut])
		rest = rest[cut:]
	}
	if p.err = p.moveAside(); p.err != nil {
		return
	}
	if late {
		pause(time.Duration(p.rand.IntN(100)) * time.Millisecond)
		p.put(rest)
	}
	p.err = errors.Join(p.err, p.file.Close(), p.create())
}

func (p *producer) moveAside() error {
	p.rotations++
	name := fmt.Sprintf("%s.%d", p.path(), p.rotations)
	if p.numbered {
		for i := len(p.rotated); i > 0; i-- {
			if err := os.Rename(fmt.Sprintf("%s.%d", p.path(), i), fmt.Sprintf("%s.%d", p.path(), i+1)); err != nil {
				return err
			}
			p.rotated[len(p.rotated)-i] = fmt.Sprintf("%s.%d", p.path(), i+1)
		}
		name = p.path() + ".1"
	}
	p.rotated = append(p.rotated, name)
	return os.Rename(p.path(), name)
}

// burst rotates n times with few lines in between.
func (p *producer) burst(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		p.rotate()
		if p.err == nil && p.rand.IntN(4) > 0 { // now and then an empty file is rotated
			p.write(1 + p.rand.IntN(10))
		}
	}
}

// touch sets the time of the newest file, or of a rotated one, off by some hours: the clock was stepped.
func (p *producer) touch(off time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now().Add(off)
	names := append([]string{p.path()}, p.rotated...)
	if len(names) > 4 {
		names = append(names[:1], names[len(names)-3:]...)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.Chtimes(name, at, at))
	}
	return errors.Join(errs...)
}

// end issues one more event that is good.
func (p *producer) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil {
		p.write(1)
		if p.events[len(p.events)-1].kind == good {
			break
		}
	}
	return p.err
}

// last returns the number of the newest event.
func (p *producer) last() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first + len(p.events) - 1
}

// snapshot returns what was issued since the last forget.
func (p *producer) snapshot() (first int, events []issued, files []identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first, p.events, p.files
}

// pause waits, where the wait itself is what is tested.
func pause(d time.Duration) { <-time.After(d) }
