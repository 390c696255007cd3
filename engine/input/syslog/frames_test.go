package syslog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"dragonfly/engine"
)

// pieces is a connection that hands out its text in pieces of random lengths.
type pieces struct {
	text string
	rng  *rand.Rand
	most int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.rng.IntN(p.most))], p.text)
	p.text = p.text[n:]
	return n, nil
}

func readAll(text string, max, most int, seed uint64) (list []engine.Record, err error) {
	f := newFrames(&pieces{text, rand.New(rand.NewPCG(seed, 1)), most}, max)
	for {
		records, err := f.next()
		list = append(list, records...)
		if err != nil {
			return append(list, f.last()...), err
		}
	}
}

func TestFramesOfBothKinds(t *testing.T) {
	var want []string
	octets, ended := "", ""
	for i := range 300 {
		m := fmt.Sprintf("<34>1 message %d %s", i, strings.Repeat("x", i*7%900))
		want = append(want, m)
		octets += fmt.Sprintf("%d %s", len(m), m)
		ended += m + "\r\n"
		if i%3 == 0 {
			octets += "\n"
		}
	}
	for seed := range uint64(20) {
		for name, text := range map[string]string{"octets": octets, "lines": ended} {
			got, err := readAll(text, 4096, 1+int(seed)*300, seed)
			if err != io.EOF || len(got) != len(want) {
				t.Fatalf("%s: got %d messages, %v, want %d", name, len(got), err, len(want))
			}
			for i := range got {
				if got[i].Body != want[i] || got[i].Reject != "" {
					t.Fatalf("%s: message %d: got %q %s, want %q", name, i, got[i].Body, got[i].Reject, want[i])
				}
			}
		}
	}
}

func TestFramesThatAreTooLongOrCutOff(t *testing.T) {
	long := strings.Repeat("y", 20000)
	for seed := range uint64(10) {
		got, err := readAll(fmt.Sprintf("3 abc%d %s2 de9 cut", len(long), long), 1000, 5000, seed)
		if err != io.EOF || len(got) != 4 || got[0].Body != "abc" || got[1].Reject != engine.ReasonTooLong || len(got[1].Body) != keepLong ||
			got[2].Body != "de" || got[3].Reject != engine.ReasonTruncated || got[3].Body != "9 cut" {
			t.Fatalf("got %d records, %v", len(got), err)
		}
	}
	got, err := readAll("<1>abc\n<1>"+long+"\n<1>last", 1000, 500, 1)
	if err != io.EOF || len(got) != 3 || got[1].Reject != engine.ReasonTooLong || got[2].Body != "<1>last" {
		t.Fatalf("lines: got %d records, %v", len(got), err)
	}
	got, err = readAll("3 abc<1>no length\n", 1000, 500, 1)
	if !errors.Is(err, errFraming) || len(got) != 2 || got[1].Reject != engine.ReasonMalformed || !strings.HasPrefix(got[1].Body, "<1>no") {
		t.Fatalf("changed framing: got %v, %v", got, err)
	}
}

func TestFramesOfLinesThatBeginWithDigits(t *testing.T) {
	for seed := range uint64(5) {
		got, err := readAll("2026-11-21T10:00:00Z h a: x\n34 y", 1000, 10, seed)
		if err != io.EOF || len(got) != 2 || got[0].Body != "2026-11-21T10:00:00Z h a: x" || got[1].Body != "34 y" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if got, err := readAll("123", 1000, 1, 1); err != io.EOF || len(got) != 1 || got[0].Body != "123" || got[0].Reject != "" {
		t.Fatalf("got %v, %v", got, err)
	}
}

// FuzzFrames: how the bytes come makes no difference, and none is lost.
func FuzzFrames(f *testing.F) {
	f.Add("3 abc4 defg", uint64(1))
	f.Add("<1>abc\n<2>def", uint64(2))
	f.Add("999999999 x", uint64(3))
	f.Add("9999999990 x\n", uint64(3))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		a, err := readAll(text, 480, 1, seed)
		b, err2 := readAll(text, 480, 1<<20, seed)
		if (err == io.EOF) != (err2 == io.EOF) || len(a) != len(b) {
			t.Fatalf("%d records, %v; at once %d, %v", len(a), err, len(b), err2)
		}
		for i := range a {
			if a[i].Reject != b[i].Reject || a[i].Reject == "" && a[i].Body != b[i].Body {
				t.Fatalf("record %d: %v, at once %v", i, a[i], b[i])
			}
		}
	})
}
