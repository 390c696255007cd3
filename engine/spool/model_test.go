package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is what a spool should hold, and the spool that should hold it.
type model struct {
	t     *testing.T
	rnd   *rand.Rand
	state *os.Root
	sp    *Spool
	o     Options

	bodies map[uint64]string
	queue  []uint64 // not yet read
	unack  []uint64 // read
	acked  uint64   // all below are
	n      int      // bodies made
	steps  int
	lost   int64    // that Stats should say when all is read; -1: not known
	log    []string // the last operations
}

func newModel(t *testing.T, seed uint64) *model {
	state, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), state: state, bodies: map[uint64]string{}, acked: 1,
		o: Options{Limit: 1 << 16, Segment: 2048, NoSync: true}}
	m.open()
	return m
}

func (m *model) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(m.log, ", "))
}

func (m *model) did(format string, args ...any) {
	if m.log = append(m.log, fmt.Sprintf(format, args...)); len(m.log) > 60 {
		m.log = slices.Delete(m.log, 0, 1)
	}
}

func (m *model) open() {
	m.t.Helper()
	var err error
	if m.sp, err = Open(m.state, "x", m.o); err != nil {
		m.fatal("open: %v", err)
	}
}

func (m *model) entries() []Entry {
	list := make([]Entry, 1+m.rnd.IntN(8))
	for i := range list {
		m.n++
		size := m.rnd.IntN(200)
		if m.rnd.IntN(50) == 0 {
			size = 5000
		}
		list[i] = Entry{Body: fmt.Sprintf(`{"n":%d,"x":"%s"}`, m.n, strings.Repeat("x", size)), Origin: strings.Repeat("o", m.rnd.IntN(20))}
	}
	return list
}

func (m *model) append() {
	list := m.entries()
	n, err := m.sp.Append(list)
	if err != nil && (!errors.Is(err, ErrFull) || n == len(list)) {
		m.fatal("append: %d, %v", n, err)
	}
	m.did("append %d of %d", n, len(list))
	for _, e := range list[:n] {
		m.bodies[e.ID] = e.Body
		m.queue = append(m.queue, e.ID)
	}
}

func (m *model) read(n int) {
	list := m.sp.Read(n, 1<<20)
	m.did("read %d: %d", n, len(list))
	if want := min(n, len(m.queue)); len(list) != want {
		m.fatal("got %d events, want %d", len(list), want)
	}
	for i, e := range list {
		if e.ID != m.queue[i] || e.Body != m.bodies[e.ID] {
			m.fatal("got event %d %s, want %d %s", e.ID, e.Body, m.queue[i], m.bodies[m.queue[i]])
		}
	}
	m.unack = append(m.unack, m.queue[:len(list)]...)
	m.queue = m.queue[len(list):]
	if st := m.sp.Stats(); len(m.queue) == 0 && m.lost >= 0 && n > 0 && st.Lost != m.lost {
		m.fatal("got %d lost, want %d", st.Lost, m.lost)
	}
}

func (m *model) ack() {
	if len(m.unack) == 0 {
		return
	}
	n := 1 + m.rnd.IntN(len(m.unack))
	id := m.unack[n-1]
	m.sp.Ack(id)
	m.did("ack %d", id)
	m.unack, m.acked = m.unack[n:], id+1
	for old := range m.bodies {
		if old+5000 < m.acked && len(m.bodies) > 10_000 {
			delete(m.bodies, old)
		}
	}
	if st := m.sp.Stats(); len(m.unack)+len(m.queue) == 0 && m.sp.Unread() == 0 && (st.Events != 0 || st.Bytes != 0 || !st.Oldest.IsZero()) {
		m.fatal("all is delivered, and it has %+v", st)
	}
}

// place is where an event stands.
type place struct {
	id       uint64
	file     string
	from, to int64
}

// places reads all segments, which are sound.
func (m *model) places() []place {
	var list []place
	names, _ := fileNames(m.sp.dir)
	for _, name := range names {
		seq, ok := sequence(name)
		if !ok {
			continue
		}
		f, err := m.sp.dir.Open(name)
		if err != nil {
			m.t.Fatal(err)
		}
		info, _ := f.Stat()
		for r := newReader(f, seq, info.Size()); ; {
			from := r.off
			fr, _, err := r.next()
			if err != nil {
				break
			}
			list = append(list, place{fr.id, name, from, r.off})
		}
		f.Close()
	}
	return list
}

// crash lets go of the files without saving anything.
func (m *model) crash() (dir *os.Root) {
	m.sp.leave()
	if m.sp.active != nil {
		m.sp.active.Close()
	}
	m.sp.position.close()
	m.sp.lock.Close()
	return m.sp.dir
}

