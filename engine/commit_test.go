package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine/lazyjson"
	"dragonfly/test/parts"
)

// counting is a Program whose scripts count what they handle, in all and by key, and keep that over restarts.
type counting struct {
	pause   time.Duration
	broken  atomic.Bool // the state cannot be saved
	mu      sync.Mutex
	started [][]uint64 // what each script began with
	scripts []*countingScript
}

type countingScript struct {
	p      *counting
	env    ScriptEnv
	next   Route
	n, sum uint64
}

func (p *counting) KeepsState() bool { return true }

func (p *counting) Load(env ScriptEnv, out *Results) (Script, error) {
	s := &countingScript{p: p, env: env, next: env.Router.Output(env.DefaultOutput)}
	for i, data := range env.States {
		if len(data) == 16 && (!env.Resharded || i%env.Workers == env.Shard) {
			s.n += binary.LittleEndian.Uint64(data)
			s.sum += binary.LittleEndian.Uint64(data[8:])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = append(p.started, []uint64{s.n, s.sum})
	p.scripts = append(p.scripts, s)
	return s, nil
}

func (s *countingScript) SaveState() ([]byte, error) {
	if s.p.broken.Load() {
		return nil, errors.New("state.x is a function")
	}
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, s.n), s.sum), nil
}

func (s *countingScript) Handle(ev *Event, out *Results) error {
	time.Sleep(s.p.pause)
	var n uint64
	fmt.Sscan(lazyjson.Find(ev.Index, ev.Body, "n").Raw(ev.Body), &n)
	s.n++
	s.sum += n
	out.Emit(s.next, ev.Body, ev.Index)
	return nil
}
func (s *countingScript) Finish(*Results) error { return nil }
func (s *countingScript) Close()                {}

func (p *counting) total() (n, sum uint64) {
	for _, s := range p.scripts {
		n, sum = n+s.n, sum+s.sum
	}
	return n, sum
}

// resuming is a source that goes on where the checkpoints say.
type resuming struct {
	n, batch int
	all      *Checkpoints
}

func (s *resuming) Run(ctx context.Context, emit EmitFunc) error {
	at := Position{Path: "source", Inode: 1}
	for _, p := range s.all.Load("in") {
		at = p
	}
	s.all.Start("in")
	cur := s.all.Cursor("in", at)
	s.all.Settle("in")
	for i := int(at.Offset); i < s.n; {
		b := Batch{Origin: "source"}
		for ; i < s.n && len(b.Records) < s.batch; i++ {
			b.Records = append(b.Records, Record{Body: fmt.Sprintf(`{"n":%d,"key":"k%d"}`, i, i%7), Offset: int64(i)})
		}
		b.Done = cur.Track(int64(i))
		if emit(ctx, b) != nil {
			cur.Untrack()
			return nil
		}
	}
	return nil
}

// newStateBench is an engine with a counting analyzer whose checkpoints are in dir.
func newStateBench(t *testing.T, dir string, n, workers int, p *counting) *bench {
	t.Helper()
	all, err := OpenCheckpoints(filepath.Join(dir, "checkpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(&source{}, pass, pass)
	b.parts.Inputs[0] = &resuming{n: n, batch: 10, all: all}
	b.parts.Checkpoints = all
	b.parts.Analyzers[0] = p
	b.cfg.Analyzers[0].Workers, b.cfg.Analyzers[0].ShardBy = workers, []string{"key"}
	return b
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err == nil {
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A pipeline that is killed at any moment and started again has counted every record just once.
func TestStateIsExactAfterKills(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				const n = 40_000
				workers := 1 + int(seed)%3
				for range 4 {
					next := t.TempDir()
					p := &counting{pause: time.Millisecond}
					b := newStateBench(t, dir, n, workers, p)
					ctx, kill := context.WithCancel(t.Context())
					b.cfg.DrainTimeout = 0
					if err := b.start(t); err != nil {
						t.Fatal(err)
					}
					ended := make(chan struct{})
					go func() { b.engine.Run(ctx, true); close(ended) }()
					time.Sleep(time.Duration(2500+rng.IntN(4000)) * time.Millisecond)
					copyFile(t, filepath.Join(dir, "checkpoint.json"), filepath.Join(next, "checkpoint.json")) // all that a kill leaves
					kill()
					<-ended
					b.engine.Close(nil)
					dir = next
				}
				p := &counting{}
				b := newStateBench(t, dir, n, workers, p)
				if err := b.start(t); err != nil {
					t.Fatal(err)
				}
				if err := b.engine.Run(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				var began uint64
				for _, s := range p.started {
					began += s[0]
				}
				if began == 0 {
					t.Error("nothing was kept")
				}
				if got, sum := p.total(); got != n || sum != n*(n-1)/2 {
					t.Errorf("got %d records counted, sum %d, want %d and %d", got, sum, n, n*(n-1)/2)
				}
			})
		})
	}
}

// drain_timeout breaks a pipeline off: the next engine of the same process reads again from the last checkpoint, and the
// counts are right.
func TestStateIsExactAfterABrokenDrain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &counting{pause: 100 * time.Millisecond}
		b := newStateBench(t, dir, 300, 1, p)
		b.cfg.DrainTimeout = time.Second
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer stop()
		if err := b.engine.Run(ctx, true); !errors.Is(err, errDrainTimeout) {
			t.Fatalf("got %v", err)
		}
		again := &counting{}
		next := newBench(&source{}, pass, pass)
		next.parts.Inputs, next.parts.Checkpoints, next.parts.Analyzers[0] = b.parts.Inputs, b.parts.Checkpoints, again
		if err := next.start(t); err != nil {
			t.Fatal(err)
		}
		if err := next.engine.Run(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if n, sum := again.total(); n != 300 || sum != 300*299/2 {
			t.Errorf("got %d, %d", n, sum)
		}
	})
}

