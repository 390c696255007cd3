package pcap

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
)

// restart is a new process: the checkpoints come from the disk.
func (r *row) restart() {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "checkpoints.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
	os.Remove(path)
	disk, err := engine.OpenCheckpoints(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := disk.Write(r.checkpoints.Cut(nil)); err != nil {
		r.t.Fatal(err)
	}
	if r.checkpoints, err = engine.OpenCheckpoints(path); err != nil {
		r.t.Fatal(err)
	}
	r.params.Checkpoints = r.checkpoints
}

// stretched is own-many.pcap with four frames a second, so that flows end all along it.
func stretched(t *testing.T) []byte {
	b := read(t, "own-many.pcap")
	for i, at := uint32(0), 24; at < len(b); i++ {
		binary.LittleEndian.PutUint32(b[at:], 1_700_000_000+i/4)
		at += 16 + int(binary.LittleEndian.Uint32(b[at+8:]))
	}
	return b
}

// short are timeouts that end flows within it.
var short = engine.Values{"tcp_closed": 2 * time.Second, "tcp_new": 2 * time.Second, "tcp_established": 2 * time.Second, "udp_new": 2 * time.Second, "udp_established": 2 * time.Second}

// rotated writes the parts of a capture and returns their pattern.
func rotated(t *testing.T, frames int) string {
	dir := t.TempDir()
	for i, part := range cut(stretched(t), frames) {
		write(t, filepath.Join(dir, string(rune('a'+i))+".pcap"), part)
	}
	return dir + "/*.pcap"
}

func TestResumeDeliversEachEventOnce(t *testing.T) {
	for _, n := range []int64{1, 3} {
		options := maps.Clone(short)
		options["meters"] = n
		for _, frames := range []int{100, 1000} {
			uri := rotated(t, frames)
			want := metered(t, uri, options)
			for stop := 1; stop < len(want); stop += 7 {
				r := newRow(t, uri, options)
				r.stop = stop
				for range 100 {
					before := len(r.events)
					if err := r.run(nil); err != nil {
						t.Fatal(err)
					}
					if r.stop += stop; len(r.events) == before {
						break
					}
					r.restart()
				}
				if len(r.events) != len(want) {
					// The run after the end found nothing new, and metered all again.
					r.events = r.events[:min(len(want), len(r.events))]
				}
				sameEvents(t, r.events, want)
				if strings.Contains(r.log.String(), "delivered again") {
					t.Fatal(r.log.String())
				}
			}
		}
	}
}

func TestResumeRepeatsWhatWasNotAcked(t *testing.T) {
	uri := rotated(t, 100)
	want := metered(t, uri, nil)
	r := newRow(t, uri, nil)
	r.noAck = true
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.checkpoints.Load("cap") {
		if p.Offset != 0 || p.Finished {
			t.Errorf("nothing was acked: got %+v", p)
		}
	}
	r.events, r.noAck = nil, false
	r.restart()
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	sameEvents(t, r.events, want)
	for _, p := range r.checkpoints.Load("cap") {
		if !p.Finished {
			t.Errorf("all was acked: got %+v", p)
		}
	}
}

func TestFinishedCaptures(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.pcap", read(t, "own-many.pcap"))
	all := len(metered(t, dir+"/*.pcap", nil))
	r := newRow(t, dir+"/*.pcap", nil)
	run := func(what string, want int) {
		t.Helper()
		r.events = nil
		if err := r.run(nil); err != nil {
			t.Fatal(err)
		}
		if len(r.events) != want {
			t.Errorf("%s: got %d events, want %d", what, len(r.events), want)
		}
	}
	run("first", all)
	run("again in this process", 0)
	r.restart()
	run("nothing new", all)
	r.restart()
	write(t, dir+"/b.pcap", read(t, "own-rst.pcap"))
	other := len(metered(t, absolute(t, "own-rst.pcap"), nil))
	run("a new file", other)
	r.params.Options["checkpoint"] = "true"
	r.restart()
	run("nothing new, never twice", 0)
	r.restart()
	write(t, dir+"/b.pcap", slices.Concat(read(t, "own-rst.pcap"), read(t, "own-many.pcap")[24:]))
	r.events = nil
	run("a file that has grown", len(metered(t, dir+"/b.pcap", nil)))
	r.params.Options["checkpoint"] = "false"
	r.restart()
	run("no checkpoint", len(metered(t, dir+"/*.pcap", nil)))
}

// TestResumeWithOtherOptions: what is metered now has nothing to do with what was delivered. Nothing may be left out.
func TestResumeWithOtherOptions(t *testing.T) {
	uri := rotated(t, 100)
	r := newRow(t, uri, short)
	r.stop = 30
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	first := len(r.events)
	r.restart()
	maps.Copy(r.params.Options, engine.Values{"tcp_closed": time.Minute, "tcp_new": time.Minute, "tcp_established": time.Minute})
	want := metered(t, uri, r.params.Options)
	r.events, r.stop = nil, 0
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	sameEvents(t, r.events, want)
	if first == 0 || !strings.Contains(r.log.String(), "delivered again") {
		t.Errorf("%d events were delivered before; log: %s", first, r.log.String())
	}
}
