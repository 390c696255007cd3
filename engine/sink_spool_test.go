package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine/spool"
	"dragonfly/test/parts"
)

// spoolBench is a bench whose output has a spool in dir.
func spoolBench(t *testing.T, dir string, src *source) (*bench, *parts.Log) {
	b := newBench(src, pass, pass)
	j := &parts.Log{}
	b.parts.Log = slog.New(slog.NewTextHandler(j, nil))
	state, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	b.parts.State = state
	b.cfg.Outputs[0].Spool, b.cfg.Outputs[0].NoSync = 64<<20, true
	return b, j
}

// finish ends a run: everything is acked, the spool is given up.
func (b *bench) finish(t *testing.T) Account {
	t.Helper()
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Run(t.Context(), true); err != nil { // the time is not real: an outage may be long
		t.Fatal(err)
	}
	a := b.balance(t)
	if err := b.engine.Close(nil); err != nil {
		t.Error(err)
	}
	return a
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

// deliver runs until n events are delivered or dead-lettered.
func (b *bench) deliver(t *testing.T, n int) Account {
	t.Helper()
	b.source.endless = true
	if err := b.start(t); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(ctx, false) }()
	for i := 0; b.out.len()+b.dead.len() < n && i < 3600; i++ {
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	a := b.balance(t)
	if err := b.engine.Close(nil); err != nil {
		t.Error(err)
	}
	return a
}

func body(i int) string { return fmt.Sprintf(`{"n":%d,"key":"k%d"}`, i, i%7) }

// wantOrder wants the events from to to, each once, in order.
func wantOrder(t *testing.T, got []string, from, to int) {
	t.Helper()
	for i, g := range got {
		if from+i >= to || g != body(from+i) {
			t.Fatalf("event %d of %d: got %s, want %s", i, len(got), g, body(from+i))
		}
	}
	if len(got) != to-from {
		t.Fatalf("got %d events, want %d", len(got), to-from)
	}
}

var errDown = errors.New("the sink is down")

// down makes a sink fail from event n for d.
func down(n int, d time.Duration) func([]Event) (int, error) {
	seen, until := 0, time.Time{}
	return func(batch []Event) (int, error) {
		k := min(len(batch), max(n-seen, 0))
		if k == len(batch) || !until.IsZero() && time.Now().After(until) {
			seen += len(batch)
			return len(batch), nil
		}
		if until.IsZero() {
			until = time.Now().Add(d)
		}
		seen += k
		return k, errDown
	}
}

func TestSpoolIsNotUsedWhileTheSinkWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, j := spoolBench(t, dir, &source{n: 20_000, batch: 64})
		if a := b.finish(t); a.Delivered != 20_000 {
			t.Errorf("got %v", a)
		}
		wantOrder(t, b.out.bodies(), 0, 20_000)
		if files, _ := filepath.Glob(dir + "/spool/out/*"); len(files) > 0 || j.Count("spool") > 0 {
			t.Errorf("got %v, %s", files, j.String())
		}
	})
}

func TestSpoolTakesWhatAnOutageHoldsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{n: 30_000, batch: 64}
		b, j := spoolBench(t, t.TempDir(), src)
		b.cfg.Outputs[0].NoSync = false
		fail := down(5000, 3*time.Minute)
		allRead := false
		b.out.fail = func(batch []Event) (int, error) {
			n, err := fail(batch)
			if err != nil && src.acked.Load() == 30_000 { // while it is down everything was read and acked
				allRead = true
			}
			return n, err
		}
		if a := b.deliver(t, 30_000); a.Delivered != 30_000 || !allRead {
			t.Errorf("got %v, all read %v", a, allRead)
		}
		wantOrder(t, b.out.bodies(), 0, 30_000)
		if b.engine.sinks[3].delivered.Load() != 30_000 {
			t.Errorf("got %d delivered", b.engine.sinks[3].delivered.Load())
		}
		if j.Count("its events go to the spool") != 6 || j.Count("output works again") != 1 || j.Count("the spool is delivered") != 1 {
			t.Errorf("got %s", j.String())
		}
	})
}

func TestSpoolTakesWhatAHangingSinkHoldsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{n: 30_000, batch: 64}
		b, j := spoolBench(t, t.TempDir(), src)
		n := 0
		b.out.fail = func(batch []Event) (int, error) {
			if n++; n == 3 {
				for i := 0; src.acked.Load() < 30_000 && i < 1000; i++ {
					time.Sleep(10 * time.Second)
				}
			}
			return len(batch), nil
		}
		if a := b.finish(t); a.Delivered != 30_000 {
			t.Errorf("got %v", a)
		}
		wantOrder(t, b.out.bodies(), 0, 30_000)
		if j.Count("output is slow, its events go to the spool") != 1 {
			t.Errorf("got %s", j.String())
		}
	})
}

func TestSpoolIsDeliveredFirstAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, j := spoolBench(t, dir, &source{n: 5000, batch: 64})
		b.out.fail = down(1000, time.Hour)
		if a := b.finish(t); a.Delivered != 5000 || j.Count("events stay in the spool: they are delivered at the next start") != 1 {
			t.Errorf("got %v, %s", a, j.String())
		}
		first := b.out.bodies()
		wantOrder(t, first, 0, 1000)
		b, j = spoolBench(t, dir, &source{n: 100, batch: 10, body: func(i int) string { return body(5000 + i) }})
		b.finish(t)
		wantOrder(t, b.out.bodies(), 1000, 5100)
		if j.Count("the spool holds events: they are delivered first") != 1 || j.Count("the spool is delivered") != 1 {
			t.Errorf("got %s", j.String())
		}
	})
}

func TestSpoolSendsRefusedEventsToTheDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, _ := spoolBench(t, dir, &source{n: 3000, batch: 64})
		b.out.fail = down(0, time.Hour)
		b.finish(t)
		b, _ = spoolBench(t, dir, &source{n: 0, batch: 10})
		refused := &RejectError{errors.New("odd")}
		b.out.fail = func(batch []Event) (int, error) {
			for i := range batch {
				if strings.HasSuffix(batch[i].Body, `"k3"}`) {
					return i, refused
				}
			}
			return len(batch), nil
		}
		slow := 0
		b.dead.fail = func(batch []Event) (int, error) {
			if slow++; slow < 8 {
				return 0, errDown
			}
			return len(batch), nil
		}
		b.deliver(t, 3000)
		dead := b.dead.bodies()
		if len(dead) != 429 || len(b.out.bodies()) != 3000-429 {
			t.Fatalf("got %d dead letters and %d events", len(dead), len(b.out.bodies()))
		}
		if !strings.Contains(dead[1], `"origin":"in source offset 10","stage":"output out","reason":"rejected","error":"odd","event":{"n":10,"key":"k3"}}`) {
			t.Errorf("got %s", dead[1])
		}
		if left := spool.Waiting(b.parts.State); len(left) > 0 {
			t.Errorf("got %v left", left)
		}
	})
}

func TestFullSpoolSlowsTheInputDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{n: 60_000, batch: 64}
		b, j := spoolBench(t, t.TempDir(), src)
		b.cfg.Outputs[0].Spool = 1 << 20
		most := int64(0)
		fail := down(100, time.Minute)
		b.out.fail = func(batch []Event) (int, error) {
			n, err := fail(batch)
			if err != nil {
				most = max(most, src.acked.Load())
			}
			return n, err
		}
		b.deliver(t, 60_000)
		wantOrder(t, b.out.bodies(), 0, 60_000)
		if most < 5000 || most > 20_000 || j.Count("the spool is full: events wait") != 1 {
			t.Errorf("%d were acked during the outage: %s", most, j.String())
		}
	})
}

func TestDrainTimeoutLeavesTheSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, _ := spoolBench(t, dir, &source{n: 5000, batch: 64, endless: true})
		hung := make(chan struct{})
		b.out.fail = func(batch []Event) (int, error) { <-hung; return len(batch), nil }
		if err := b.start(t); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(10*time.Minute, func() { close(hung) }) // long after drain_timeout; the last batch does arrive
		if err := b.engine.Run(ctx, false); err != nil {
			t.Error(err)
		}
		b.balance(t)
		if err := b.engine.Close(nil); err != nil {
			t.Error(err)
		}
		first := b.out.bodies()
		wantOrder(t, first, 0, len(first))
		b, _ = spoolBench(t, dir, &source{n: 0, batch: 1})
		b.finish(t)
		wantOrder(t, b.out.bodies(), len(first), 5000)
	})
}

