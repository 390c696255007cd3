package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine"
)

// rig runs an input over a directory and keeps what it emits.
type rig struct {
	t       *testing.T
	dir     string
	uri     string
	points  *engine.Checkpoints
	mu      sync.Mutex
	got     []string
	in      engine.Input
	cancel  context.CancelFunc
	ended   chan error
	hold    []func() // Done functions that are not called yet
	holding bool
	before  func() // called by emit first; may block
}

func newRig(t *testing.T, uri string) *rig {
	r := &rig{t: t, dir: t.TempDir(), uri: uri}
	r.points = r.open()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) open() *engine.Checkpoints {
	c, err := engine.OpenCheckpoints(filepath.Join(r.dir, ".checkpoints"))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) start() {
	r.t.Helper()
	opts := engine.Values{"max_line": int64(1 << 20), "poll": 10 * time.Millisecond, "checkpoint": true, "from": "end"}
	in, err := New(engine.Params{Tag: "eve", Address: r.uri, LogDir: r.dir, Options: opts, Checkpoints: r.points,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	r.in = in
	if err := in.(engine.Opener).Open(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- in.Run(ctx, r.emit) }()
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	if r.before != nil {
		r.before()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range b.Records {
		r.got = append(r.got, strings.Clone(rec.Body))
	}
	if b.Done != nil {
		if r.holding {
			r.hold = append(r.hold, b.Done)
		} else {
			b.Done()
		}
	}
	return nil
}

// stop ends the input; what is acked is saved.
func (r *rig) stop() {
	if r.in == nil {
		return
	}
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
	r.in.(engine.Closer).Close()
	r.in = nil
	if err := r.points.Save(); err != nil {
		r.t.Error(err)
	}
	r.points = r.open()
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) append(name string, lines ...string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(lines, "")); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) rename(from, to string) {
	r.t.Helper()
	if err := os.Rename(r.path(from), r.path(to)); err != nil {
		r.t.Fatal(err)
	}
}

// want waits until exactly these records have come, in this order.
func (r *rig) want(records ...string) {
	r.t.Helper()
	r.wait(func(got []string) bool { return len(got) >= len(records) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if got, want := strings.Join(r.got, " "), strings.Join(records, " "); got != want {
		r.t.Fatalf("got %q, want %q", got, want)
	}
}

func (r *rig) wait(ok func([]string) bool) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		r.mu.Lock()
		done := ok(r.got)
		r.mu.Unlock()
		if done {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.t.Fatalf("timed out; got %d records: %.300s", len(r.got), strings.Join(r.got, " "))
}

// settled waits until the input follows its file from its present end.
func (r *rig) settled() {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if len(r.points.Load("eve")) > 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	r.t.Fatal("the input does not follow anything")
}

func TestTailBeginsAtTheEnd(t *testing.T) {
	r := newRig(t, "eve.json")
	r.append("eve.json", "old\n")
	r.start()
	r.settled()
	r.append("eve.json", "a\n", "b\n")
	r.want("a", "b")
}

func TestTailBeginsAtTheStartWithSuffix(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "old\n")
	r.start()
	r.append("eve.json", "a\n")
	r.want("old", "a")
}

func TestTailWaitsForPartialLines(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "one\ntw")
	r.start()
	r.want("one")
	r.append("eve.json", "o\n")
	r.want("one", "two")
}

func TestTailReadsAFileThatAppearsLater(t *testing.T) {
	r := newRig(t, "eve.json")
	r.start()
	time.Sleep(30 * time.Millisecond) // it has looked and found nothing
	r.append("eve.json", "first\n")
	r.want("first")
}

func TestTailReadsADirectoryThatAppearsLater(t *testing.T) {
	r := newRig(t, "sub/eve.json")
	r.start()
	time.Sleep(30 * time.Millisecond)
	os.Mkdir(r.path("sub"), 0o755)
	r.append("sub/eve.json", "first\n")
	r.want("first")
}

func TestTailFollowsRename(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.rename("eve.json", "eve.json.1")
	r.append("eve.json.1", "late\n") // the writer has not noticed yet
	r.append("eve.json", "b\n")
	r.wait(func(got []string) bool { return len(got) == 3 })
	r.append("eve.json.1", "later\n")
	r.wait(func(got []string) bool { return len(got) == 4 })
}

func TestTailFollowsCopyTruncate(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "aaaaaaaa\n")
	r.start()
	r.want("aaaaaaaa")
	os.Truncate(r.path("eve.json"), 0)
	r.append("eve.json", "b\n")
	r.want("aaaaaaaa", "b")
}

func TestTailSeesTruncationThatGrewAgain(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "short\n")
	r.start()
	r.want("short")
	os.WriteFile(r.path("eve.json"), []byte("much longer than before\n"), 0o644) // same inode
	r.want("short", "much longer than before")
}

