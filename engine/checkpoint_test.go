package engine

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestCursorFollowsTheLowestUnacked(t *testing.T) {
	c := NewCheckpoints()
	cur := c.Cursor("in", Position{Offset: 10})
	a, b, d := cur.Track(20), cur.Track(30), cur.Track(40)
	b()
	if got := cur.Acked(); got != 10 {
		t.Errorf("got %d, want 10", got)
	}
	a()
	if got := cur.Acked(); got != 30 {
		t.Errorf("got %d, want 30", got)
	}
	cur.Track(50)
	cur.Untrack()
	d()
	if got := cur.Acked(); got != 40 {
		t.Errorf("got %d, want 40", got)
	}
}

func TestCursorInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	cur := NewCheckpoints().Cursor("in", Position{})
	var open []func()
	acked := map[int64]bool{}
	next, low := int64(0), int64(0)
	for range 5000 {
		if rng.IntN(2) == 0 || len(open) == 0 {
			next++
			n := next
			done := cur.Track(n)
			open = append(open, func() { done(); acked[n] = true })
		} else {
			i := rng.IntN(len(open))
			open[i]()
			open = append(open[:i], open[i+1:]...)
		}
		for acked[low+1] {
			low++
		}
		if got := cur.Acked(); got != low {
			t.Fatalf("got %d, want %d", got, low)
		}
	}
}

func TestCheckpointsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint.json")
	c, err := OpenCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	cur := c.Cursor("eve", Position{Path: "/a", Inode: 7, Fingerprint: "ff", FingerprintLen: 3})
	gone := c.Cursor("eve", Position{Path: "/b"})
	cur.Track(100)()
	cur.Finish()
	gone.Remove()
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if c, err = OpenCheckpoints(path); err != nil {
		t.Fatal(err)
	}
	want := Position{Path: "/a", Inode: 7, Fingerprint: "ff", FingerprintLen: 3, Offset: 100, Finished: true, Earlier: true}
	if got := c.Load("eve"); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := c.Save(); err != nil { // inputs that have not started keep their positions
		t.Fatal(err)
	}
	if c, _ = OpenCheckpoints(path); len(c.Load("eve")) != 1 {
		t.Error("the position of an input that did not run is lost")
	}
}

func TestDamagedCheckpointsAreKeptAside(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut": `{"version":1,"inp`, "future": `{"version":99,"inputs":{}}`, "other": "[]"} {
		path := filepath.Join(t.TempDir(), "checkpoint.json")
		os.WriteFile(path, []byte(text), 0o600)
		c, err := OpenCheckpoints(path)
		if err == nil || !strings.Contains(err.Error(), "checkpoint.json.damaged") || len(c.Load("eve")) != 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if kept, _ := os.ReadFile(path + ".damaged"); string(kept) != text {
			t.Errorf("%s: the damaged file is not kept", name)
		}
		c.Cursor("eve", Position{Path: "/a"})
		if err := c.Save(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func openCheckpoints(t *testing.T, path string) *Checkpoints {
	t.Helper()
	c, err := OpenCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func save(t *testing.T, c *Checkpoints) {
	t.Helper()
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointsWriteOnlyChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	c := openCheckpoints(t, path)
	c.Start("eve")
	cur := c.Cursor("eve", Position{Path: "/a"})
	save(t, c)
	os.Remove(path)
	save(t, c)
	if _, err := os.Stat(path); err == nil {
		t.Error("written without a change")
	}
	cur.Update(func(p *Position) { p.Path = "/b" })
	save(t, c)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestCursorMovesOverContiguousAcks acks in random order from several goroutines.
func TestCursorMovesOverContiguousAcks(t *testing.T) {
	c := NewCheckpoints()
	c.Start("eve")
	cur := c.Cursor("eve", Position{})
	const n = 5000
	dones := make([]func(), n)
	for i := range dones {
		dones[i] = cur.Track(int64(i+1) * 10)
	}
	first := dones[0]
	rest := dones[1:]
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < len(rest); i += 4 {
				rest[i]()
			}
		})
	}
	wg.Wait()
	if cur.Acked() != 0 {
		t.Errorf("moved to %d over a record that is not acked", cur.Acked())
	}
	cur.Remove()
	if len(c.Load("eve")) != 1 {
		t.Error("forgotten before everything was acked")
	}
	first()
	if cur.Acked() != n*10 {
		t.Errorf("got %d, want %d", cur.Acked(), n*10)
	}
	if got := c.Load("eve"); len(got) != 0 {
		t.Errorf("not forgotten: %v", got)
	}
}

// An input that ran and has nothing to remember is not new: what appears while it is down is read from its start.
func TestCheckpointsTellAnInputThatRanFromANewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	c := openCheckpoints(t, path)
	c.Start("eve")
	c.Cursor("eve", Position{Path: "/a"}).Remove()
	save(t, c)
	c = openCheckpoints(t, path)
	if got := c.Load("eve"); got == nil || len(got) != 0 {
		t.Errorf("got %#v, want an empty list", got)
	}
	if got := c.Load("new"); got != nil {
		t.Errorf("got %#v, want nil", got)
	}
}

// Until an input has made its cursors, a crash must find the old positions on disk.
func TestCheckpointsKeepPositionsThatAreNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	c := openCheckpoints(t, path)
	c.Start("eve")
	a, b := Position{Path: "/a", Inode: 1, Offset: 5}, Position{Path: "/b", Inode: 2, Offset: 7}
	c.Cursor("eve", a)
	c.Cursor("eve", b)
	save(t, c)
	c = openCheckpoints(t, path)
	c.Start("eve")
	c.Cursor("eve", a) // now it reads a for an hour
	save(t, c)
	if got := openCheckpoints(t, path).Load("eve"); len(got) != 2 {
		t.Errorf("got %v, want both positions", got)
	}
}

// Packed files have no inode: the cursor of one does not take the positions of the others away.
func TestCursorTakesOverItsOwnPositionOnly(t *testing.T) {
	c := NewCheckpoints()
	packed := func(print string) Position {
		return Position{Path: "/" + print + ".gz", Fingerprint: print, FingerprintLen: 3, Offset: 9}
	}
	for _, print := range []string{"aa", "bb"} {
		c.Cursor("eve", packed(print))
	}
	c.Cursor("eve", Position{Path: "/a", Inode: 7, Fingerprint: "cc", FingerprintLen: 3})
	c.Start("eve")
	c.Cursor("eve", packed("aa"))
	c.Cursor("eve", Position{Path: "/a", Inode: 7, Fingerprint: "dd", FingerprintLen: 5}) // it has grown
	var got []string
	for _, p := range c.Cut(nil).Inputs["eve"] {
		got = append(got, p.Fingerprint)
	}
	slices.Sort(got)
	if want := []string{"aa", "bb", "dd"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkCursor(b *testing.B) {
	cur := NewCheckpoints().Cursor("eve", Position{})
	b.ReportAllocs()
	end := int64(0)
	for b.Loop() {
		end++
		cur.Track(end)()
	}
}

// BenchmarkCursorBacklog acks in order with 8192 batches in flight.
func BenchmarkCursorBacklog(b *testing.B) {
	cur := NewCheckpoints().Cursor("eve", Position{})
	const backlog = 8192
	var dones [backlog]func()
	for i := range dones {
		dones[i] = cur.Track(int64(i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		dones[i%backlog]()
		dones[i%backlog] = cur.Track(int64(backlog + i))
		i++
	}
}
