package tail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"dragonfly/engine"
)

// A full pipeline holds up the reader while the file is truncated and grows beyond where it was.
func TestTailSeesTruncationWhileThePipelineIsFull(t *testing.T) {
	r := newRig(t, "eve.json<")
	for i := range 4000 { // several chunks
		r.append("eve.json", fmt.Sprintf("old %d %s\n", i, strings.Repeat("o", 100)))
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	r.before = func() {
		r.before = nil
		close(blocked)
		<-release
	}
	r.start()
	<-blocked
	os.Truncate(r.path("eve.json"), 0)
	var all strings.Builder
	for i := range 8000 {
		fmt.Fprintf(&all, "new %d %s\n", i, strings.Repeat("n", 100))
	}
	r.append("eve.json", all.String())
	time.AfterFunc(20*time.Millisecond, func() { close(release) }) // long enough to be noticed as full
	count := func(got []string) (n int) {
		for _, g := range got {
			if strings.HasPrefix(g, "new ") {
				n++
			}
		}
		return n
	}
	r.wait(func(got []string) bool { return count(got) >= 8000 })
	r.append("eve.json", "new last\n")
	r.wait(func(got []string) bool { return got[len(got)-1] == "new last" })
	if n := count(r.got); n != 8001 {
		t.Errorf("got %d new records, want 8001", n)
	}
}

// An input that ran is not new, even if it followed nothing when it ended.
func TestTailReadsFromTheStartWhatAppearedWhileDown(t *testing.T) {
	r := newRig(t, "eve.json")
	r.append("eve.json", "old\n")
	r.start()
	r.settled()
	r.stop()
	os.Remove(r.path("eve.json"))
	r.points.Start("eve") // as when the grace is over
	r.points.Settle("eve")
	if err := r.points.Save(); err != nil {
		t.Fatal(err)
	}
	r.points = r.open()
	r.append("eve.json", "new\n")
	r.start()
	r.want("new")
}

// The unread end of a file that was copied and truncated while nobody looked is in the copy.
func TestTailResumesInTheCopyAfterCopyTruncateWhileDown(t *testing.T) {
	r := newRig(t, "eve.json<")
	first := strings.Repeat("a", 200)
	r.append("eve.json", first+"\n")
	r.start()
	r.want(first)
	r.stop()
	r.append("eve.json", "b\n")
	text, _ := os.ReadFile(r.path("eve.json"))
	os.WriteFile(r.path("eve.json.1"), text, 0o644)
	os.Truncate(r.path("eve.json"), 0)
	r.append("eve.json", "c\n")
	r.start()
	r.want(first, "b", "c")
}

// A reader that lags behind goes on in the copy.
func TestTailReadsTheCopyAfterCopyTruncateWhileThePipelineIsFull(t *testing.T) {
	r := newRig(t, "eve.json<")
	var all strings.Builder
	want := map[string]bool{}
	for i := range 4000 {
		fmt.Fprintf(&all, "old %d %s\n", i, strings.Repeat("o", 100))
		want[fmt.Sprintf("old %d %s", i, strings.Repeat("o", 100))] = true
	}
	r.append("eve.json", all.String())
	blocked, release := make(chan struct{}), make(chan struct{})
	r.before = func() {
		r.before = nil
		close(blocked)
		<-release
	}
	r.start()
	<-blocked
	os.WriteFile(r.path("eve.json.1"), []byte(all.String()), 0o644)
	os.Truncate(r.path("eve.json"), 0)
	r.append("eve.json", "new\n")
	want["new"] = true
	time.AfterFunc(20*time.Millisecond, func() { close(release) }) // long enough to be noticed as full
	r.wait(func(got []string) bool { return len(got) >= 4001 })
	for _, g := range r.got {
		if !want[g] {
			t.Fatalf("got %q twice or wrongly", g)
		}
		delete(want, g)
	}
}

// Files beside the followed one whose names only begin alike are somebody else's, perhaps our own output.
func TestTailLeavesForeignSiblingsAlone(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.append("eve.json.enriched", "foreign\n")
	r.append("eve-alerts.json", "foreign\n")
	later := time.Now().Add(time.Hour)
	os.Chtimes(r.path("eve.json.enriched"), later, later)
	os.Chtimes(r.path("eve-alerts.json"), later, later)
	r.rename("eve.json", "eve.json.1")
	r.append("eve.json", "b\n")
	r.wait(func(got []string) bool { return len(got) >= 2 })
	r.append("eve.json", "c\n")
	r.want("a", "b", "c")
}

func TestRotatedKnowsRotatedNames(t *testing.T) {
	for name, want := range map[string]bool{"eve.json.1": true, "eve.json-20261120": true, "eve.json-20261120-1763623200": true, "eve.json.2026-11-20T10:00:00Z": true,
		"eve-20261120.json": true, "eve.json": true, "eve.json.enriched": false, "eve-alerts.json": false, "eve.json.1.tmp": false, "eve.json.old": false} {
		if got := rotated("eve.json", name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestTailFollowsADirectoryThatIsMadeAnew(t *testing.T) {
	r := newRig(t, "sub/eve.json<")
	os.Mkdir(r.path("sub"), 0o755)
	r.append("sub/eve.json", "a\n")
	r.start()
	r.want("a")
	os.RemoveAll(r.path("sub"))
	os.Mkdir(r.path("sub"), 0o755)
	r.append("sub/eve.json", "b\n")
	r.want("a", "b")
}

// fsnotify stops while nobody takes its errors.
func TestTailTakesTheWatchersErrors(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	for range 3 {
		select {
		case r.in.(*input).watcher.Errors <- fsnotify.ErrEventOverflow:
		case <-time.After(60 * time.Second):
			t.Fatal("nobody takes the watcher's errors")
		}
	}
	r.append("eve.json", "b\n")
	r.want("a", "b")
}

func TestTailGoesOnInTheNextRun(t *testing.T) {
	r := newRig(t, "eve.json<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	r.append("eve.json", "b\n")
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.in.Run(ctx, r.emit) }()
	r.want("a", "b")
}

func TestTailUpdatesThePathOfARenamedFile(t *testing.T) {
	r := newRig(t, "eve.*<")
	r.append("eve.json", "a\n")
	r.start()
	r.want("a")
	r.rename("eve.json", "eve.old")
	r.append("eve.old", "b\n")
	r.want("a", "b")
	r.stop()
	if got := r.points.Load("eve"); len(got) != 1 || got[0].Path != r.path("eve.old") {
		t.Errorf("got %+v, want the present path", got)
	}
}

// BenchmarkTail reads a file of 525-byte lines.
func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	const lines = 200_000
	line := strings.Repeat("x", 524) + "\n"
	if err := os.WriteFile(dir+"/eve.json", []byte(strings.Repeat(line, lines)), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		in, err := New(engine.Params{Tag: "eve", Address: dir + "/eve.json<", Checkpoints: engine.NewCheckpoints(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Options: engine.Values{"max_line": int64(1 << 20), "poll": 10 * time.Millisecond, "checkpoint": true}})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		n := 0
		in.Run(ctx, func(_ context.Context, batch engine.Batch) error {
			if n += len(batch.Records); n == lines {
				cancel()
			}
			batch.Done()
			return nil
		})
		in.(engine.Closer).Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}
