package luabind

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// attack is a file of testdata/attacks: a script, and in its header what it tries and what must happen.
//
//	Want: memory, timeout, instructions   the call fails with that reason; "a or b" allows either
//	      error                           the call fails like any faulty script
//	      ok                              the call succeeds
//	      replaced                        calls succeed, and after some of them the script is loaded anew
//	Where: setup, finish                  where it happens, in place of a call of loop()
//	Instructions, Calls, Peak             script_instructions; calls at most; growth of the heap at most
type attack struct {
	want         []string
	where        string
	instructions uint64
	calls        int
	peak         int64 // bytes
}

const (
	attackMemory  = 16 << 20
	attackTimeout = 200 * time.Millisecond
	patience      = time.Minute // of attacks that something else must end
)

var headerLine = regexp.MustCompile(`(?m)^-- (Want|Where|Instructions|Calls|Peak): (.*)$`)

func readAttack(t *testing.T, source string) attack {
	a := attack{calls: 1, peak: 160 << 20}
	for _, m := range headerLine.FindAllStringSubmatch(source, -1) {
		n, _ := strconv.Atoi(strings.TrimSuffix(m[2], " MiB"))
		switch m[1] {
		case "Want":
			a.want = strings.Split(m[2], " or ")
		case "Where":
			a.where = m[2]
		case "Instructions":
			a.instructions = uint64(n)
		case "Calls":
			a.calls = n
		case "Peak":
			a.peak = int64(n) << 20
		}
	}
	if len(a.want) == 0 || !strings.HasPrefix(source, "-- Tries: ") {
		t.Fatal("header lacks Tries or Want")
	}
	return a
}

func (a attack) expects(what string) bool {
	for _, w := range a.want {
		if w == what {
			return true
		}
	}
	return false
}

// timeout is short where it must end the attack, and long where something else must.
func (a attack) timeout() time.Duration {
	if a.expects("timeout") {
		return attackTimeout
	}
	return patience
}

// outcome names what happened to a call.
func outcome(err error) string {
	var se *engine.ScriptError
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &se):
		return "another error"
	case se.Memory:
		return "memory"
	case se.Timeout:
		return "timeout"
	case se.Instructions:
		return "instructions"
	}
	return "error"
}

// heapPeak watches the heap of the process.
type heapPeak struct {
	most atomic.Int64
	quit chan struct{}
	wg   sync.WaitGroup
}

func watchHeap() *heapPeak {
	p := &heapPeak{quit: make(chan struct{})}
	p.wg.Go(func() {
		sample, tick := heapSample(), time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.most.Store(max(p.most.Load(), readHeap(sample)))
			case <-p.quit:
				return
			}
		}
	})
	return p
}

func (p *heapPeak) end() int64 {
	close(p.quit)
	p.wg.Wait()
	return p.most.Load()
}

// bystander is a script that has nothing to do with the attack. It works until it is ended.
type bystander struct {
	handled atomic.Int64
	quit    chan struct{}
	ended   chan struct{} // closed when it has ended
	wg      sync.WaitGroup
	err     error // valid when it has ended
}

const bystanderScript = `
local counts = {}
function loop(e)
  local n = 0
  while n < 10 do n = n + 1 end
  counts[e.n % 100] = (counts[e.n % 100] or 0) + n
  dragonfly.output_event(default_output, {n = e.n, text = string.rep("y", 100)})
end`

func startBystander(t *testing.T, l *Loader, env engine.ScriptEnv) *bystander {
	t.Helper()
	p, err := l.Program("bystander.lua")
	if err != nil {
		t.Fatal(err)
	}
	var out engine.Results
	s, err := p.Load(env, &out)
	if err != nil {
		t.Fatal(err)
	}
	b := &bystander{quit: make(chan struct{}), ended: make(chan struct{})}
	b.wg.Go(func() {
		defer close(b.ended)
		defer s.Close()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			ev, _ := engine.NewEvent(fmt.Sprintf(`{"n":%d}`, n))
			out.Reset()
			if b.err = s.Handle(&ev, &out); b.err != nil || len(out.Emitted) != 1 {
				return
			}
			b.handled.Add(1)
			select {
			case <-tick.C:
			case <-b.quit:
				return
			}
		}
	})
	return b
}