// TestSpoolChaos has a sink that fails, hangs, takes part of a batch, and refuses events, at random.
func TestSpoolChaos(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const events = 6000
	for i := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			rnd, rnd2 := rand.New(rand.NewPCG(seed, i)), rand.New(rand.NewPCG(seed, i+100))
			b, j := spoolBench(t, t.TempDir(), &source{n: events, batch: 1 + rnd.IntN(200)})
			b.cfg.Outputs[0].Spool = 1 << (20 + rnd.IntN(4))
			if i == 0 {
				b.cfg.DeadLetterSpool = 1 << 20
			}
			var refused []int
			b.out.fail = func(batch []Event) (int, error) {
				n := rnd.IntN(len(batch) + 1)
				switch rnd.IntN(10) {
				case 0:
					return n, errDown
				case 1:
					if n < len(batch) && rnd.IntN(4) == 0 {
						var k int
						fmt.Sscanf(batch[n].Body, `{"n":%d`, &k)
						refused = append(refused, k)
						return n, &RejectError{errors.New("no")}
					}
				case 2:
					time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond)
				case 3:
					time.Sleep(time.Duration(rnd.IntN(90)) * time.Millisecond)
					return n, nil
				}
				return len(batch), nil
			}
			b.dead.fail = func(batch []Event) (int, error) {
				if rnd2.IntN(3) == 0 {
					return rnd2.IntN(len(batch) + 1), errDown
				}
				return len(batch), nil
			}
			b.deliver(t, events)
			var want []string
			for n := range events {
				if !slices.Contains(refused, n) {
					want = append(want, body(n))
				}
			}
			if got := b.out.bodies(); !slices.Equal(got, want) || len(b.dead.bodies()) != len(refused) {
				t.Fatalf("got %d events and %d dead letters, want %d and %d\n%s", len(got), len(b.dead.bodies()), len(want), len(refused), j.String())
			}
		})
	}
}

func TestSpoolThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(dir+"/spool/out", 0o700); err != nil {
			t.Fatal(err)
		}
		other, err := os.Open(dir + "/spool/out") // fsck --repair is at it
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		b, j := spoolBench(t, dir, &source{n: 5000, batch: 64})
		time.AfterFunc(10*time.Second, func() { other.Close() })
		b.finish(t)
		wantOrder(t, b.out.bodies(), 0, 5000)
		if j.Count("another process uses this spool") != 1 || j.Count("output works again") != 1 {
			t.Errorf("got %s", j.String())
		}
	})
}

func TestSpoolOfARowThatIsGoneIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b, _ := spoolBench(t, dir, &source{n: 500, batch: 64})
		b.out.fail = down(0, time.Hour)
		b.finish(t)
		b, j := spoolBench(t, dir, &source{n: 0, batch: 64})
		b.cfg.Outputs[0].Spool = 0
		b.finish(t)
		if j.Count("a spool holds events of an output that has no spool in config.lua") != 1 || j.Count("dragonfly spool cat out") != 1 {
			t.Errorf("got %s", j.String())
		}
	})
}

// TestRefusedDeadLetterIsCutShort has a dead letter that takes only short entries, as a datagram socket does.
func TestRefusedDeadLetterIsCutShort(t *testing.T) {
	for _, spooled := range []int64{0, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			b, j := spoolBench(t, t.TempDir(), &source{n: 6, batch: 2, body: func(i int) string {
				return fmt.Sprintf(`[%d,"é%s"]`, i, strings.Repeat("é", 1000*i))
			}})
			b.cfg.DeadLetterSpool = spooled
			b.dead.fail = func(batch []Event) (int, error) {
				for i := range batch {
					if strings.Contains(batch[i].Body, "[5,") || len(batch[i].Body) > 2000 {
						return i, &RejectError{errors.New("too long")}
					}
				}
				return len(batch), nil
			}
			if a := b.finish(t); a.DeadLettered[ReasonNotObject] != 6 && a.DeadLettered[ReasonNotObject]+a.DeadLettered[ReasonRejected] != 6 {
				t.Errorf("got %v", a)
			}
			dead := b.dead.bodies()
			if len(dead) != 6 {
				t.Fatalf("got %q", dead)
			}
			for i, want := range []string{`"event":[0,"é"]}`, `"event":"[1,\"éé`, `"event":"[2,\"éé`, `"event":"[3,`, `"event":"[4,`, `"event":"","event_bytes":10008}`} {
				if !strings.Contains(dead[i], want) || i > 0 && !strings.HasSuffix(dead[i], fmt.Sprintf(`"event_bytes":%d}`, 2000*i+8)) {
					t.Errorf("got %s, want %s", dead[i], want)
				}
				if _, err := NewEvent(dead[i]); err != nil {
					t.Error(err)
				}
			}
			if j.Count("it is lost") != 0 {
				t.Errorf("got %s", j.String())
			}
		})
	}
}

func TestSpoolMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := spoolBench(t, t.TempDir(), &source{n: 500, batch: 64})
		text := ""
		fail := down(0, time.Minute)
		b.out.fail = func(batch []Event) (int, error) {
			n, err := fail(batch)
			if err != nil {
				var w strings.Builder
				b.engine.WriteMetrics(&w)
				text = w.String()
			}
			return n, err
		}
		b.deliver(t, 500)
		for _, want := range []string{`dragonfly_output_up{output="out"} 0`, `dragonfly_output_spool_events{output="out"} 500`,
			`dragonfly_output_spool_limit_bytes{output="out"} 67108864`, `dragonfly_output_spool_events_total{output="out"} 500`, `dragonfly_output_spool_lost_total{output="out"} 0`} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in %s", want, text)
			}
		}
	})
}