func TestTailSeesARecycledInode(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "old file, long enough\n")
	r.start()
	r.want("old file, long enough")
	r.stop()
	os.Remove(r.path("eve.json"))
	r.append("eve.json", "new file, with the same inode perhaps\n")
	r.start()
	r.want("old file, long enough", "new file, with the same inode perhaps")
}

func TestTailFollowsASymlinkThatMoves(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("a.log", "a\n")
	r.append("b.log", "b\n")
	os.Symlink("a.log", r.path("eve.json"))
	r.start()
	r.want("a")
	os.Symlink("b.log", r.path("eve.new"))
	r.rename("eve.new", "eve.json")
	r.want("a", "b")
}

func TestTailFollowsAGlob(t *testing.T) {
	r := newRig(t, "eve.*.json<")
	r.append("eve.1.json", "one\n")
	r.start()
	r.want("one")
	r.append("eve.2.json", "two\n")
	r.append("eve.3.json.gz", "packed\n")
	r.want("one", "two")
}

func TestTailResumes(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\nb\n")
	r.start()
	r.want("a", "b")
	r.stop()
	r.append("eve.json", "c\n")
	r.start()
	r.want("a", "b", "c")
}

func TestTailResumesWhereItIsAcked(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.mu.Lock()
	r.holding = true
	r.mu.Unlock()
	r.append("eve.json", "b\n")
	r.want("a", "b")
	r.stop()
	r.holding = false
	r.start()
	r.want("a", "b", "b")
}

func TestTailResumesInAFileRotatedWhileDown(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.stop()
	r.append("eve.json", "b\n")
	r.rename("eve.json", "eve.json.1")
	r.append("eve.json", "c\n")
	r.start()
	r.want("a", "b", "c")
}

func TestTailResumesAfterTwoRotationsWhileDown(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json.3", "read long ago\n")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.stop()
	base := time.Now()
	r.append("eve.json", "b\n")
	r.rename("eve.json", "eve.json.2")
	r.append("eve.json.1", "c\n")
	r.append("eve.json", "d\n")
	os.Chtimes(r.path("eve.json.3"), base, base.Add(-time.Hour))
	os.Chtimes(r.path("eve.json.2"), base, base.Add(time.Second))
	os.Chtimes(r.path("eve.json.1"), base, base.Add(2*time.Second))
	os.Chtimes(r.path("eve.json"), base, base.Add(3*time.Second))
	r.start()
	r.want("a", "b", "c", "d")
}

func TestTailSurvivesLostPermission(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	os.Chmod(r.path("eve.json"), 0)
	time.Sleep(30 * time.Millisecond)
	os.Chmod(r.path("eve.json"), 0o644)
	r.append("eve.json", "b\n")
	r.want("a", "b")
}

// TestTailLosesNothingWhileRotated writes numbered lines as fast as it can, rotates by renaming at random moments and
// restarts the input in between.
func TestTailLosesNothingWhileRotated(t *testing.T) {
	const lines = 20_000
	r := newRig(t, "eve.json<")
	r.append("eve.json", "")
	r.start()
	r.settled() // what was rotated away before an input first looked is unknown to it
	rng := rand.New(rand.NewPCG(11, 13))
	written := make(chan struct{})
	go func() {
		defer close(written)
		f, _ := os.OpenFile(r.path("eve.json"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		rotations := 0
		for i := range lines {
			fmt.Fprintf(f, "line %d\n", i)
			if rng.IntN(1500) == 0 {
				rotations++
				os.Rename(r.path("eve.json"), r.path(fmt.Sprintf("eve.json.%d", 1000-rotations)))
				if rng.IntN(2) == 0 {
					fmt.Fprintf(f, "line %d late\n", i)
				}
				f.Close()
				f, _ = os.OpenFile(r.path("eve.json"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			}
		}
		f.Close()
	}()
	pause := rand.New(rand.NewPCG(17, 19))
	for range 5 {
		time.Sleep(time.Duration(pause.IntN(20)) * time.Millisecond)
		r.stop()
		r.start()
	}
	<-written
	count := func(got []string) map[string]int {
		m := map[string]int{}
		for _, g := range got {
			m[g]++
		}
		return m
	}
	r.wait(func(got []string) bool {
		if len(got) < lines {
			return false
		}
		m := count(got)
		for i := range lines {
			if m[fmt.Sprintf("line %d", i)] == 0 {
				return false
			}
		}
		return true
	})
	r.stop()
	for line, n := range count(r.got) {
		if n != 1 {
			t.Errorf("%s came %d times", line, n)
		}
	}
}

func TestNewRefusesBadPaths(t *testing.T) {
	for _, uri := range []string{"", "/var/log/", "/var/*/eve.json", "/var/log/[.json"} {
		_, err := New(engine.Params{Address: uri, LogDir: "/tmp", Options: engine.Values{}})
		var ce *engine.ConfigError
		if !errors.As(err, &ce) {
			t.Errorf("%q: got %v", uri, err)
		}
	}
}
