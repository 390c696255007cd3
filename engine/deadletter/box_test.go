package deadletter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// newBox returns a box with n entries in its current file.
func newBox(t *testing.T, n int) *Box {
	t.Helper()
	dir := t.TempDir()
	q, err := OpenRequests(filepath.Join(dir, "replay"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	b := &Box{Path: filepath.Join(dir, "dead-letter.json"), Requests: q, Who: "tester"}
	put(t, b.Path, n, 0)
	return b
}

// put writes n entries, numbered from first.
func put(t *testing.T, path string, n, first int) {
	t.Helper()
	var text bytes.Buffer
	for i := range n {
		text.WriteString(numbered(first+i) + "\n")
	}
	write(t, path, text.String())
}

func numbered(i int) string { return line(entry(fmt.Sprintf(`{"n":%d}`, i))) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// events returns the events of the box with their status.
func (b *Box) events(t *testing.T) (list []string) {
	t.Helper()
	state, err := b.State()
	if err != nil {
		t.Fatal(err)
	}
	files, err := OpenFiles(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	err = files.Scan(func(f *Found) error {
		s, _ := state.Of(f.ID)
		list = append(list, f.Event+" "+string(s))
		return nil
	}, func(d Damage) error { list = append(list, "damaged"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// replay asks for the open entries whose event contains text.
func (b *Box) replayOpen(text string) (request string, n int, err error) {
	err = b.Change(func() error { return nil }, func() error {
		state, err := b.State()
		if err != nil {
			return err
		}
		request, n, err = b.Replay(func(add func(string, *Found) error) error {
			files, err := OpenFiles(b.Path)
			if err != nil {
				return err
			}
			defer files.Close()
			return files.Scan(func(f *Found) error {
				if s, _ := state.Of(f.ID); s != Open || !strings.Contains(f.Event, text) {
					return nil
				}
				return add(f.Stage, f)
			}, func(Damage) error { return nil })
		})
		return err
	})
	return request, n, err
}

func (b *Box) drop(t *testing.T, numbers ...int) {
	t.Helper()
	var ids []ID
	for _, i := range numbers {
		ids = append(ids, IDOf(numbered(i)))
	}
	if err := b.Change(func() error { return nil }, func() error { return b.Drop(ids) }); err != nil {
		t.Fatal(err)
	}
}

func items(t *testing.T, q *Requests, request string) (list []string) {
	t.Helper()
	r, err := q.OpenRequest(request, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		it, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, it.To+" "+it.Event)
	}
}

func TestBoxLifeOfAReplay(t *testing.T) {
	b := newBox(t, 3)
	request, n, err := b.replayOpen(`"n":1`)
	if err != nil || n != 1 {
		t.Fatalf("got %d, %v", n, err)
	}
	want(t, items(t, b.Requests, request), `analyzer a {"n":1}`)
	want(t, b.events(t), `{"n":0} open`, `{"n":1} pending`, `{"n":2} open`)
	if _, ok, err := b.Outcome(request); ok || err != nil {
		t.Errorf("an outcome before it is finished: %v", err)
	}
	if err := b.Requests.Finish(request, &Outcome{Time: at, Read: 1, Delivered: 1}); err != nil {
		t.Fatal(err)
	}
	want(t, b.events(t), `{"n":0} open`, `{"n":1} replayed`, `{"n":2} open`)
	b.drop(t, 2) // takes the result into the index
	for range 2 {
		if o, ok, err := b.Outcome(request); !ok || err != nil || o.Delivered != 1 {
			t.Errorf("got %+v, %v, %v", o, ok, err)
		}
	}
	want(t, b.events(t), `{"n":0} open`, `{"n":1} replayed`, `{"n":2} dropped`)
	if names, _ := os.ReadDir(b.Requests.Dir()); len(names) != 1 || names[0].Name() != CommandLock {
		t.Errorf("left behind: %v", names)
	}
	if request, n, err := b.replayOpen("nothing has this"); request != "" || n != 0 || err != nil {
		t.Errorf("got %q, %d, %v", request, n, err)
	}
}

func TestBoxCommandKilledAtAnyMoment(t *testing.T) {
	begin := func(b *Box, marks int) string {
		request := requestName()
		w, err := b.Requests.begin(request)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := w.add("analyzer a", numbered(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.sync(); err != nil {
			t.Fatal(err)
		}
		err = appendNotes(b.Path, func(add func(note)) {
			for i := range marks {
				add(note{Time: at, Verb: verbReplay, ID: IDOf(numbered(i)).Full(), Request: request})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return request
	}
	for marks := range 3 { // killed before the request was handed over: nothing has happened
		b := newBox(t, 3)
		b.drop(t, 1)
		begin(b, marks)
		text := read(t, b.Path+IndexSuffix)
		write(t, b.Path+IndexSuffix, text+`{"time":"2026-11-21T13:00:00Z","verb":"rep`) // and in the middle of a mark
		want(t, b.events(t), `{"n":0} open`, `{"n":1} dropped`, `{"n":2} open`)
		if list, _ := b.Requests.Pending(); len(list) != 0 {
			t.Errorf("%d marks: the engine sees %v", marks, list)
		}
		request, n, err := b.replayOpen("")
		if err != nil || n != 2 {
			t.Errorf("%d marks: got %d, %v", marks, n, err)
		}
		want(t, items(t, b.Requests, request), `analyzer a {"n":0}`, `analyzer a {"n":2}`)
		want(t, b.events(t), `{"n":0} pending`, `{"n":1} dropped`, `{"n":2} pending`)
		if parts, _ := b.Requests.names(partSuffix); len(parts) != 0 {
			t.Errorf("left behind: %v", parts)
		}
	}
	b := newBox(t, 3) // killed when it was handed over: all has happened
	request := begin(b, 2)
	if err := b.Requests.root.Rename(request+partSuffix, request+requestSuffix); err != nil {
		t.Fatal(err)
	}
	if _, n, err := b.replayOpen(""); err != nil || n != 1 {
		t.Errorf("got %d, %v", n, err)
	}
	want(t, b.events(t), `{"n":0} pending`, `{"n":1} pending`, `{"n":2} pending`)
}

func TestBoxEngineKilledWhileItFinishes(t *testing.T) {
	b := newBox(t, 1)
	request, _, err := b.replayOpen("")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Requests.write(request+resultSuffix, &Outcome{Read: 1, Delivered: 1}); err != nil { // but R.json is still there
		t.Fatal(err)
	}
	b.drop(t) // no command may take the result yet
	want(t, b.events(t), `{"n":0} pending`)
	if err := b.Requests.Finish(request, &Outcome{}); err != nil {
		t.Fatal(err)
	}
	if o, ok, err := b.Outcome(request); !ok || err != nil || o.Delivered != 1 {
		t.Errorf("got %+v, %v, %v", o, ok, err)
	}
}

func TestBoxCommandsAtTheSameTimeTakeEachEntryOnce(t *testing.T) {
	b := newBox(t, 200)
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for i := range 8 {
		wg.Go(func() {
			other, err := OpenRequests(b.Requests.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			defer other.Close()
			mine := &Box{Path: b.Path, Requests: other}
			var request string
			for {
				if request, _, err = mine.replayOpen([]string{"", "1", "2", `"n":3`}[i%4]); !errors.Is(err, ErrBusy) {
					break
				}
			}
			if err != nil || request == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, it := range items(t, other, request) {
				got[it]++
			}
		})
	}
	wg.Wait()
	if len(got) != 200 {
		t.Errorf("%d entries were taken, want 200", len(got))
	}
	for it, n := range got {
		if n != 1 {
			t.Errorf("%s was taken %d times", it, n)
		}
	}
}

func TestBoxReplayThatFailsChangesNothing(t *testing.T) {
	b := newBox(t, 2)
	if err := os.Mkdir(b.Path+IndexSuffix, 0o755); err != nil { // the index cannot be written
		t.Fatal(err)
	}
	if _, _, err := b.replayOpen(""); err == nil {
		t.Error("no error")
	}
	if list, _ := b.Requests.Pending(); len(list) != 0 {
		t.Errorf("the engine sees %v", list)
	}
	os.Remove(b.Path + IndexSuffix)
	if _, n, err := b.replayOpen(""); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestRequestWithDamage(t *testing.T) {
	b := newBox(t, 1)
	q := b.Requests
	write(t, filepath.Join(q.Dir(), "r.json"), `{"version":1,"request":"r"}`+"\n"+`{"to":"analyzer a","entry":`+numbered(1)+"}\njunk\n"+`{"to":"x","entry":{}}`+"\n"+`{"to":7,"entry":`+numbered(2)+"}\n")
	want(t, items(t, q, "r"), `analyzer a {"n":1}`, " junk", ` {"to":"x","entry":{}}`, ` {"to":7,"entry":`+numbered(2)+"}")
	for _, text := range []string{"", "junk\n", `{"version":2}` + "\n", `{}` + "\n"} {
		write(t, filepath.Join(q.Dir(), "r.json"), text)
		if r, err := q.OpenRequest("r", 0); err == nil {
			r.Close()
			t.Errorf("%q: no error", text)
		}
	}
	write(t, filepath.Join(q.Dir(), "r.progress"), `{"offset":1`)
	if _, err := q.Progress("r"); err == nil {
		t.Error("a damaged progress is no error")
	}
}

func TestOpenFilesFindsRotatedSiblingsOnce(t *testing.T) {
	b := newBox(t, 1)
	put(t, b.Path+".20261120.130000", 1, 1)
	put(t, b.Path+".20261120.130000-2", 1, 3)
	put(t, b.Path+".20261120.130000-10", 1, 4)
	put(t, b.Path+".20261119.000000", 1, 5)
	pack(t, b.Path+".20261120.130000-1.gz", numbered(2)+"\n")
	pack(t, b.Path+".20261119.000000.gz", numbered(5)+"\n") // being packed
	put(t, b.Path+".1", 1, 6)
	old := time.Now().Add(-time.Hour)
	os.Chtimes(b.Path+".1", old, old)
	for _, other := range []string{".done", ".20261120.130000.gz.part", ".part", "x", ".bak", ".20261120"} {
		if other != ".20261120" {
			put(t, b.Path+other, 1, 7)
		}
	}
	os.Link(b.Path, b.Path+".20261121.000000") // in the middle of a rotation
	os.Remove(b.Path + IndexSuffix)
	got := b.events(t)
	if len(got) != 7 {
		t.Errorf("got %q", got)
	}
	slices.Sort(got)
	want(t, slices.Compact(got), `{"n":0} open`, `{"n":1} open`, `{"n":2} open`, `{"n":3} open`, `{"n":4} open`, `{"n":5} open`, `{"n":6} open`)
	if got := (&Box{Path: filepath.Join(t.TempDir(), "none")}).events(t); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func TestOpenFilesWhileTheyAreRotated(t *testing.T) {
	b := newBox(t, 5)
	const rotations = 150
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range rotations {
			if err := os.Rename(b.Path, fmt.Sprintf("%s.20261121.%06d", b.Path, i)); err != nil {
				t.Error(err)
			}
			put(t, b.Path, 1, 5+i)
		}
	}()
	n := 5 // entries that were there; grows
	for last := false; ; {
		select {
		case <-ended:
			last = true
		default:
		}
		seen := map[string]bool{}
		for _, e := range b.events(t) {
			if seen[e] {
				t.Fatalf("%s came twice", e)
			}
			seen[e] = true
		}
		if len(seen) < n {
			t.Fatalf("got %d entries, there were %d before", len(seen), n)
		}
		if n = len(seen); last {
			break
		}
	}
	if n != 5+rotations {
		t.Errorf("got %d entries, want %d", n, 5+rotations)
	}
}

func pack(t *testing.T, path, text string) {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, text)
	z.Close()
	write(t, path, packed.String())
}

func TestFilterSelects(t *testing.T) {
	e := entry(`{"host":"a.test"}`)
	id := IDOf("x")
	e.ID = id
	for _, f := range []Filter{{}, {Reason: "script_error"}, {Stage: "analyzer a"}, {Stage: "A"}, {Input: "Eve"}, {Text: "a.test"}, {Text: "a.lua:2"}, {Status: Open},
		{Since: at}, {Until: at.Add(1)}, {IDs: map[ID]bool{id: true}}} {
		if !f.Match(e, Open) {
			t.Errorf("%+v does not match", f)
		}
	}
	for _, f := range []Filter{{Reason: "script"}, {Stage: "filter a"}, {Stage: "b"}, {Input: "e"}, {Text: "b.test"}, {Status: Dropped}, {Since: at.Add(1)},
		{Until: at}, {IDs: map[ID]bool{}}, {Reason: "script_error", Stage: "b"}} {
		if f.Match(e, Open) {
			t.Errorf("%+v matches", f)
		}
	}
}

func TestResolveIDs(t *testing.T) {
	b := newBox(t, 3000)
	files, err := OpenFiles(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	id := IDOf(numbered(7))
	if ids, err := files.Resolve([]string{id.String(), strings.ToUpper(id.Full())}); err != nil || len(ids) != 1 || !ids[id] {
		t.Errorf("got %v, %v", ids, err)
	}
	first := map[string]int{}
	for i := range 3000 {
		p := IDOf(numbered(i)).Full()[:4]
		if j, ok := first[p]; ok {
			if _, err := files.Resolve([]string{p}); err == nil || !strings.Contains(err.Error(), "entries: give more of its digits") {
				t.Errorf("%s means %d and %d: %v", p, i, j, err)
			}
			break
		}
		first[p] = i
	}
	for _, bad := range []string{"", "123", "xyz1", "ffffffffffff0"} {
		if _, err := files.Resolve([]string{bad}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
