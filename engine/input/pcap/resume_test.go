package pcap

import (
	"bytes"
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

// repeated is own-proto.pcap again and again, an hour apart: its flows end all along it.
func repeated(t *testing.T) []byte {
	b := read(t, "own-proto.pcap")
	out := bytes.Clone(b[:24])
	for range 16 {
		out = append(out, b[24:]...)
		for at := 24; at < len(b); at += 16 + int(binary.LittleEndian.Uint32(b[at+8:])) {
			binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+3600)
		}
	}
	return out
}

// rotated writes the parts of a capture and returns their pattern.
func rotated(t *testing.T, frames int) string {
	dir := t.TempDir()
	for i, part := range cut(repeated(t), frames) {
		write(t, filepath.Join(dir, string(rune('a'+i))+".pcap"), part)
	}
	return dir + "/*.pcap"
}

func TestResumeDeliversEachEventOnce(t *testing.T) {
	for _, n := range []int64{1, 3} {
		options := engine.Values{"meters": n}
		for _, frames := range []int{1000, 100_000} {
			uri := rotated(t, frames)
			want := metered(t, uri, options)
			for _, stop := range []int{len(want) / 9, len(want) / 2, len(want) - 1} {
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
	uri := rotated(t, 1000)
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
	uri := rotated(t, 1000)
	r := newRow(t, uri, nil)
	r.stop = 150
	if err := r.run(nil); err != nil {
		t.Fatal(err)
	}
	first := len(r.events)
	r.restart()
	maps.Copy(r.params.Options, engine.Values{"udp_new": 24 * time.Hour, "udp_established": 24 * time.Hour})
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

// TestOpenedFilesStayOpen: after a reload in a chroot the paths lead nowhere.
func TestOpenedFilesStayOpen(t *testing.T) {
	uri := rotated(t, 1000)
	want := metered(t, uri, nil)
	r := newRow(t, uri, nil)
	in, err := New(r.params, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(uri)); err != nil {
		t.Fatal(err)
	}
	for r.stop = 1; len(r.events) < len(want); r.stop += 150 {
		if err := r.again(in); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.again(in); err != nil { // finished
		t.Error(err)
	}
	sameEvents(t, r.events, want)
	if err := in.(engine.Closer).Close(); err != nil {
		t.Error(err)
	}
}
