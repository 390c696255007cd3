package deadletter

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func lines(t *testing.T, r *Reader) (list []Line) {
	t.Helper()
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
}

func TestReaderPassesOverLongLinesWithoutHoldingThem(t *testing.T) {
	text := "one\n" + strings.Repeat("x", 1<<20) + "\r\n\n  \ntwo\r\n" + strings.Repeat("y", 101) + "\n" + strings.Repeat("z", 100) + "\nlast"
	r := NewReader(strings.NewReader(text), 0)
	r.max = 100
	got := lines(t, r)
	if len(got) != 6 || got[0].Text != "one" || !got[1].Long || got[1].Number != 2 || len(got[1].Text) > 200 || got[2].Text != "two" || got[2].Number != 5 ||
		!got[3].Long || got[4].Long || len(got[4].Text) != 100 || got[5].Text != "last" || !got[5].Cut || got[4].Cut {
		t.Errorf("got %+v", got)
	}
	if cap(r.buf) > 1<<20 {
		t.Errorf("it holds %d bytes", cap(r.buf))
	}
	for _, l := range got {
		if end := min(l.End, int64(len(text))); !strings.HasPrefix(text[l.Offset:end], l.Text[:min(len(l.Text), 50)]) {
			t.Errorf("line %d is not at %d", l.Number, l.Offset)
		}
	}
}

func TestReaderReturnsWhatCameBeforeAFault(t *testing.T) {
	fault := errors.New("fault")
	r := NewReader(io.MultiReader(strings.NewReader("one\ntw"), iotest.ErrReader(fault)), 0)
	if l, err := r.Next(); err != nil || l.Text != "one" {
		t.Errorf("got %+v, %v", l, err)
	}
	if l, err := r.Next(); err != nil || l.Text != "tw" || !l.Cut {
		t.Errorf("got %+v, %v", l, err)
	}
	if _, err := r.Next(); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
}

// FuzzScan checks that every line of any file is an entry or told as damage, once, in order, and that the whole lines of
// entries that were written are always found.
func FuzzScan(f *testing.F) {
	f.Add([]byte("junk"), []byte("{\n"), `{"a":1}`)
	f.Add([]byte("\x1f\x8b"), []byte{}, "\"\xff")
	f.Add([]byte("\n\r\n"), []byte(`{"time":"2026-11-21T13:00:00Z","stage":"s","reason":"r","event":`), " ")
	f.Fuzz(func(t *testing.T, before, after []byte, event string) {
		e := entry(event)
		whole := line(e)
		text := append(append(append([]byte{}, before...), "\n"+whole+"\n"...), after...)
		path := filepath.Join(t.TempDir(), "dead-letter.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := OpenFiles(path)
		if err != nil || len(files) != 1 || !files[0].Current {
			t.Fatalf("got %v, %v", files, err)
		}
		defer files.Close()
		found, n, number := 0, 0, int64(0)
		err = files.Scan(func(got *Found) error {
			if files[0].Gzip || got.Line.Offset == 0 || text[got.Line.Offset-1] == '\n' {
				n++ // else it stands behind a broken piece, which was counted
			}
			if got.Line.Number <= number {
				t.Fatalf("line %d behind line %d", got.Line.Number, number)
			}
			if number = got.Line.Number; got.ID == IDOf(whole) {
				found++
				if got.Event != event {
					t.Fatalf("got %q, want %q", got.Event, event)
				}
			}
			return nil
		}, func(Damage) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if files[0].Gzip {
			return
		}
		want := 0
		for l := range bytes.Lines(text) {
			if strings.TrimSpace(string(l)) != "" {
				want++
			}
		}
		if n != want || found == 0 {
			t.Fatalf("got %d lines, want %d; the entry was found %d times", n, want, found)
		}
	})
}
