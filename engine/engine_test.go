package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine/lazyjson"
)

// source emits n numbered records in batches and ends.
type source struct {
	n, batch int
	body     func(i int) string // nil: {"n":i,"key":"k<i%7>"}
	acked    atomic.Int64       // records whose batch is done
	endless  bool               // waits for ctx after the last record
}

func (s *source) Run(ctx context.Context, emit EmitFunc) error {
	for i := 0; i < s.n; {
		var b Batch
		b.Origin = "source"
		for ; i < s.n && len(b.Records) < s.batch; i++ {
			body := fmt.Sprintf(`{"n":%d,"key":"k%d"}`, i, i%7)
			if s.body != nil {
				body = s.body(i)
			}
			b.Records = append(b.Records, Record{Body: body, Offset: int64(i)})
		}
		n := int64(len(b.Records))
		b.Done = func() { s.acked.Add(n) }
		if err := emit(ctx, b); err != nil {
			return nil
		}
	}
	if s.endless {
		<-ctx.Done()
	}
	return nil
}

// memory is an output that keeps what it gets; fail decides what to do with a batch.
type memory struct {
	mu   sync.Mutex
	got  []string
	fail func(batch []Event) (int, error)
}

func (m *memory) Open(context.Context) error { return nil }
func (m *memory) Close() error               { return nil }
func (m *memory) Write(ctx context.Context, batch []Event) (int, error) {
	n, err := len(batch), error(nil)
	if m.fail != nil { // not under mu: it may sleep, and who waits for a mutex stops the clock of a synctest bubble
		n, err = m.fail(batch)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ev := range batch[:n] {
		m.got = append(m.got, ev.Body)
	}
	return n, err
}

func (m *memory) bodies() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.got...)
}

// goProgram is a Program whose scripts are a Go function.
type goProgram struct {
	loop   func(s *goScript, ev *Event, out *Results) error
	finish func(s *goScript, out *Results)
}

type goScript struct {
	p      *goProgram
	env    ScriptEnv
	next   Route // default_analyzer, or default_output
	events int
}

func (p *goProgram) Load(env ScriptEnv, out *Results) (Script, error) {
	s := &goScript{p: p, env: env}
	if s.next = env.Router.Analyzer(env.DefaultAnalyzer); s.next == NoRoute {
		s.next = env.Router.Output(env.DefaultOutput)
	}
	return s, nil
}

func (s *goScript) Handle(ev *Event, out *Results) error { s.events++; return s.p.loop(s, ev, out) }
func (s *goScript) Close()                               {}
func (s *goScript) Finish(out *Results) error {
	if s.p.finish != nil {
		s.p.finish(s, out)
	}
	return nil
}

var pass = &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
	out.Emit(s.next, ev.Body, ev.Index)
	return nil
}}

// bench is an engine around one source, a filter and a chain of analyzers that ends in the output "out".
type bench struct {
	cfg    *Config
	parts  Parts
	out    *memory
	dead   *memory
	source *source
	engine *Engine
}

func newBench(src *source, chain ...*goProgram) *bench {
	b := &bench{out: &memory{}, dead: &memory{}, source: src}
	b.cfg = &Config{MaxInFlight: 1000, MaxInFlightBytes: 1 << 20, DrainTimeout: 5 * time.Second, DeadLetter: "memory://"}
	b.cfg.Inputs = []InputRow{{Tag: "in", Filter: StageRow{Tag: "in", Script: "filter", DefaultAnalyzer: "a1"}}}
	for i := range chain[1:] {
		row := StageRow{Tag: fmt.Sprintf("a%d", i+1), Script: "analyzer", DefaultAnalyzer: fmt.Sprintf("a%d", i+2), DefaultOutput: "out"}
		b.cfg.Analyzers = append(b.cfg.Analyzers, row)
	}
	b.cfg.Outputs = []OutputRow{{Tag: "out"}}
	b.parts = Parts{Inputs: []Input{src}, Finite: []bool{true}, Outputs: []Output{b.out}, LogOutput: &memory{}, StatsOutput: &memory{},
		DeadLetterOutput: b.dead, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for i, p := range chain {
		if i == 0 {
			b.parts.Filters = []Program{p}
			continue
		}
		b.parts.Analyzers = append(b.parts.Analyzers, p)
	}
	return b
}

// run runs the engine until it is drained and checks the books.
func (b *bench) run(t *testing.T) Account {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(ctx, true); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatal("did not drain within 2 minutes")
	}
	return b.balance(t)
}

func (b *bench) start(t *testing.T) error {
	t.Helper()
	var err error
	if b.engine, err = New(b.cfg, b.parts); err != nil {
		t.Fatal(err)
	}
	return b.engine.Open(t.Context())
}

