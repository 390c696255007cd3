package tail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
)

// rewrite changes the checkpoints on disk.
func (r *torture) rewrite(change func(p map[string]any)) {
	r.Helper()
	text, err := os.ReadFile(r.state)
	r.check(err)
	var f struct {
		Version int                         `json:"version"`
		Inputs  map[string][]map[string]any `json:"inputs"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a float64 cannot hold when a file was born
	r.check(d.Decode(&f))
	for _, p := range f.Inputs["eve"] {
		change(p)
	}
	text, err = json.Marshal(f)
	r.check(err)
	r.check(os.WriteFile(r.state, text, 0o600))
	r.points = r.open()
}

// damagedCheckpoint is a case with a checkpoint file that cannot be used: it is kept aside, that is told, and the input begins as
// if it had never run.
func damagedCheckpoint(text string) func(r *torture) {
	return func(r *torture) {
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.stop()
		r.check(os.WriteFile(r.state, []byte(text), 0o600))
		points, err := engine.OpenCheckpoints(r.state)
		if err == nil || !strings.Contains(err.Error(), "kept as checkpoint.json.damaged") {
			r.Errorf("got %v", err)
		}
		if kept, err := os.ReadFile(r.state + ".damaged"); err != nil || string(kept) != text {
			r.Errorf("kept %q, %v", kept, err)
		}
		r.points = points
		r.start()
		r.want(append(events(0, 3), events(0, 3)...)...)
		r.stop()
		r.append("eve.json", line(3))
		r.start()
		r.want(append(events(0, 3), events(0, 4)...)...)
	}
}

var restartCases = []tortureCase{
	// A file that got the inode of the one that was followed is read from its start.
	{"delete and recreate with the same inode while down", "", func(r *torture) {
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.stop()
		before, err := os.Stat(r.path("eve.json"))
		r.check(err)
		same := false
		for range 100 {
			r.check(os.Remove(r.path("eve.json")))
			r.append("eve.json", events(3, 10)...)
			now, err := os.Stat(r.path("eve.json"))
			r.check(err)
			if same = idOf(now) == idOf(before); same {
				break
			}
		}
		if !same { // this file system does not do it soon
			now, _ := os.Stat(r.path("eve.json"))
			r.rewrite(func(p map[string]any) { p["inode"] = idOf(now).ino })
		}
		r.start()
		r.want(events(0, 10)...)
	}},
	// The same if it begins alike and is longer: it was born at another time, and other bytes stand before the offset.
	{"same inode and same beginning", "", func(r *torture) {
		header := strings.Repeat("h", 1500) + "\n"
		r.append("eve.json", append([]string{header}, events(0, 3)...)...)
		r.start()
		r.want(append([]string{header}, events(0, 3)...)...)
		r.stop()
		r.check(os.Remove(r.path("eve.json")))
		r.append("eve.json", append([]string{header}, events(3, 10)...)...)
		now, err := os.Stat(r.path("eve.json"))
		r.check(err)
		r.rewrite(func(p map[string]any) {
			p["inode"] = idOf(now).ino
			delete(p, "born") // as on a file system that does not know
		})
		r.start()
		r.want(append([]string{header, header}, events(0, 10)...)...)
	}},
	{"checkpoint file that is empty", "", damagedCheckpoint("")},
	{"checkpoint file that is cut off", "", damagedCheckpoint(`{"version": 1, "inputs": {"eve": [{"path": "/v`)},
	{"checkpoint file of garbage", "", damagedCheckpoint("\x00\x00\xff garbage")},
	{"checkpoint file of a newer version", "", damagedCheckpoint(`{"version": 99, "inputs": {}}`)},
	// It is told; the input begins as if it had never run, and the next save takes the directory's place or tells that it cannot.
	{"checkpoint file that is a directory", "", func(r *torture) {
		r.check(os.Mkdir(r.state, 0o755))
		points, err := engine.OpenCheckpoints(r.state)
		if err == nil || !strings.Contains(err.Error(), "checkpoint.json") {
			r.Errorf("got %v", err)
		}
		r.points = points
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.halt()
		if err := r.save(); err != nil {
			r.Errorf("got %v, want the directory kept aside", err)
		}
		r.points = r.open()
		r.append("eve.json", line(3))
		r.start()
		r.want(events(0, 4)...)
	}},
	// It is told, and the file is not written over: the positions in it are still true when it can be read again.
	{"checkpoint file that cannot be read", "", func(r *torture) {
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.stop()
		text, err := os.ReadFile(r.state)
		r.check(err)
		r.check(os.Chmod(r.state, 0))
		os.Chmod(filepath.Dir(filepath.Dir(r.state)), 0o755)
		var points *engine.Checkpoints
		asOther(func() { points, err = engine.OpenCheckpoints(r.state) })
		if err == nil || !strings.Contains(err.Error(), "checkpoint.json") {
			r.Fatalf("got %v", err)
		}
		points.Cursor("eve", engine.Position{Path: "other"})
		if err := points.Save(); err == nil {
			r.Error("saved over a file that could not be read")
		}
		r.check(os.Chmod(r.state, 0o600))
		if now, _ := os.ReadFile(r.state); string(now) != string(text) {
			r.Errorf("got %s, want %s", now, text)
		}
	}},
	// The offset is beyond the end of the file: another file, or one that was truncated. It is read from its start, and told.
	{"file smaller than its checkpoint", "", func(r *torture) {
		r.append("eve.json", events(0, 30)...)
		r.start()
		r.want(events(0, 30)...)
		r.stop()
		r.truncate("eve.json", 0)
		r.append("eve.json", events(30, 35)...)
		r.start()
		r.want(events(0, 35)...)
		r.told("was truncated or rewritten while it was not followed")
		r.counted("files_truncated_total", 1)
	}},
	// A kill before the first regular save: what was written since the first start is not taken for old.
	{"killed at once after the first start", "eve.json", func(r *torture) {
		r.append("eve.json", "old\n")
		r.start()
		r.follows()
		r.until("saved", func() bool { _, err := os.Stat(r.state); return err == nil })
		r.kill()
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
	}},
	// Saving fails while the disk is full, and the last saved checkpoints stay; later it succeeds.
	{"no space for the checkpoint", "", func(r *torture) {
		r.needsRoot("to mount")
		dir := r.TempDir()
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
			r.Skipf("cannot mount: %v", err)
		}
		r.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
		r.state = filepath.Join(dir, "checkpoint.json")
		r.points = r.open()
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.check(r.save())
		filler, err := os.Create(filepath.Join(dir, "filler"))
		r.check(err)
		for err == nil {
			_, err = filler.Write(make([]byte, 4096))
		}
		filler.Close()
		r.append("eve.json", line(3))
		r.want(events(0, 4)...)
		if err := r.save(); err == nil {
			r.Fatal("saved on a full disk")
		}
		r.kill()
		r.start() // from the checkpoint that is there, whole
		r.want(append(events(0, 4), line(3))...)
		r.check(os.Remove(filepath.Join(dir, "filler")))
		r.stop()
		r.start()
		r.append("eve.json", line(4))
		r.want(append(events(0, 4), line(3), line(4))...)
	}},
}

// asOther runs do with the rights of another user on files, if the test is root's.
func asOther(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Getuid() == 0 {
			lockAsOther()
		}
		do()
	}()
	<-done
}

// TestKills kills the input 50 times at random moments, while a writer writes numbered lines and rotates by renaming, by
// copying and truncating, and packs what was rotated. Every line comes at least once; a line that comes twice was above
// the checkpoint that was saved.
func TestKills(t *testing.T) {
	for _, kind := range []string{"rename", "copytruncate", "mixed", "packed"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			testKills(t, kind, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func testKills(t *testing.T, kind string, rng *rand.Rand) {
	const kills = 50
	r := newTorture(t, "eve.json<")
	r.strict = true
	r.append("eve.json", line(0))
	r.start()
	r.want(line(0))
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	written := make(chan int, 1)
	dice := rand.New(rand.NewPCG(rng.Uint64(), 2))
	wg.Go(func() { written <- r.writeAndRotate(ctx, kind, dice) })
	for range kills {
		r.mu.Lock()
		r.lag = rng.IntN(4)
		n := len(r.got) + rng.IntN(300)
		r.mu.Unlock()
		r.until("some records", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.got) >= n
		})
		if rng.IntN(3) > 0 {
			if err := r.save(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // a random moment
		r.kill()
		r.start()
	}
	cancel()
	n := <-written
	seen := map[string]bool{}
	at := 0
	r.until("every line", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for r.lag = 0; len(r.owed) > 0; {
			r.ack()
		}
		for ; at < len(r.delivered); at++ {
			seen[r.delivered[at]] = true
		}
		return len(seen) >= n
	})
	for i := range n {
		if !seen[strings.TrimSpace(line(i))] {
			t.Errorf("line %d is lost", i)
		}
	}
	r.mu.Lock()
	t.Logf("%d lines, %d records; unpacked %d files, lost %d", n, len(r.got), r.count("files_unpacked_total"), r.count("files_lost_total"))
	r.mu.Unlock()
}

// writeAndRotate returns how many lines it wrote until ctx ended.
func (r *torture) writeAndRotate(ctx context.Context, kind string, rng *rand.Rand) int {
	n, rotations := 1, 0
	var plain []string
	for ctx.Err() == nil {
		many := 1 + rng.IntN(60)
		r.append("eve.json", events(n, n+many)...)
		n += many
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond) // a writer's pace
		if kind == "packed" && rng.IntN(8) > 0 || rng.IntN(4) > 0 {
			continue // packed files are read one after the other, so there must not be too many
		}
		rotations++
		name := fmt.Sprintf("eve.json.%d", 100_000-rotations)
		if kind == "copytruncate" || kind == "mixed" && rng.IntN(2) == 0 {
			r.copy("eve.json", name)
			r.truncate("eve.json", 0)
		} else {
			r.rename("eve.json", name)
			r.append("eve.json", "")
		}
		if plain = append(plain, name); kind == "packed" && len(plain) > 1 {
			r.pack(plain[0], []string{".gz", ".zst"}[rng.IntN(2)])
			plain = plain[1:]
		}
	}
	return n
}
