package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openRoot(t *testing.T) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// filled returns a state directory with a spool of n events in segments of 1 KiB.
func filled(t *testing.T, n int) (state *os.Root, dir string) {
	t.Helper()
	state = openRoot(t)
	s, err := Open(state, "Out", Options{Limit: 1 << 20, Segment: 1024, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if k, err := s.Append([]Entry{{Body: fmt.Sprintf(`{"n":%d}`, i), Origin: "in"}}); k != 1 || err != nil {
			t.Fatal(k, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return state, filepath.Join(state.Name(), "spool/out")
}

func cat(t *testing.T, state *os.Root) (*Report, []string) {
	t.Helper()
	var got []string
	r, err := Check(state, "out", func(e Entry) error { got = append(got, e.Body); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return r, got
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckAndRepair(t *testing.T) {
	state, dir := filled(t, 100)
	if r, got := cat(t, state); len(got) != 100 || len(r.Problems) > 0 || r.Events != 100 || r.Position != 1 {
		t.Fatalf("got %d events, %+v", len(got), r)
	}
	if done, err := Repair(state, "out"); err != nil || done != nil {
		t.Errorf("a sound spool was repaired: %v, %v", done, err)
	}
	segments, _ := filepath.Glob(dir + "/*.seg")
	flip(t, segments[1], headerLen+frameLen+3)                         // a body
	flip(t, segments[2], 9)                                            // the header
	os.Remove(segments[3])                                             // in the middle
	os.WriteFile(dir+"/000000000999.seg", []byte("nothing"), 0o600)    // no segment
	os.WriteFile(dir+"/position", bytes.Repeat([]byte{7}, 600), 0o600) // no position
	r, got := cat(t, state)
	perSegment := int(r.Segments[0].Events)
	want := 100 - 1 - perSegment
	if len(got) != want || r.Lost != int64(100-want) || len(r.Problems) < 5 {
		t.Fatalf("got %d events, want %d: %+v", len(got), want, r)
	}
	done, err := Repair(state, "out")
	if err != nil || len(done) < 5 {
		t.Fatalf("got %v, %v", done, err)
	}
	r, after := cat(t, state)
	if len(r.Problems) > 0 || !slices.Equal(after, got) || len(r.Aside) < 4 {
		t.Errorf("after the repair: %+v, %d events", r, len(after))
	}
	s, err := Open(state, "out", Options{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Read(1000, 1<<20); len(got) != want || s.Stats().Lost != 0 {
		t.Errorf("got %d events, %+v", len(got), s.Stats())
	}
}

func TestSpoolIsOfOneProcess(t *testing.T) {
	state, _ := filled(t, 10)
	s, err := Open(state, "out", Options{Limit: 1 << 20, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(state, "OUT", Options{Limit: 1 << 20}); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if _, err := Repair(state, "out"); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if r, got := cat(t, state); !r.Running || len(got) != 10 || len(r.Problems) > 0 {
		t.Errorf("got %+v", r)
	}
	s.Read(4, 1<<20)
	s.Ack(3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r, got := cat(t, state); r.Running || len(got) != 7 {
		t.Errorf("got %+v", r)
	}
}

func TestSpoolIsFull(t *testing.T) {
	s, err := Open(openRoot(t), "x", Options{Limit: 4096, Segment: 1024, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	list := make([]Entry, 100)
	for i := range list {
		list[i].Body = strings.Repeat("x", 100)
	}
	n, err := s.Append(list)
	if !errors.Is(err, ErrFull) || n < 20 || n > 30 || s.Stats().Bytes > 4096 {
		t.Fatalf("got %d, %v, %+v", n, err, s.Stats())
	}
	if k, err := s.Append([]Entry{{Body: strings.Repeat("x", 5000)}}); k != 0 || !errors.Is(err, ErrFull) {
		t.Errorf("got %d, %v", k, err)
	}
	for _, e := range s.Read(n, 1<<20) {
		s.Ack(e.ID)
	}
	if k, err := s.Append(list[:20]); k != 20 || err != nil {
		t.Errorf("got %d, %v", k, err)
	}
}

func TestNames(t *testing.T) {
	for _, tag := range []string{"out", "a b", "../x", ".", "..", "dé/x", strings.Repeat("long/", 100), DeadLetter, "@dead-letter ", "%41"} {
		name := Name(tag)
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\ ") || len(name) > 200 || name[0] == '.' {
			t.Errorf("%q: got %q", tag, name)
		}
		if got := Tag(name); Name(got) != name && len(tag) < 100 {
			t.Errorf("%q: got the tag %q", tag, got)
		}
	}
}

// FuzzReader reads any bytes as a segment: it ends, returns no frame that was not written, and finds what was.
func FuzzReader(f *testing.F) {
	seed := appendHeader(nil, 3, 5)
	for i := range 4 {
		seed = appendFrame(seed, 3, uint64(5+i), kindEvent, &Entry{Body: fmt.Sprintf(`{"n":%d}`, i), Origin: "in"})
	}
	f.Add(seed, 50)
	f.Add(seed[:len(seed)-3], 0)
	f.Add(bytes.Repeat(frameMagic, 100), 7)
	whole := appendFrame(nil, 3, 77, kindEvent, &Entry{Body: `{"whole":true}`, Origin: "o"})
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if len(b) < headerLen {
			return
		}
		parseHeader(b, 3)
		parseSlots(b)
		at = headerLen + max(at, 0)%(len(b)-headerLen+1)
		for _, text := range [][]byte{b, slices.Concat(b[:at], whole, b[at:])} {
			r := newReader(bytes.NewReader(text), 3, int64(len(text)))
			found, sum := false, int64(headerLen)
			for {
				f, skipped, err := r.next()
				sum += skipped
				if err != nil {
					if err != io.EOF {
						t.Fatal(err)
					}
					break
				}
				sum += sizeOf(&f.Entry)
				again := appendFrame(nil, 3, f.id, f.kind, &f.Entry)
				if !bytes.Contains(text, again) {
					t.Fatalf("a frame that is not there: %q", again)
				}
				found = found || f.id == 77
			}
			if sum != int64(len(text)) {
				t.Fatalf("%d of %d bytes are accounted for", sum, len(text))
			}
			if len(text) > len(b) && !found && !inFrame(text, at) {
				t.Fatal("the whole frame was not found")
			}
		}
	})
}

// inFrame reports whether a sound header before at makes what stands there a part of its payload.
func inFrame(b []byte, at int) bool {
	for i := max(0, at-1<<20); i < at && i+frameLen <= len(b); i++ {
		if h := b[i:]; bytes.Equal(h[:4], frameMagic) && le.Uint32(h[32:]) == headSum(h, 3) {
			if i+frameLen+int(le.Uint32(h[4:])) > at {
				return true
			}
		}
	}
	return false
}