// end ends the bystander and returns what went wrong for it.
func (b *bystander) end() error {
	before := b.handled.Load()
	deadline := time.Now().Add(patience)
	for b.handled.Load() == before && time.Now().Before(deadline) {
		select {
		case <-b.ended:
			deadline = time.Time{}
		case <-time.After(time.Millisecond):
		}
	}
	close(b.quit)
	b.wg.Wait()
	if b.err == nil && b.handled.Load() == before {
		return errors.New("it does nothing any more")
	}
	return b.err
}

// eventually waits for a condition.
func eventually(f func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if f() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	return readHeap(heapSample())
}

func TestAttacks(t *testing.T) {
	files, err := filepath.Glob("testdata/attacks/*.lua")
	if err != nil || len(files) < 30 {
		t.Fatalf("found %d attacks: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".lua"), func(t *testing.T) { runAttack(t, file) })
	}
}

func runAttack(t *testing.T, file string) {
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := readAttack(t, string(source))
	heap, goroutines := heapNow(), runtime.NumGoroutine()

	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "attack.lua"), source, 0o644)
	os.WriteFile(filepath.Join(dir, "bystander.lua"), []byte(bystanderScript), 0o644)
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if a.where == "setup" {
		l.setupTimeout = a.timeout()
	}
	var log parts.Log
	env := engine.ScriptEnv{Stage: "attack", DefaultOutput: "out", Timeout: a.timeout(), Memory: attackMemory, Instructions: a.instructions,
		Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	other := env
	other.Instructions, other.Timeout = 0, patience
	other.Router = &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}
	b := startBystander(t, l, other)
	peak := watchHeap()

	a.run(t, l, env, &log)

	if err := b.end(); err != nil {
		t.Errorf("the bystander failed: %v", err)
	}
	if most := peak.end(); most-heap > a.peak {
		t.Errorf("the heap grew by %s, more than %s", bytesText(most-heap), bytesText(a.peak))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if !eventually(func() bool { return runtime.NumGoroutine() <= goroutines }) {
		t.Errorf("%d goroutines, were %d", runtime.NumGoroutine(), goroutines)
	}
	if !eventually(func() bool { return heapNow()-heap < 8<<20 }) { // stacks shrink with every collection
		t.Errorf("the heap is larger by %s afterwards", bytesText(heapNow()-heap))
	}
}

// run carries out the attack and then lets the script handle a good event.
func (a attack) run(t *testing.T, l *Loader, env engine.ScriptEnv, log *parts.Log) {
	p, err := l.Program("attack.lua")
	var s engine.Script
	var out engine.Results
	if err == nil {
		s, err = p.Load(env, &out)
	}
	if a.where == "setup" {
		if got := outcome(err); !a.expects(got) {
			t.Errorf("loading it: got %s (%v), want %s", got, err, a.want)
		}
		if err == nil {
			s.Close()
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const replaced = "loaded anew before its next event"
	for n := range a.calls {
		out.Reset()
		if a.where == "finish" {
			err = s.Finish(&out)
		} else {
			ev, _ := engine.NewEvent(fmt.Sprintf(`{"n":%d,"id":%d,"attack":true}`, n, n))
			err = s.Handle(&ev, &out)
		}
		if err != nil || log.Count(replaced) > 0 {
			break
		}
	}
	got := outcome(err)
	if err == nil && log.Count(replaced) > 0 {
		got = "replaced"
	}
	if !a.expects(got) {
		t.Errorf("got %s (%v), want %s", got, err, a.want)
	}
	var se *engine.ScriptError
	if errors.As(err, &se) && (se.Msg == "" || a.where == "" && se.Line == 0) {
		t.Errorf("the error has no text or no line: %#v", se)
	}
	out.Reset()
	ev, _ := engine.NewEvent(`{"n":5}`)
	if err := s.Handle(&ev, &out); err != nil || len(out.Emitted) != 1 || out.Emitted[0].Body != `{"n":5}` {
		t.Errorf("a good event afterwards: %v, %d events", err, len(out.Emitted))
	}
	if anew := (log.Count("script loaded anew") > 0); anew != (got == "memory" || got == "replaced") {
		t.Errorf("loaded anew: %v after %s; log:\n%s", anew, got, log.String())
	}
}
