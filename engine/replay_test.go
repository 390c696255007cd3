package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine/deadletter"
)

// newReplay returns a bench with a replay directory. Its input has no records.
func newReplay(t *testing.T, chain ...*goProgram) (*bench, string) {
	t.Helper()
	b := newBench(&source{batch: 1}, chain...)
	dir := filepath.Join(t.TempDir(), "replay")
	b.open(t, dir)
	return b, dir
}

func (b *bench) open(t *testing.T, dir string) {
	t.Helper()
	var err error
	if b.parts.Replay, err = OpenReplay(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.parts.Replay.Close() })
}

// request writes a request. Each item is "stage|event".
func request(t *testing.T, dir, name string, items ...string) {
	t.Helper()
	text := `{"version":1,"request":"` + name + `"}` + "\n"
	for _, it := range items {
		to, event, ok := strings.Cut(it, "|")
		if !ok {
			text += it + "\n"
			continue
		}
		e := deadletter.Entry{Time: time.Now(), Origin: "in source offset 7", Stage: to, Reason: ReasonScript, Error: "x", Event: event}
		text += fmt.Sprintf("{\"to\":%q,\"entry\":%s}\n", to, e.Append(nil))
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replayed returns the account of "replay" and checks that nothing is left of a request.
func (b *bench) replayed(t *testing.T, dir string) Account {
	t.Helper()
	for _, pattern := range []string{"*.json", "*.progress"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	return b.account(t)
}

func (b *bench) account(t *testing.T) Account {
	t.Helper()
	for _, a := range b.engine.Ledger() {
		if a.Input == "replay" {
			return a
		}
	}
	t.Fatalf("no account of replay: %v", b.engine.Ledger())
	return Account{}
}

func outcome(t *testing.T, dir, name string) deadletter.Outcome {
	t.Helper()
	q, err := deadletter.OpenRequests(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	o, ok, err := q.Result(name)
	if !ok || err != nil {
		t.Fatalf("no result: %v", err)
	}
	return o
}

func mark(name string) *goProgram {
	return &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		out.Emit(s.next, strings.Replace(ev.Body, "}", `,"`+name+`":1}`, 1), nil)
		return nil
	}}
}

func TestReplayEntersWhereItFailed(t *testing.T) {
	b, dir := newReplay(t, mark("f"), mark("a"), mark("b"))
	request(t, dir, "r", `filter in|{"n":1}`, `analyzer A1|{"n":2}`, `analyzer a2|{"n":3}`, `output out|{"n":4}`, `output out|7`)
	b.run(t)
	if a := b.replayed(t, dir); a.Read != 5 || a.Delivered != 5 || a.InFlight != 0 {
		t.Errorf("got %v", a)
	}
	got := b.out.bodies()
	slices.Sort(got)
	if want := []string{`7`, `{"n":1,"f":1,"a":1,"b":1}`, `{"n":2,"a":1,"b":1}`, `{"n":3,"b":1}`, `{"n":4}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := outcome(t, dir, "r"); o.Read != 5 || o.Delivered != 5 || o.Dead() != 0 || o.Time.IsZero() {
		t.Errorf("got %+v", o)
	}
}

func TestReplayThatFailsIsADeadLetterAgain(t *testing.T) {
	pick := &goProgram{loop: func(s *goScript, ev *Event, out *Results) error {
		switch ev.Body {
		case `{"raise":1}`:
			return &ScriptError{Script: "a.lua", Line: 3, Msg: "boom"}
		case `{"drop":1}`:
			return nil
		}
		out.Emit(s.next, ev.Body, ev.Index)
		return nil
	}}
	b, dir := newReplay(t, pass, pick)
	request(t, dir, "r", `analyzer a1|{"raise":1}`, `analyzer a1|{"drop":1}`, `analyzer a1|{"n":1}`, `analyzer gone|{"n":2}`, "output gone|\x00\xff", "analyzer a1|\x00\xff",
		"filter in|junk", "filter gone|{}", "nonsense|{}", "input in|{}", "no dead letter at all")
	b.run(t)
	if a := b.replayed(t, dir); a.Read != 11 || a.Delivered != 1 || a.Dropped != 1 || a.DeadLettered[ReasonScript] != 1 || a.DeadLettered[ReasonNoStage] != 5 || a.DeadLettered[ReasonMalformed] != 3 {
		t.Errorf("got %v", a)
	}
	found := map[string]string{}
	for _, text := range b.dead.bodies() {
		e, err := deadletter.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if e.Event != "no dead letter at all" && (e.Origin != "in source offset 7" || len(e.ReplayOf) != 12) {
			t.Errorf("got %+v", e)
		}
		found[e.Stage+"|"+e.Event] = e.Reason
	}
	if found["analyzer a1|\x00\xff"] != ReasonMalformed || found["output gone|\x00\xff"] != ReasonNoStage || found["analyzer a1|{\"raise\":1}"] != ReasonScript ||
		found["input replay|no dead letter at all"] != ReasonMalformed || len(found) != 9 {
		t.Errorf("got %q", found)
	}
	if o := outcome(t, dir, "r"); o.Read != 11 || o.Delivered != 1 || o.Dropped != 1 || o.Dead() != 9 {
		t.Errorf("got %+v", o)
	}
}

func many(n int) (items []string) {
	for i := range n {
		items = append(items, fmt.Sprintf(`analyzer a1|{"n":%d}`, i))
	}
	return items
}

func TestReplayGoesOnWhereAKilledEngineWas(t *testing.T) {
	const n = 3 * replayLen
	b, dir := newReplay(t, pass, pass)
	request(t, dir, "r", many(n)...)
	q, err := deadletter.OpenRequests(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	src, err := q.OpenRequest("r", 0)
	if err != nil {
		t.Fatal(err)
	}
	var end int64
	for range 300 {
		it, err := src.Next()
		if err != nil {
			t.Fatal(err)
		}
		end = it.End
	}
	src.Close()
	p := deadletter.Progress{Offset: end, Outcome: deadletter.Outcome{Read: 300, Delivered: 299, DeadLettered: map[string]int64{"script_error": 1}}}
	if err := q.SaveProgress("r", &p); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	if a := b.replayed(t, dir); a.Read != n-300 {
		t.Errorf("got %v", a)
	}
	if got := b.out.bodies(); len(got) != n-300 || got[0] != `{"n":300}` {
		t.Errorf("got %d events, the first %s", len(got), got[0])
	}
	if o := outcome(t, dir, "r"); o.Read != n || o.Delivered != n-1 || o.DeadLettered["script_error"] != 1 {
		t.Errorf("got %+v", o)
	}
}

func TestReplayIsFinishedByTheDrain(t *testing.T) {
	for _, n := range []int{10, 2 * replayLen} { // all of the request is in the batch on its way, or not
		b, dir := newReplay(t, pass, pass)
		b.source.endless = true
		b.cfg.DrainTimeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		var tries atomic.Int64
		b.out.fail = func(batch []Event) (int, error) {
			if tries.Add(1) == 1 {
				cancel() // the engine is told to end while the batch is on its way
				return 0, errors.New("away")
			}
			return len(batch), nil
		}
		request(t, dir, "r", many(n)...)
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.Run(ctx, false); err != nil {
			t.Fatal(err)
		}
		a := b.account(t)
		if a.InFlight != 0 || a.Read != a.Delivered {
			t.Errorf("got %v", a)
		}
		if n == 10 {
			b.replayed(t, dir)
			if o := outcome(t, dir, "r"); o.Delivered != 10 {
				t.Errorf("got %+v", o)
			}
			continue
		}
		first := b.out.bodies()
		b.out.fail = nil
		b.source = &source{batch: 1}
		b.parts.Inputs = []Input{b.source}
		b.run(t) // the next engine of the process
		if b.replayed(t, dir); len(b.out.bodies()) != n || len(first) == 0 || len(first) == n {
			t.Errorf("got %d events, %d of them from the first engine, want %d", len(b.out.bodies()), len(first), n)
		}
	}
}

func TestReplayWaitsForAnEngineThatHasTheDirectory(t *testing.T) {
	b, dir := newReplay(t, pass, pass)
	request(t, dir, "r", `analyzer a1|{"n":1}`)
	q, err := deadletter.OpenRequests(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	lock, err := q.Lock(deadletter.EngineLock)
	if err != nil {
		t.Fatal(err)
	}
	b.run(t)
	if got := b.out.bodies(); len(got) != 0 || !q.EngineRuns() {
		t.Errorf("got %q", got)
	}
	lock.Close()
	b.source = &source{batch: 1}
	b.parts.Inputs = []Input{b.source}
	b.run(t)
	if a := b.replayed(t, dir); a.Delivered != 1 || !q.EngineRuns() {
		t.Errorf("got %v", a)
	}
	b.parts.Replay.Close()
	if q.EngineRuns() {
		t.Error("the lock is not given back")
	}
}

func TestReplayTellsOfARequestThatCannotBeRead(t *testing.T) {
	b, dir := newReplay(t, pass, pass)
	os.WriteFile(filepath.Join(dir, "bad.json"), []byte("junk\n"), 0o600)
	request(t, dir, "good", `analyzer a1|{"n":1}`)
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	err := b.engine.Run(t.Context(), true)
	if err == nil || !strings.Contains(err.Error(), "bad.json") {
		t.Errorf("got %v", err)
	}
	if a := b.account(t); a.Delivered != 1 {
		t.Errorf("the other one was not replayed: %v", a)
	}
}

func TestReplaySavesItsProgressBeforeItGoesOn(t *testing.T) {
	b, dir := newReplay(t, pass, pass)
	request(t, dir, "r", many(2*replayLen)...)
	block := filepath.Join(dir, "r.progress.new") // a directory: the progress cannot be written
	if err := os.Mkdir(block, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err == nil {
		t.Error("no error")
	}
	if got := len(b.out.bodies()); got != replayLen {
		t.Errorf("got %d events without a progress on the disk, want %d", got, replayLen)
	}
	os.RemoveAll(block)
	b.source = &source{batch: 1}
	b.parts.Inputs = []Input{b.source}
	b.run(t)
	if b.replayed(t, dir); len(b.out.bodies()) != 2*replayLen {
		t.Errorf("got %d events, want each once: %d", len(b.out.bodies()), 2*replayLen)
	}
}
