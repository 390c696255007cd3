package lines

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"dragonfly/engine"
)

// pieces is a reader that returns its text in pieces of random length.
type pieces struct {
	text string
	rng  *rand.Rand
	most int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := min(1+p.rng.IntN(p.most), len(b), len(p.text))
	copy(b, p.text[:n])
	p.text = p.text[n:]
	return n, nil
}

// naive is what the Reader must agree with.
func naive(text string, max int) (list []engine.Record) {
	offset := int64(0)
	for len(text) > 0 {
		line, rest, _ := strings.Cut(text, "\n")
		body := strings.TrimSuffix(line, "\r")
		switch {
		case len(body) > max:
			list = append(list, engine.Record{Body: body[:min(len(body), keepLong)], Offset: offset, Reject: engine.ReasonTooLong})
		case strings.TrimSpace(body) != "":
			list = append(list, engine.Record{Body: body, Offset: offset})
		}
		offset += int64(len(text) - len(rest))
		text = rest
	}
	return list
}

func check(t *testing.T, text string, max, most int, seed uint64) {
	t.Helper()
	r := New(&pieces{text, rand.New(rand.NewPCG(seed, 1)), most}, 0, int64(max))
	var got []engine.Record
	end := int64(0)
	err := Drain(r, func(records []engine.Record, at int64) error {
		if at <= end && len(records) > 0 && at != int64(len(text)) {
			t.Fatalf("offset %d after %d", at, end)
		}
		end = at
		got = append(got, records...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Offset() != int64(len(text)) {
		t.Fatalf("ended at %d of %d bytes", r.Offset(), len(text))
	}
	want := naive(text, max)
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d (max %d, pieces %d)", len(got), len(want), max, most)
	}
	for i := range want {
		g, w := got[i], want[i]
		if w.Reject != "" && g.Reject == w.Reject && g.Offset == w.Offset && (strings.HasPrefix(w.Body, strings.TrimRight(g.Body, "\r")) || strings.HasPrefix(g.Body, w.Body)) {
			continue // how much of it is kept depends on the reads
		}
		if g != w {
			t.Fatalf("record %d: got %.50q at %d %s, want %.50q at %d %s", i, g.Body, g.Offset, g.Reject, w.Body, w.Offset, w.Reject)
		}
	}
}

func TestReaderSplitsLikeTheNaiveOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for seed := range uint64(300) {
		var b strings.Builder
		for range rng.IntN(60) {
			b.WriteString(strings.Repeat("x", rng.IntN(1+rng.IntN(400))))
			b.WriteString([]string{"\n", "\r\n", "\n\n", " \n", "\x00\xff\n", "", "\r"}[rng.IntN(7)])
		}
		check(t, b.String(), 64+rng.IntN(500), 1+rng.IntN(300), seed)
	}
}

func TestReaderCrossesChunks(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `{"n":%d,"pad":"%s"}`+"\n", i, strings.Repeat("p", i%997))
	}
	b.WriteString(strings.Repeat("L", 300_000) + "\n")
	b.WriteString(strings.Repeat("M", 2_000_000) + "\nlast line without end")
	for _, most := range []int{1 << 20, 4096, 777} {
		check(t, b.String(), 1<<20, most, 3)
	}
}

func TestReaderNeverWritesIntoRecords(t *testing.T) {
	text := strings.Repeat(`{"a":"`+strings.Repeat("b", 500)+"\"}\n", 1000)
	r := New(&pieces{text, rand.New(rand.NewPCG(1, 2)), 5000}, 0, 1<<20)
	var bodies, copies []string
	Drain(r, func(records []engine.Record, _ int64) error {
		for _, rec := range records {
			bodies, copies = append(bodies, rec.Body), append(copies, strings.Clone(rec.Body))
		}
		return nil
	})
	for i := range bodies {
		if bodies[i] != copies[i] {
			t.Fatalf("record %d was overwritten", i)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("a\nb\r\n\n", uint16(64), uint16(2), uint64(1))
	f.Fuzz(func(t *testing.T, text string, max, most uint16, seed uint64) {
		check(t, text, int(max)+1, int(most)+1, seed)
	})
}

func BenchmarkReader(b *testing.B) {
	line := append(bytes.Repeat([]byte("x"), 524), '\n')
	text := bytes.Repeat(line, 20000)
	r := New(nil, 0, 1<<20)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	src := bytes.NewReader(text)
	r.Reset(src, 0)
	n := 0
	for b.Loop() {
		for n == 0 {
			records, err := r.Next()
			if err != nil {
				src.Reset(text)
				r.Reset(src, 0)
			}
			n = len(records)
		}
		n--
	}
}
