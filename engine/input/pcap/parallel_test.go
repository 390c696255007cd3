package pcap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/packet"
)

// TestJobCopiesPackets: what a packet points to is overwritten by the next frame. A new slice in packet.Packet must be
// copied in job.add.
func TestJobCopiesPackets(t *testing.T) {
	var p packet.Packet
	v := reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice:
			f.SetBytes([]byte(v.Type().Field(i).Name))
		case reflect.Pointer, reflect.Map, reflect.Interface, reflect.String:
			t.Errorf("packet.Packet.%s: does a job have to copy it?", v.Type().Field(i).Name)
		}
	}
	j := &job{}
	for range 100 {
		j.add(&p, 1)
	}
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Slice {
			clear(v.Field(i).Bytes())
		}
	}
	for n := range j.packets {
		q := reflect.ValueOf(&j.packets[n]).Elem()
		for i := range q.NumField() {
			if name := q.Type().Field(i).Name; q.Field(i).Kind() == reflect.Slice && string(q.Field(i).Bytes()) != name {
				t.Fatalf("packet %d: %s was not copied: got %q", n, name, q.Field(i).Bytes())
			}
		}
	}
}

// TestOwnerIsSymmetric: both directions, and the errors about them, come to the same meter; many addresses to all.
func TestOwnerIsSymmetric(t *testing.T) {
	seen := map[int]int{}
	for i := range 10_000 {
		a, b := packet.IPv4([]byte{10, 0, byte(i >> 8), byte(i)}), packet.IPv4([]byte{192, 0, 2, byte(i % 7)})
		there := packet.Packet{Src: a, Dst: b}
		back := packet.Packet{Src: b, Dst: a}
		failed := packet.Packet{Src: packet.IPv4([]byte{1, 2, 3, 4}), Dst: a, Quoted: packet.Quoted{Valid: true, Src: a, Dst: b}}
		n := owner(&there, 7)
		if owner(&back, 7) != n || owner(&failed, 7) != n {
			t.Fatalf("%d: got %d, %d and %d", i, n, owner(&back, 7), owner(&failed, 7))
		}
		seen[n]++
	}
	for n := range 7 {
		if seen[n] < 10_000/14 {
			t.Errorf("meter %d has only %d of 10000", n, seen[n])
		}
	}
}

// fullSink fails after some events.
type fullSink struct{ left int }

var errFull = errors.New("full")

func (s *fullSink) Begin(int) error { return nil }
func (s *fullSink) Pause() error    { return nil }
func (s *fullSink) Event([]byte) error {
	if s.left--; s.left < 0 {
		return errFull
	}
	return nil
}

// TestPassEndsWithItsSink: an error of the sink ends the pass wherever it comes, also while a stream is silent.
func TestPassEndsWithItsSink(t *testing.T) {
	b := repeated(t)
	for _, meters := range []int64{1, 3} {
		for _, left := range []int{0, 1, 100} {
			p, err := NewPass(engine.Values{"meters": meters})
			if err != nil {
				t.Fatal(err)
			}
			silent, w := io.Pipe() // never closed: the stream goes on
			defer w.Close()
			src := io.MultiReader(bytes.NewReader(b), silent)
			if err := p.Run(t.Context(), []Source{Stream("-", src)}, &fullSink{left: left}); !errors.Is(err, errFull) {
				t.Errorf("%d meters, %d events: got %v", meters, left, err)
			}
		}
	}
}

// TestPassEndsWithItsContext: of files the rest is not metered, and that is an error; a stream ends as if it were complete.
func TestPassEndsWithItsContext(t *testing.T) {
	for _, meters := range []int64{1, 3} {
		p, _ := NewPass(engine.Values{"meters": meters})
		s, err := Open(absolute(t, "own-many.pcap"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx, []Source{s}, &fullSink{left: 1e6}); !errors.Is(err, context.Canceled) {
			t.Errorf("%d meters: got %v", meters, err)
		}
		src, w := io.Pipe()
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			w.Write(read(t, "own-many.pcap"))
			cancel()
		}()
		sink := &fullSink{left: 1e6}
		if err := p.Run(ctx, []Source{Stream("-", src)}, sink); err != nil {
			t.Errorf("%d meters: got %v", meters, err)
		}
		if got := p.Progress.Summary().Flows; got.Active != 0 || got.Flows == 0 || 1e6-sink.left < 1 {
			t.Errorf("%d meters: got %+v", meters, got)
		}
		w.Close()
		cancel()
	}
}

// TestStreamHandsOnBeforeItWaits: what is metered does not wait in a half full batch for packets to come.
func TestStreamHandsOnBeforeItWaits(t *testing.T) {
	for _, meters := range []int64{1, 2} {
		r := newRow(t, "-", engine.Values{"meters": meters})
		src, w := io.Pipe()
		in, err := New(r.params, src)
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan string, 10_000)
		ended := make(chan error, 1)
		go func() {
			ended <- in.Run(t.Context(), func(_ context.Context, b engine.Batch) error {
				for _, rec := range b.Records {
					came <- rec.Body
				}
				return nil
			})
		}()
		w.Write(repeated(t)) // flows end when their ports are used again
		select {
		case s := <-came:
			if !strings.HasPrefix(s, "{") {
				t.Errorf("got %s", s)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%d meters: no event while the stream pauses", meters)
		}
		w.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
