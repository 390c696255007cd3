package pcap

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dragonfly/engine"
	"dragonfly/test/rig"
)

const captures = "../../../test/data/pcap/"

// row is a row of config.lua with its input, and what it emits.
type row struct {
	t           *testing.T
	params      engine.Params
	counters    *engine.Counters
	log         *bytes.Buffer
	events      []string
	done        []func()
	stop        int // the engine stops after so many events; 0 is never
	noAck       bool
	checkpoints *engine.Checkpoints
}

func newRow(t *testing.T, uri string, options engine.Values) *row {
	r := &row{t: t, counters: engine.NewCounters(), log: &bytes.Buffer{}, checkpoints: engine.NewCheckpoints()}
	r.params = engine.Params{Tag: "cap", URI: "pcap://" + uri, Scheme: "pcap", Address: uri, Options: rig.Values(Kind.Options, options), LogDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Checkpoints: r.checkpoints, Counter: r.counters.Of("input", "cap")}
	return r
}

// run runs the input once, as a start of the process would.
func (r *row) run(stdin io.Reader) error {
	r.t.Helper()
	in, err := New(r.params, stdin)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := in.(engine.Opener).Open(r.t.Context()); err != nil {
		return err
	}
	return r.again(in)
}

// again runs an input.
func (r *row) again(in engine.Input) error {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	return in.Run(ctx, func(ctx context.Context, b engine.Batch) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, rec := range b.Records {
			if !json.Valid([]byte(rec.Body)) {
				r.t.Errorf("not JSON: %s", rec.Body)
			}
			r.events = append(r.events, rec.Body)
		}
		if b.Done != nil {
			if r.done = append(r.done, b.Done); !r.noAck {
				b.Done()
			}
		}
		if r.stop > 0 && len(r.events) >= r.stop {
			cancel()
		}
		return nil
	})
}

func (r *row) counter(name string) int64 {
	for _, l := range r.counters.NonZero() {
		if l.Name == name {
			return l.N
		}
	}
	return 0
}

// sorted returns events without their order.
func sorted(events []string) []string {
	events = slices.Clone(events)
	slices.Sort(events)
	return events
}

func sameEvents(t *testing.T, got, want []string) {
	t.Helper()
	got, want = sorted(got), sorted(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
		for _, s := range got {
			if !slices.Contains(want, s) {
				t.Errorf("not wanted: %.300s", s)
				break
			}
		}
	}
}

// metered returns the events of captures, metered at once.
func metered(t *testing.T, uri string, options engine.Values) []string {
	t.Helper()
	r := newRow(t, uri, options)
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	if len(r.events) == 0 {
		t.Fatal("no events")
	}
	return r.events
}