// restart ends the spool, with or without a word, damages its files, and opens it again.
func (m *model) restart(kill bool, damage int) {
	torn := 0
	var cut []Entry
	if kill && m.rnd.IntN(2) == 0 { // in the middle of an append
		cut = m.entries()
		before := m.places()
		n, _ := m.sp.Append(cut)
		after := m.places()
		if cut = cut[:n]; n > 0 {
			at := after[len(before)]
			last := after[len(after)-1]
			cutAt := at.from + m.rnd.Int64N(at.to-at.from)
			if last.file == at.file {
				os.Truncate(filepath.Join(m.state.Name(), m.sp.name, at.file), cutAt)
			} else { // the later segments were begun when this one was on the disk
				cutAt = last.from + m.rnd.Int64N(last.to-last.from)
				os.Truncate(filepath.Join(m.state.Name(), m.sp.name, last.file), cutAt)
			}
			for _, e := range cut {
				m.bodies[e.ID] = e.Body
			}
			torn = n
		}
	}
	places := m.places()
	for id := range uint64(len(m.queue)) { // all that is not delivered must be there
		if want := m.queue[id]; !slices.ContainsFunc(places, func(p place) bool { return p.id == want }) {
			m.fatal("event %d is in no file", want)
		}
	}
	saved := m.sp.saved
	dir := m.sp.dir
	if kill {
		m.crash()
	} else if err := m.sp.Close(); err != nil {
		m.fatal("close: %v", err)
	} else {
		dir, _ = m.state.OpenRoot(m.sp.name)
	}
	what, hit := m.damage(dir, places, damage)
	dir.Close()
	m.did("restart kill %v torn %d %s", kill, torn, what)
	m.open()
	if m.sp.acked > m.acked || damage == 0 && kill && m.sp.acked < saved || damage == 0 && !kill && m.sp.acked < m.acked {
		m.fatal("the position is %d, was %d, saved %d", m.sp.acked, m.acked, saved)
	}
	m.queue, m.unack = nil, nil
	for _, p := range places {
		if p.id >= m.sp.acked && !hit(p) && !slices.Contains(m.queue, p.id) {
			m.queue = append(m.queue, p.id)
		}
	}
	m.acked = m.sp.acked
	m.lost = int64(m.sp.next-max(m.sp.acked, 1)) - int64(len(m.queue))
	if m.sp.expect == 0 {
		m.lost = -1
	}
}

// damage does something to the files, and returns which events it hit.
func (m *model) damage(dir *os.Root, places []place, kind int) (what string, hit func(place) bool) {
	names, _ := fileNames(dir)
	var segments []string
	for _, n := range names {
		if _, ok := sequence(n); ok {
			segments = append(segments, n)
		}
	}
	hit = func(place) bool { return false }
	if kind == 0 || len(segments) == 0 {
		return "", hit
	}
	name := segments[m.rnd.IntN(len(segments))]
	path := filepath.Join(dir.Name(), name)
	b, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	old := slices.Clone(b)
	at := int64(m.rnd.IntN(len(b)))
	to := at + 1
	switch kind {
	case 1:
		b[at] ^= 1 << m.rnd.IntN(8)
	case 2:
		to = int64(len(b))
		b = b[:at]
	case 3:
		at, to, b = 0, int64(len(b)), nil
		os.Remove(path)
	case 4:
		to = min(int64(len(b)), at+int64(m.rnd.IntN(3000))+1)
		clear(b[at:to])
	case 5:
		at, to = 0, int64(len(b))
		b[7] = version + 1
		copy(b[28:], appendHeader(nil, 0, 0)[28:])
		le.PutUint32(b[28:], checksum(b[:28]))
	case 6: // noise
		to = min(int64(len(b)), at+int64(m.rnd.IntN(500))+1)
		for i := at; i < to; i++ {
			b[i] = byte(m.rnd.Uint32())
		}
	case 7:
		os.WriteFile(filepath.Join(dir.Name(), "000000999999.seg"), nil, 0o600)
		return "empty segment", hit
	case 8:
		pos, _ := os.ReadFile(filepath.Join(dir.Name(), positionFile))
		if len(pos) > 0 {
			pos[m.rnd.IntN(len(pos))] ^= 0x10
			os.WriteFile(filepath.Join(dir.Name(), positionFile), pos, 0o600)
		}
		return "position", hit
	case 9:
		os.WriteFile(filepath.Join(dir.Name(), positionFile), []byte("dfspos"), 0o600)
		return "position gone", hit
	}
	if b != nil {
		os.WriteFile(path, b, 0o600)
		for kind != 5 && to <= int64(len(b)) && at < to && b[at] == old[at] { // a zero can stay one
			at++
		}
		for kind != 5 && to <= int64(len(b)) && at < to && b[to-1] == old[to-1] {
			to--
		}
	}
	return fmt.Sprintf("damage %d of %s %d-%d", kind, name, at, to), func(p place) bool { return p.file == name && p.from < to && at < p.to }
}

func (m *model) step() {
	switch x := m.rnd.IntN(1000); {
	case x < 400:
		m.append()
	case x < 700:
		m.read(m.rnd.IntN(12))
	case x < 990:
		m.ack()
	case x < 994:
		m.restart(false, 0)
	case x < 998:
		m.restart(true, 0)
	default:
		m.restart(m.rnd.IntN(2) == 0, 1+m.rnd.IntN(9))
	}
}

// TestSpoolAgainstModel does random operations with a spool: what is not hit by damage comes out, once, in order, and what is
// hit is counted.
func TestSpoolAgainstModel(t *testing.T) {
	const steps, limit = 100_000, 5 * time.Second // a slow machine does fewer
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := newModel(t, seed)
	for start := time.Now(); m.steps < steps && time.Since(start) < limit; m.steps++ {
		m.step()
	}
	m.read(1 << 30)
	for len(m.unack) > 0 {
		m.ack()
	}
	if err := m.sp.Close(); err != nil {
		t.Error(err)
	}
}
