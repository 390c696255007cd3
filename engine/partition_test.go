package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine/lazyjson"
)

// shelf holds snapshots of partitions, as Redis would.
type shelf struct {
	mu    sync.Mutex
	saved map[string]snapshotOf
}

type snapshotOf struct {
	next   int
	states map[string]StageState
}

func (s *shelf) put(origin string, next int, states map[string]StageState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved[origin] = snapshotOf{next, states}
}

func (s *shelf) of(origin string) snapshotOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved[origin]
}

// copy is what is there at this moment.
func (s *shelf) copy() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{saved: maps.Clone(s.saved)}
}

// counted returns what the scripts of a stage have counted of a partition.
func (s *shelf) counted(origin, stage string) (n, sum uint64) {
	if st := s.of(origin).states[stage]; len(st.Shards) == 1 {
		return binary.LittleEndian.Uint64(st.Shards[0]), binary.LittleEndian.Uint64(st.Shards[0][8:])
	}
	return 0, 0
}

// parted is a source of partitions with n records each. Each is saved every `every` records, and given away and taken again every
// `away` records.
type parted struct {
	source
	partitions, n, every, away int
	shelf                      *shelf
	stays                      bool // states do not move
}

func (s *parted) MovesState() bool { return !s.stays }

func originOf(i int) string { return fmt.Sprintf("part/%d", i) }

func (s *parted) RunPartitions(ctx context.Context, emit EmitFunc, open OpenPartition) error {
	var wg sync.WaitGroup
	errs := make([]error, s.partitions)
	turn := make(chan struct{}, 1)
	single := func(ctx context.Context, b Batch) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		return emit(ctx, b)
	}
	for i := range s.partitions {
		wg.Go(func() {
			for s.shelf.of(originOf(i)).next < s.n && ctx.Err() == nil && errs[i] == nil {
				errs[i] = s.claim(ctx, single, open, originOf(i))
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		return errors.Join(errs...)
	}
	return nil
}

// claim reads a part of one partition.
func (s *parted) claim(ctx context.Context, emit EmitFunc, open OpenPartition, origin string) error {
	from := s.shelf.of(origin)
	p, err := open(origin, from.states)
	if err != nil {
		return err
	}
	defer p.Close()
	next := from.next
	for to := min(s.n, from.next+s.away); next < to; {
		b := Batch{Origin: origin, Partition: p, Done: func() {}}
		for range min(7, to-next) {
			b.Records = append(b.Records, Record{Body: fmt.Sprintf(`{"n":%d,"origin":%q}`, next, origin), Offset: int64(next)})
			next++
		}
		if emit(ctx, b) != nil {
			return nil
		}
		if next%s.every < 7 {
			states, err := p.Save(ctx)
			if err != nil {
				return nil // the last one stands
			}
			s.shelf.put(origin, next, states)
		}
	}
	states, err := p.Finish(ctx)
	if err == nil {
		s.shelf.put(origin, next, states)
	}
	return nil
}

func newParted(t *testing.T, in *parted, filter, analyzer Program, workers int) *bench {
	t.Helper()
	b := newBench(&source{}, pass, pass)
	b.parts.Inputs[0] = in
	b.parts.Filters[0], b.parts.Analyzers[0] = filter, analyzer
	b.cfg.Inputs[0].Filter.Workers, b.cfg.Analyzers[0].Workers = workers, workers
	return b
}

// forward is a counting filter that hands on to an analyzer.
type forward struct{ counting }

func (p *forward) Load(env ScriptEnv, out *Results) (Script, error) {
	s, err := p.counting.Load(env, out)
	s.(*countingScript).next = env.Router.Analyzer(env.DefaultAnalyzer)
	return s, err
}

// Processes that are killed at any moment, each going on from the last snapshots of the one before: each partition's scripts have
// counted its records once, and no others.
func TestPartitionsAreExactAfterKills(t *testing.T) {
	for workers := 1; workers <= 3; workers++ {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const partitions, n = 5, 6000
				sh := &shelf{saved: map[string]snapshotOf{}}
				run := func(kill time.Duration) {
					in := &parted{partitions: partitions, n: n, every: 300, away: 2000, shelf: sh}
					b := newParted(t, in, &forward{}, &counting{pause: time.Millisecond}, workers)
					b.cfg.DrainTimeout = 0
					if err := b.start(t); err != nil {
						t.Fatal(err)
					}
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					ended := make(chan struct{})
					go func() { b.engine.Run(ctx, true); close(ended) }()
					if kill > 0 {
						time.Sleep(kill)
						sh = sh.copy() // all that a kill leaves
						stop()
					}
					<-ended
					b.engine.Close(nil)
				}
				run(1777 * time.Millisecond)
				run(2999 * time.Millisecond)
				run(0)
				for i := range partitions {
					for _, stage := range []string{"filter in", "analyzer a1"} {
						if got, sum := sh.counted(originOf(i), stage); got != n || sum != n*(n-1)/2 {
							t.Errorf("%s of %s: got %d records, sum %d, want %d and %d", stage, originOf(i), got, sum, n, n*(n-1)/2)
						}
					}
				}
			})
		})
	}
}