func (b *bench) balance(t *testing.T) Account {
	t.Helper()
	a := b.engine.Ledger()[0]
	if a.InFlight != 0 {
		t.Errorf("the books do not balance: %v", a)
	}
	if got := b.source.acked.Load(); got != a.Read {
		t.Errorf("got %d records acked, want %d", got, a.Read)
	}
	if n, bytes := b.engine.gate.inFlight(); n != 0 || bytes != 0 || b.engine.gate.queued.Load() != 0 || b.engine.gate.queuedB.Load() != 0 || b.engine.gate.writing.Load() != 0 {
		t.Errorf("the gate is not empty: %d records, %d bytes, %d queued of %d bytes, %d writing", n, bytes,
			b.engine.gate.queued.Load(), b.engine.gate.queuedB.Load(), b.engine.gate.writing.Load())
	}
	return a
}

func TestEnginePassesEverythingInOrder(t *testing.T) {
	b := newBench(&source{n: 5000, batch: 64}, pass, pass, pass)
	a := b.run(t)
	if a.Delivered != 5000 {
		t.Errorf("got %v", a)
	}
	for i, body := range b.out.bodies() {
		if want := fmt.Sprintf(`{"n":%d,"key":"k%d"}`, i, i%7); body != want {
			t.Fatalf("event %d: got %s, want %s", i, body, want)
		}
	}
}

func TestEngineBooksEveryFate(t *testing.T) {
	src := &source{n: 700, batch: 50, body: func(i int) string {
		switch i % 7 {
		case 0:
			return fmt.Sprintf(`{"event_type":"alert","n":%d`, i) // cut off
		case 1:
			return `[1,2]`
		}
		return fmt.Sprintf(`{"n":%d}`, i)
	}}
	picky := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		switch f := lazyjson.Find(ev.Index, ev.Body, "n"); f.Raw(ev.Body)[len(f.Raw(ev.Body))-1] {
		case '2':
			return nil
		case '3':
			out.Emit(s.next, ev.Body, ev.Index)
			return &ScriptError{Script: "picky.lua", Line: 3, Msg: "three"}
		}
		out.Emit(s.next, ev.Body, ev.Index)
		out.Emit(s.next, ev.Body, ev.Index)
		return nil
	}}
	b := newBench(src, pass, picky)
	a := b.run(t)
	if a.Read != 700 || a.DeadLettered[ReasonMalformed] != 100 || a.DeadLettered[ReasonNotObject] != 100 ||
		a.DeadLettered[ReasonScript] != 50 || a.Dropped != 50 || a.Delivered != 400 {
		t.Errorf("got %v", a)
	}
	if got := len(b.out.bodies()); got != 800 {
		t.Errorf("got %d events, want 800", got)
	}
	dead := b.dead.bodies()
	if len(dead) != 250 {
		t.Fatalf("got %d dead letters, want 250", len(dead))
	}
	for _, d := range dead {
		if err := lazyjson.Validate(d); err != nil {
			t.Errorf("dead letter %s: %v", d, err)
		}
	}
	for _, want := range []string{`"stage":"filter in","reason":"malformed","error":"invalid JSON at byte 29: unexpected end"`,
		`"error":"picky.lua:3: three"`, `"origin":"in source offset 7"`} {
		if !strings.Contains(strings.Join(dead, "\n"), want) {
			t.Errorf("no dead letter has %s", want)
		}
	}
}

func TestEngineDeadLettersLoops(t *testing.T) {
	loop := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		out.Emit(s.env.Router.Analyzer("a1"), ev.Body, ev.Index)
		return nil
	}}
	b := newBench(&source{n: 3000, batch: 100}, pass, loop)
	if a := b.run(t); a.DeadLettered[ReasonLoop] != 3000 {
		t.Errorf("got %v", a)
	}
}

func TestEngineSurvivesFanOut(t *testing.T) {
	fan := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		for range 1000 {
			out.Emit(s.next, ev.Body, ev.Index)
		}
		return nil
	}}
	var most atomic.Int64
	var b *bench
	watch := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		most.Store(max(most.Load(), b.engine.gate.queued.Load()))
		out.Emit(s.next, ev.Body, ev.Index)
		return nil
	}}
	b = newBench(&source{n: 500, batch: 100}, pass, fan, watch, pass)
	if a := b.run(t); a.Delivered != 500 || len(b.out.bodies()) != 500_000 {
		t.Errorf("got %v and %d events", a, len(b.out.bodies()))
	}
	if limit := int64(2*b.cfg.MaxInFlight + 100*1000); most.Load() > limit {
		t.Errorf("got %d events queued, want at most %d", most.Load(), limit)
	}
}

