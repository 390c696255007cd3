package engine

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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
	want := Position{Path: "/a", Inode: 7, Fingerprint: "ff", FingerprintLen: 3, Offset: 100, Finished: true}
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