// The state of another number of workers: every script gets all of it.
func TestStateOfAnotherNumberOfWorkers(t *testing.T) {
	dir := t.TempDir()
	for i, workers := range []int{3, 2, 5, 1} {
		p := &counting{}
		b := newStateBench(t, dir, 100*(i+1), workers, p)
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.Run(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		n := uint64(100 * (i + 1))
		if got, sum := p.total(); got != n || sum != n*(n-1)/2 {
			t.Errorf("%d workers: got %d, %d", workers, got, sum)
		}
	}
}

// A state that cannot be saved stays as it was, is told, and holds up nothing else.
func TestStateThatCannotBeSaved(t *testing.T) {
	dir := t.TempDir()
	p := &counting{}
	b := newStateBench(t, dir, 100, 1, p)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	p = &counting{}
	p.broken.Store(true)
	b = newStateBench(t, dir, 200, 1, p)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if !b.engine.analyzers[0].shards[0].keeper.unsaved.Load() {
		t.Error("nobody was told")
	}
	all, err := OpenCheckpoints(filepath.Join(dir, "checkpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	if st := all.State("analyzer a1"); len(st) != 1 || binary.LittleEndian.Uint64(st[0]) != 100 {
		t.Errorf("got state %v", st)
	}
	if at := all.Load("in"); len(at) != 1 || at[0].Offset != 200 {
		t.Errorf("got positions %v", at)
	}
}

// While an output is down nothing is saved that would lose or double a record, and records that do not need it go on.
func TestStateWhileAnOutputIsDown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &counting{pause: time.Millisecond}
		b := newStateBench(t, dir, 20_000, 1, p)
		var down atomic.Bool
		var log parts.Log
		b.parts.Log = slog.New(slog.NewTextHandler(&log, nil))
		b.out.fail = func(batch []Event) (int, error) {
			if down.Load() {
				return 0, errors.New("down")
			}
			return len(batch), nil
		}
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.engine.Run(t.Context(), true) }()
		time.Sleep(3 * time.Second)
		down.Store(true)
		time.Sleep(70 * time.Second)
		all, err := OpenCheckpoints(filepath.Join(dir, "checkpoint.json"))
		if err != nil {
			t.Fatal(err)
		}
		kept := binary.LittleEndian.Uint64(all.State("analyzer a1")[0])
		if at := all.Load("in"); len(at) != 1 || uint64(at[0].Offset) != kept || kept == 0 {
			t.Errorf("got positions %v, %d counted", at, kept)
		}
		down.Store(false)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if n, _ := p.total(); n != 20_000 {
			t.Errorf("got %d", n)
		}
		for _, want := range []string{"no checkpoint, as the pipeline does not come to rest", "checkpoints are taken again"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log does not say once %q:\n%s", want, log.String())
			}
		}
	})
}

func TestCutOfADamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"a state with a wrong checksum": `{"version":2,"inputs":{},"states":{"analyzer a":{"shards":["AAAA"],"sum":1}}}`,
		"a version of the future":       `{"version":3,"inputs":{}}`,
		"no version":                    `{"inputs":{}}`,
		"cut off":                       `{"version":2,"inp`,
		"nothing":                       ``,
	} {
		if _, err := ReadCut([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
		path := filepath.Join(t.TempDir(), "checkpoint.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := OpenCheckpoints(path)
		if err == nil || all.Load("in") != nil || len(all.Stages()) > 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != text {
			t.Errorf("%s: not kept aside: %v", name, err)
		}
		if err := all.Save(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f, err := ReadCut([]byte(`{"version":1,"inputs":{"eve":[{"path":"x","offset":5}]}}`)); err != nil || f.Inputs["eve"][0].Offset != 5 {
		t.Errorf("version 1: %v, %v", f, err)
	}
}

// What scripts count of dead letters that are sent back is on the disk before the progress of the replay is: at no moment is
// the progress ahead of the state.
func TestStateIsNotBehindAReplay(t *testing.T) {
	dir := t.TempDir()
	p := &counting{}
	b := newStateBench(t, dir, 10, 1, p)
	replays := filepath.Join(dir, "replay")
	b.open(t, replays)
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`analyzer a1|{"n":%d}`, i))
	}
	request(t, replays, "r", items...)
	var batches, behind atomic.Int64
	b.out.fail = func(batch []Event) (int, error) { // called while a batch is on its way: the one before is saved
		progress, err := b.parts.Replay.requests.Progress("r")
		text, missing := os.ReadFile(filepath.Join(dir, "checkpoint.json"))
		if err != nil || progress.Read == 0 || missing != nil {
			return len(batch), nil
		}
		batches.Add(1)
		if cut, err := ReadCut(text); err != nil || int64(binary.LittleEndian.Uint64(cut.States["analyzer a1"].Shards[0])) < progress.Read {
			behind.Add(1)
		}
		return len(batch), nil
	}
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if batches.Load() == 0 || behind.Load() > 0 {
		t.Errorf("looked %d times, the state was behind %d times", batches.Load(), behind.Load())
	}
	if n, _ := p.total(); n != 1010 {
		t.Errorf("got %d counted, want 1010", n)
	}
}