func TestEngineStopsAvalanches(t *testing.T) {
	double := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		out.Emit(s.env.Router.Analyzer("a1"), ev.Body, ev.Index)
		out.Emit(s.env.Router.Analyzer("a1"), ev.Body, ev.Index)
		return nil
	}}
	b := newBench(&source{n: 1, batch: 1}, pass, double)
	if a := b.run(t); a.DeadLettered[ReasonFanOut]+a.DeadLettered[ReasonLoop] != 1 {
		t.Errorf("got %v", a)
	}
}

func TestEngineKeepsOrderPerKeyOverShards(t *testing.T) {
	b := newBench(&source{n: 20_000, batch: 33}, pass, pass, pass)
	b.cfg.Inputs[0].Filter.Workers, b.cfg.Inputs[0].Filter.ShardBy = 3, []string{"key"}
	b.cfg.Analyzers[0].Workers, b.cfg.Analyzers[0].ShardBy = 4, []string{"key"}
	b.cfg.Analyzers[1].Workers, b.cfg.Analyzers[1].ShardBy = 2, []string{"key"}
	b.run(t)
	last := map[string]int{}
	for _, body := range b.out.bodies() {
		var n int
		var key string
		fmt.Sscanf(strings.NewReplacer(`{"n":`, "", `,"key":"`, " ", `"}`, "").Replace(body), "%d %s", &n, &key)
		if old, ok := last[key]; ok && n <= old {
			t.Fatalf("key %s: %d after %d", key, n, old)
		}
		last[key] = n
	}
	if len(last) != 7 || len(b.out.bodies()) != 20_000 {
		t.Errorf("got %d keys, %d events", len(last), len(b.out.bodies()))
	}
}

func TestEngineSpreadsOverShards(t *testing.T) {
	b := newBench(&source{n: 20_000, batch: 50}, pass, pass)
	b.cfg.Analyzers[0].Workers = 4
	b.run(t)
	for _, sh := range b.engine.analyzers[0].shards {
		if n := sh.in.Load(); n < 1000 || n > 10_000 {
			t.Errorf("shard %d: got %d of 20000 events", sh.n, n)
		}
	}
}

func TestEngineSlowsTheInputDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(&source{n: 50_000, batch: 50}, pass, pass)
		blocked := make(chan struct{})
		b.out.fail = func(batch []Event) (int, error) { <-blocked; return len(batch), nil }
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.engine.Run(t.Context(), true) }()
		synctest.Wait()
		if a := b.engine.Ledger()[0]; a.Read > int64(b.cfg.MaxInFlight) || a.Read < 900 {
			t.Errorf("got %d records read while the output is blocked, want at most %d", a.Read, b.cfg.MaxInFlight)
		}
		close(blocked)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if a := b.balance(t); a.Delivered != 50_000 {
			t.Errorf("got %v", a)
		}
	})
}

func TestSinkRepeatsUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(&source{n: 1000, batch: 10}, pass, pass)
		rng := rand.New(rand.NewPCG(1, 2))
		b.out.fail = func(batch []Event) (int, error) {
			if rng.IntN(3) == 0 {
				return rng.IntN(len(batch)), errors.New("connection reset")
			}
			return len(batch), nil
		}
		if a := b.run(t); a.Delivered != 1000 {
			t.Errorf("got %v", a)
		}
		for i, body := range b.out.bodies() {
			if want := fmt.Sprintf(`{"n":%d,`, i); !strings.HasPrefix(body, want) {
				t.Fatalf("event %d: got %s", i, body)
			}
		}
	})
}

func TestSinkDeadLettersWhatIsRejected(t *testing.T) {
	b := newBench(&source{n: 100, batch: 10}, pass, pass)
	b.out.fail = func(batch []Event) (int, error) {
		for i, ev := range batch {
			if strings.Contains(ev.Body, `"n":42,`) {
				return i, &RejectError{errors.New("too large")}
			}
		}
		return len(batch), nil
	}
	if a := b.run(t); a.Delivered != 99 || a.DeadLettered[ReasonRejected] != 1 {
		t.Errorf("got %v", a)
	}
	if dead := b.dead.bodies(); len(dead) != 1 || !strings.Contains(dead[0], `"event":{"n":42,`) {
		t.Errorf("got %v", dead)
	}
}

func TestEngineGivesUpAfterDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(&source{n: 100, batch: 10, endless: true}, pass, pass)
		b.out.fail = func([]Event) (int, error) { return 0, errors.New("sink is down") }
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.engine.Run(ctx, false) }()
		synctest.Wait()
		start := time.Now()
		cancel()
		err := <-ended
		if !errors.Is(err, errDrainTimeout) || time.Since(start) != b.cfg.DrainTimeout {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if a := b.engine.Ledger()[0]; a.InFlight != 100 || b.source.acked.Load() != 0 {
			t.Errorf("got %v, %d acked", a, b.source.acked.Load())
		}
	})
}

func TestTimersFireInOrderAndAtTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var fired []string
		ticker := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
			if ev.Origin() == "timer a1 timer" || strings.HasPrefix(ev.Body, `"`) {
				fired = append(fired, fmt.Sprintf("%s@%v", ev.Body, time.Since(start)))
				return nil
			}
			a1 := s.env.Router.Analyzer("a1")
			out.Timers = append(out.Timers, Timer{a1, 3 * time.Second, false, `"once"`}, Timer{a1, time.Second, true, `"tick"`},
				Timer{a1, time.Hour, false, `"late"`})
			return nil
		}}
		b := newBench(&source{n: 1, batch: 1, endless: true}, pass, ticker)
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		if err := b.engine.Run(ctx, false); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(fired, " ")
		if want := `"tick"@1s "tick"@2s "once"@3s "tick"@3s "late"@3.5s`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestFinishRunsStageByStage(t *testing.T) {
	count := &goProgram{
		loop: func(s *goScript, ev *Event, out *Results) error { return nil },
		finish: func(s *goScript, out *Results) {
			out.Emit(s.next, fmt.Sprintf(`{"%s":%d}`, s.env.Stage, s.events), nil)
		},
	}
	b := newBench(&source{n: 1000, batch: 7}, pass, count, count, count)
	b.run(t)
	if got := strings.Join(b.out.bodies(), " "); got != `{"a3":1}` {
		t.Errorf("got %s: each finish() must reach the next analyzer before that one's", got)
	}
}

func TestSwapChangesScriptsWithoutLoss(t *testing.T) {
	src := &source{n: 100_000, batch: 20}
	b := newBench(src, pass, pass)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(t.Context(), true) }()
	bad := &failingProgram{}
	for range 50 {
		if err := b.engine.Swap(t.Context(), []Program{pass}, []Program{pass}); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.Swap(t.Context(), []Program{pass}, []Program{bad}); err == nil {
			t.Fatal("want the error of setup()")
		}
		if b.engine.state.Load() != 1 {
			break
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if a := b.balance(t); a.Delivered != 100_000 {
		t.Errorf("got %v", a)
	}
}

type failingProgram struct{}

func (*failingProgram) Load(ScriptEnv, *Results) (Script, error) {
	return nil, errors.New("setup failed")
}

func TestInputRunsAgainAfterAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(&source{n: 10, batch: 10}, pass, pass)
		tries := 0
		b.parts.Inputs[0] = inputFunc(func(ctx context.Context, emit EmitFunc) error {
			if tries++; tries < 4 {
				return errors.New("source broke")
			}
			return b.source.Run(ctx, emit)
		})
		if a := b.run(t); a.Delivered != 10 || tries != 4 {
			t.Errorf("got %v after %d tries", a, tries)
		}
	})
}

type inputFunc func(ctx context.Context, emit EmitFunc) error

func (f inputFunc) Run(ctx context.Context, emit EmitFunc) error { return f(ctx, emit) }

func TestUnknownTagsAreCounted(t *testing.T) {
	b := newBench(&source{n: 1, batch: 1}, pass, pass)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	b.engine.Unknown("a1", "nowhere")
	b.engine.Unknown("a1", "nowhere")
	var sb strings.Builder
	b.engine.WriteMetrics(&sb)
	if want := `dragonfly_unknown_tag_events_total{tag="nowhere"} 2`; !strings.Contains(sb.String(), want) {
		t.Errorf("metrics lack %s", want)
	}
	if b.engine.Analyzer("A1") == NoRoute || b.engine.Output("OUT") == NoRoute || b.engine.Analyzer("out") != NoRoute {
		t.Error("tags must compare without case, analyzers and outputs apart")
	}
}

func BenchmarkEngine(b *testing.B) {
	body := `{"timestamp":"2026-11-20T18:31:59.886695+0000","flow_id":2119477998027652,"event_type":"flow","src_ip":"10.77.0.1","dest_ip":"10.77.0.2","proto":"ICMP","flow":{"pkts_toserver":1,"pkts_toclient":0,"bytes_toserver":3042}}`
	src := &source{n: b.N, batch: 60, body: func(int) string { return body }}
	bn := newBench(src, pass, pass)
	bn.out = nil
	bn.parts.Outputs[0] = discard{}
	bn.cfg.MaxInFlight = 8192
	bn.cfg.MaxInFlightBytes = 8 << 20
	e, err := New(bn.cfg, bn.parts)
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := e.Run(b.Context(), true); err != nil {
		b.Fatal(err)
	}
}

type discard struct{}

func (discard) Open(context.Context) error                          { return nil }
func (discard) Close() error                                        { return nil }
func (discard) Write(_ context.Context, batch []Event) (int, error) { return len(batch), nil }