// Programs are replaced while records flow: the scripts of partitions go on with their states.
func TestPartitionsSwap(t *testing.T) {
	sh := &shelf{saved: map[string]snapshotOf{}}
	in := &parted{partitions: 4, n: 5000, every: 100, away: 5000, shelf: sh}
	b := newParted(t, in, pass, &counting{}, 2)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(t.Context(), true) }()
	swapped := 0
	for done := false; !done; {
		select {
		case err := <-ended:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
			if b.engine.Swap(t.Context(), []Program{pass}, []Program{&counting{}}) == nil {
				swapped++
			}
		}
	}
	for i := range in.partitions {
		if got, sum := sh.counted(originOf(i), "analyzer a1"); got != 5000 || sum != 5000*4999/2 {
			t.Errorf("%s: got %d records, sum %d after %d swaps", originOf(i), got, sum, swapped)
		}
	}
	if got := len(b.out.bodies()); got != 20_000 {
		t.Errorf("got %d events", got)
	}
}

// A stage begins to keep state while it runs: its partitions get scripts of their own then.
func TestPartitionsSwapToState(t *testing.T) {
	sh := &shelf{saved: map[string]snapshotOf{}}
	in := &parted{partitions: 4, n: 5000, every: 100, away: 5000, shelf: sh}
	filter := &forward{}
	b := newParted(t, in, filter, pass, 3)
	var first sync.Once
	reached, swapped := make(chan struct{}), make(chan struct{})
	b.out.fail = func(batch []Event) (int, error) {
		first.Do(func() { close(reached) })
		<-swapped
		return len(batch), nil
	}
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(t.Context(), true) }()
	<-reached
	p := &counting{}
	if err := b.engine.Swap(t.Context(), []Program{filter}, []Program{p}); err != nil {
		t.Fatal(err)
	}
	close(swapped)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := len(b.out.bodies()); got != 20_000 {
		t.Errorf("got %d events", got)
	}
	var kept, all uint64
	for i := range in.partitions {
		n, _ := sh.counted(originOf(i), "analyzer a1")
		kept += n
		if n, _ := sh.counted(originOf(i), "filter in"); n != 5000 {
			t.Errorf("the filter has counted %d of %s", n, originOf(i))
		}
	}
	for _, s := range p.scripts {
		all += s.n
	}
	if kept != all || all == 0 {
		t.Errorf("%d records are in snapshots, the scripts have counted %d", kept, all)
	}
}

// timed is a Program whose scripts set timers in setup() and count by kind what comes; the state is the counts.
type timed struct{}

type timedScript struct {
	env    ScriptEnv
	self   Route
	next   Route
	counts map[string]int
}

func (p *timed) KeepsState() bool { return true }
func (p *timed) Load(env ScriptEnv, out *Results) (Script, error) {
	s := &timedScript{env: env, self: env.Router.Analyzer(env.Stage), next: env.Router.Output(env.DefaultOutput), counts: map[string]int{}}
	if len(env.States) == 0 {
		out.Timers = append(out.Timers, Timer{Route: s.self, After: 100 * time.Millisecond, Every: true, Body: `{"kind":"every"}`},
			Timer{Route: s.self, After: time.Hour, Body: `{"kind":"once"}`})
	}
	return s, nil
}

func (s *timedScript) Handle(ev *Event, out *Results) error {
	kind := "record"
	if f := lazyjson.Find(ev.Index, ev.Body, "kind"); f != nil {
		kind = strings.Trim(f.Raw(ev.Body), `"`)
	} else if strings.Contains(ev.Body, `"kind"`) { // events of timers have no index
		kind = strings.Split(ev.Body, `"`)[3]
	}
	s.counts[kind]++
	out.Emit(s.next, ev.Body, ev.Index)
	return nil
}
func (s *timedScript) Finish(out *Results) error {
	s.counts["finish"]++
	out.Emit(s.next, `{"kind":"finished"}`, nil)
	return nil
}
func (s *timedScript) Close() {}
func (s *timedScript) SaveState() ([]byte, error) {
	return []byte(fmt.Sprint(s.counts["record"], " ", s.counts["every"], " ", s.counts["once"], " ", s.counts["finish"])), nil
}