func absolute(t *testing.T, name string) string {
	path, err := filepath.Abs(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, name string) []byte {
	b, err := os.ReadFile(captures + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// cut divides a capture into parts of n frames each.
func cut(b []byte, n int) (parts [][]byte) {
	head := b[:24]
	for b = b[24:]; len(b) > 0; {
		part := bytes.Clone(head)
		for i := 0; i < n && len(b) > 0; i++ {
			size := min(16+int(binary.LittleEndian.Uint32(b[8:])), len(b)) // the last may be cut off
			part = append(part, b[:size]...)
			b = b[size:]
		}
		parts = append(parts, part)
	}
	return parts
}

func TestInputMetersACapture(t *testing.T) {
	r := newRow(t, absolute(t, "own-many.pcap"), nil)
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	flows, packets := 0, 0
	for _, s := range r.events {
		var e struct {
			Type string `json:"event_type"`
			Flow struct {
				A int `json:"pkts_toserver"`
				B int `json:"pkts_toclient"`
			}
		}
		if err := json.Unmarshal([]byte(s), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "flow" {
			flows++
			packets += e.Flow.A + e.Flow.B
		}
	}
	if flows != 60 || packets != 600 || r.counter("frames_total") != 600 || r.counter("packets_total") != 600 || r.counter("flows_total") != 60 {
		t.Errorf("got %d flows of %d packets, counters %+v", flows, packets, r.counters.NonZero())
	}
}

func TestInputLeavesOutEventTypes(t *testing.T) {
	for _, s := range metered(t, absolute(t, "own-proto.pcap"), engine.Values{"events": []string{"flow"}}) {
		if !strings.Contains(s, `"event_type":"flow"`) {
			t.Errorf("got %s", s)
		}
	}
	r := newRow(t, absolute(t, "own-proto.pcap"), engine.Values{"events": []string{"ssh"}})
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.events {
		if strings.Contains(s, `"event_type":"flow"`) {
			t.Errorf("got %s", s)
		}
	}
}

// TestMetersAgree: the events are the same, however many meters there are.
func TestMetersAgree(t *testing.T) {
	list, _ := filepath.Glob("../../../../shared/data/reference/flows/*.pcap*")
	more, _ := filepath.Glob(captures + "*.pcap*")
	list = append(list, more...)
	for _, path := range list {
		t.Run(filepath.Base(path), func(t *testing.T) {
			path, _ := filepath.Abs(path)
			var first []string
			for _, n := range []int64{1, 2, 5} {
				r := newRow(t, path, engine.Values{"meters": n, "features": "cic"})
				if err := r.run(nil); err != nil && !strings.Contains(path, "cutfile") {
					t.Fatal(err)
				}
				if n == 1 {
					first = r.events
				}
				sameEvents(t, r.events, first)
			}
		})
	}
}

func TestFlowsGoOnFromFileToFile(t *testing.T) {
	want := metered(t, absolute(t, "own-many.pcap"), nil)
	dir := t.TempDir()
	parts := cut(read(t, "own-many.pcap"), 101)
	names := []string{"z.pcap", "b.pcap.gz", "a.pcap", "m.pcap", "c.pcap", "k.pcap"} // not in their order
	for i, part := range parts {
		if strings.HasSuffix(names[i], ".gz") {
			part = gzipped(part)
		}
		write(t, filepath.Join(dir, names[i]), part)
	}
	for _, n := range []int64{1, 3} {
		sameEvents(t, metered(t, dir+"/*.pcap*", engine.Values{"meters": n}), want)
	}
}

func TestDamagedCapturesAreMeteredAsFarAsTheyGo(t *testing.T) {
	dir := t.TempDir()
	whole := read(t, "own-many.pcap")
	write(t, dir+"/1.pcap", whole[:len(whole)-7])
	write(t, dir+"/2.pcap", []byte("this is a text, not a capture"))
	write(t, dir+"/3.pcap", read(t, "own-rst.pcap"))
	write(t, dir+"/4.pcap", nil)
	for _, n := range []int64{1, 2} {
		r := newRow(t, dir+"/*.pcap", engine.Values{"meters": n})
		err := r.run(nil)
		if !errors.Is(err, engine.ErrDamaged) {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{dir + "/1.pcap: frame 600 at byte ", "cut off", dir + "/2.pcap: no capture: it begins with", dir + "/4.pcap: no capture: it has only 0 bytes"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		if got := r.counter("frames_total"); got < 600 {
			t.Errorf("got %d frames", got)
		}
		events := len(r.events)
		// Without -x the engine tries again: that must neither deliver twice nor go on for ever.
		in, _ := New(r.params, nil)
		if err := r.again(in); n == 1 && err != nil || len(r.events) != events && !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("again: %d new events, %v", len(r.events)-events, err)
		}
	}
}

func TestWrongRowsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		uri     string
		options engine.Values
		want    string
	}{
		{"", nil, "names no file"}, {"/x[", nil, "not a valid pattern"}, {"/x", engine.Values{"checkpoint": "5"}, "want true, false or"},
		{"/x", engine.Values{"events": []string{"flows"}}, `has "flows", want some of flow, dns`},
	} {
		r := newRow(t, tt.uri, tt.options)
		_, err := New(r.params, nil)
		var ce *engine.ConfigError
		if !errors.As(err, &ce) || !strings.Contains(ce.Msg, tt.want) {
			t.Errorf("%q %v: got %v, want %q", tt.uri, tt.options, err, tt.want)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/x.pcap", 0o700); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{dir: "is a directory", "/dev/null": "is no regular file", dir + "/none": "no such file", dir + "/*.pcap": "no file matches"} {
		kind := fs.ErrNotExist
		if strings.HasPrefix(want, "is ") {
			kind = engine.ErrDamaged // ends a run with -x
		}
		err := newRow(t, uri, nil).run(nil)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, kind) {
			t.Errorf("%q: got %v, want %q", uri, err, want)
		}
	}
	write(t, dir+"/y.pcap", read(t, "own-many.pcap"))
	if r := newRow(t, dir+"/*.pcap", nil); r.run(nil) != nil || len(r.events) == 0 {
		t.Errorf("beside a directory: got %d events", len(r.events))
	}
}

func TestStreamIsMetered(t *testing.T) {
	want := metered(t, absolute(t, "own-many.pcap"), nil)
	for _, n := range []int64{1, 2} {
		for _, b := range [][]byte{read(t, "own-many.pcap"), gzipped(read(t, "own-many.pcap"))} {
			r := newRow(t, "-", engine.Values{"meters": n})
			if err := r.run(bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			sameEvents(t, r.events, want)
		}
	}
	r := newRow(t, "-", nil)
	if err := r.run(bytes.NewReader(read(t, "own-many.pcap")[:100_000])); !errors.Is(err, engine.ErrDamaged) || len(r.events) == 0 {
		t.Errorf("got %d events, %v", len(r.events), err)
	}
}

// TestStreamStopsAndGoesOn: when the engine stops the flows so far are reported; after a reload the stream is read on.
func TestStreamStopsAndGoesOn(t *testing.T) {
	for _, n := range []int64{1, 2} {
		src, w := io.Pipe()
		r := newRow(t, "-", engine.Values{"meters": n})
		in, err := New(r.params, src)
		if err != nil {
			t.Fatal(err)
		}
		b := read(t, "own-many.pcap")
		packets := func() (sum int64) {
			for _, s := range r.events {
				var e struct {
					Flow struct {
						A int64 `json:"pkts_toserver"`
						B int64 `json:"pkts_toclient"`
					}
				}
				json.Unmarshal([]byte(s), &e)
				sum += e.Flow.A + e.Flow.B
			}
			return sum
		}
		var frames atomic.Int64
		for _, until := range []int{10, 24 + 100, 150_000, len(b)} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- in.Run(ctx, func(ctx context.Context, b engine.Batch) error {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					for _, rec := range b.Records {
						r.events = append(r.events, rec.Body)
					}
					return nil
				})
			}()
			at := int(frames.Load())
			if _, err := w.Write(b[at:until]); err != nil {
				t.Fatal(err)
			}
			frames.Store(int64(until))
			if until == len(b) {
				w.Close()
			} else {
				cancel()
			}
			if err := <-ended; err != nil {
				t.Fatalf("until %d: %v", until, err)
			}
			cancel()
		}
		if got := packets(); got != 600 {
			t.Errorf("%d meters: got %d packets in flows, want 600", n, got)
		}
	}
}