// What the scripts of a partition set as timers, and finish(), are the partition's own.
func TestPartitionTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sh := &shelf{saved: map[string]snapshotOf{}}
		in := &parted{partitions: 2, n: 7000, every: 70, away: 7000, shelf: sh}
		b := newParted(t, in, pass, &timed{}, 2)
		b.out.fail = func(batch []Event) (int, error) { time.Sleep(10 * time.Millisecond); return len(batch), nil }
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.Run(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		for i := range in.partitions {
			var records, every, once, finish int
			fmt.Sscan(string(sh.of(originOf(i)).states["analyzer a1"].Shards[0]), &records, &every, &once, &finish)
			if records != 7000 || every < 2 || once != 1 || finish != 1 {
				t.Errorf("%s: %d records, %d ticks, %d single timers, finish() ran %d times", originOf(i), records, every, once, finish)
			}
		}
		if n := b.engine.timers.len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

// A partition is closed while its records are in flight: its scripts are there until the last is finished.
func TestPartitionClosedInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open, closed, late atomic.Int64
		p := &counting{}
		b := newParted(t, nil, pass, &closing{p, &open, &closed, &late}, 1)
		stuck := make(chan struct{})
		b.out.fail = func(batch []Event) (int, error) { <-stuck; return len(batch), nil }
		in := &abandoning{records: 500}
		b.parts.Inputs[0] = in
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.engine.Run(t.Context(), true) }()
		synctest.Wait()
		if n := closed.Load(); n != 0 {
			t.Errorf("%d scripts are closed although records are in flight", n)
		}
		close(stuck)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if open.Load() != closed.Load() || late.Load() > 0 || len(b.out.bodies()) != 500 {
			t.Errorf("%d scripts opened, %d closed, %d calls after that, %d events", open.Load(), closed.Load(), late.Load(), len(b.out.bodies()))
		}
	})
}

// abandoning emits records of a partition, closes it at once and ends.
type abandoning struct {
	source
	records int
}

func (*abandoning) MovesState() bool { return true }
func (s *abandoning) RunPartitions(ctx context.Context, emit EmitFunc, open OpenPartition) error {
	p, err := open("part/1", nil)
	if err != nil {
		return err
	}
	b := Batch{Origin: "part/1", Partition: p}
	for i := range s.records {
		b.Records = append(b.Records, Record{Body: fmt.Sprintf(`{"n":%d}`, i)})
	}
	err = emit(ctx, b)
	p.Close()
	return err
}

// closing counts how many scripts are open.
type closing struct {
	*counting
	open, closed, late *atomic.Int64
}

type closingScript struct {
	*countingScript
	p    *closing
	shut bool
}

func (p *closing) Load(env ScriptEnv, out *Results) (Script, error) {
	p.open.Add(1)
	s, err := p.counting.Load(env, out)
	return &closingScript{countingScript: s.(*countingScript), p: p}, err
}

func (s *closingScript) Handle(ev *Event, out *Results) error {
	if s.shut {
		s.p.late.Add(1)
	}
	return s.countingScript.Handle(ev, out)
}

func (s *closingScript) Close() {
	if s.shut {
		s.p.late.Add(1)
	}
	s.shut = true
	s.p.closed.Add(1)
}

// Workers that something else than the partition chooses are refused, for stages that keep state.
func TestPartitionsWantTheirWorkers(t *testing.T) {
	for name, c := range map[string]struct {
		workers int
		by      []string
		stays   bool
		keeps   bool
		wrong   bool
	}{
		"a field":                         {2, []string{"src_ip"}, false, true, true},
		"a field, one worker":             {1, []string{"src_ip"}, false, true, false},
		"the origin":                      {2, []string{"@origin"}, false, true, false},
		"nothing":                         {2, nil, false, true, false},
		"a field, but no state":           {2, []string{"src_ip"}, false, false, false},
		"a field, and states do not move": {2, []string{"src_ip"}, true, true, false},
	} {
		b := newParted(t, &parted{stays: c.stays}, pass, pass, 1)
		if c.keeps {
			b.parts.Analyzers[0] = &counting{}
		}
		b.cfg.File, b.cfg.Analyzers[0].Line = "config.lua", 7
		b.cfg.Analyzers[0].Workers, b.cfg.Analyzers[0].ShardBy = c.workers, c.by
		_, err := New(b.cfg, b.parts)
		if wrong := len(ConfigErrors(err)) == 1; wrong != c.wrong {
			t.Errorf("%s: got %v", name, err)
		}
		if c.wrong && (!strings.HasPrefix(err.Error(), "config.lua:7: analyzers[1].shard_by: ") || !strings.Contains(err.Error(), "@origin")) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
