package tail

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// leaveUnacked lets the pipeline ack nothing until the input is killed.
func (r *torture) leaveUnacked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lag = -1
}

// ackAgain lets it ack everything at once.
func (r *torture) ackAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lag = 0
}

// comesTwice is the end of a case in which n lines were read and none acked: after a crash all come again, and after a stop
// none.
func (r *torture) comesTwice(n int) {
	r.Helper()
	r.want(events(0, n)...)
	r.check(r.save())
	r.kill()
	r.ackAgain()
	r.start()
	twice := append(events(0, n), events(0, n)...)
	r.want(twice...)
	r.settle()
	r.counted("files_lost_total", 0)
	r.stop()
	r.start()
	r.append("eve.json", line(n))
	r.until("read", func() bool { return r.sum(strings.TrimSpace(line(n))) == 1 })
	r.settle()
	r.want(append(append(twice, line(n)), slices.Repeat([]string{"settled\n"}, 4)...)...)
}

// truncatedUnacked is a case with a file that is copied and truncated while a part of it is read and nothing acked.
func truncatedUnacked(ext string) func(r *torture) {
	return func(r *torture) {
		r.leaveUnacked()
		block, release := blocked(r)
		r.append("eve.json", events(0, 2000)...)
		r.start()
		<-block
		r.copy("eve.json", "eve.json.1")
		if ext != "" {
			r.pack("eve.json.1", ext)
		}
		r.truncate("eve.json", 0)
		r.append("eve.json", events(2000, 2010)...)
		close(release)
		r.comesTwice(2010)
	}
}

var ackCases = []tortureCase{
	// The rest is read from the copy; what was read before it and is not acked comes again after a crash, and once.
	{"copytruncate with lines that are not acked", "", truncatedUnacked("")},
	{"copy that is compressed at once with lines that are not acked", "", truncatedUnacked(".gz")},
	// The same for a rotated file that was put away with lines that are not acked, and then grows.
	{"rotated file that grows with lines that are not acked", "", func(r *torture) {
		r.leaveUnacked()
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", line(4))
		r.told("a rotated file is read to its end")
		r.append("eve.json.1", line(3))
		r.comesTwice(5)
	}},
	// What is remembered of a file stays when a packed file gets its inode; the packed files are not read again.
	{"packed file with the inode of another", "", func(r *torture) {
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", events(20, 30)...)
		r.want(events(0, 30)...)
		r.told("a rotated file is read to its end")
		r.stop()
		r.pack("eve.json.1", ".gz")
		r.start()
		r.settle()
		r.stop()
		info, err := os.Stat(r.path("eve.json.1.gz"))
		r.check(err)
		r.rewrite(func(p map[string]any) {
			if strings.HasSuffix(p["path"].(string), "eve.json.1") { // as if it had been removed before the other was packed
				p["inode"] = idOf(info).ino
			}
		})
		for n := 30; n < 33; n++ {
			r.start()
			r.append("eve.json", line(n))
			r.until("read", func() bool { return r.sum(strings.TrimSpace(line(n))) == 1 })
			r.settle()
			r.stop()
		}
		r.want(append(events(0, 33), slices.Repeat([]string{"settled\n"}, 8)...)...)
		r.counted("files_unpacked_total", 0)
	}},
}

// still returns an open input that does not run.
func (r *torture) still() *input {
	r.Helper()
	made, err := New(engine.Params{Tag: "eve", Address: r.uri, LogDir: r.dir, Checkpoints: r.points, Counter: r.counts.Of("input", "eve"),
		Log: slog.New(slog.NewTextHandler(r, nil)), Options: engine.Values{"max_line": int64(64 << 10), "poll": time.Second, "checkpoint": true, "from": "end"}})
	r.check(err)
	in := made.(*input)
	r.check(in.Open(r.Context()))
	r.Cleanup(func() { in.Close() })
	return in
}

// A file that one look misses because it is being renamed is not told as lost; one that the next misses too is.
func TestLookMissesAFileOnce(t *testing.T) {
	r := newTorture(t, "eve.json<")
	r.append("eve.json", events(0, 3)...)
	r.start()
	r.want(events(0, 3)...)
	r.stop()
	in := r.still()
	in.resume()
	r.rename("eve.json", "foreign")
	r.check(os.Mkdir(r.path("d"), 0o755))
	r.rename("foreign", "d/foreign")
	now := time.Now()
	in.look(now)
	r.counted("files_lost_total", 0)
	r.rename("d/foreign", "eve.json.1")
	in.look(now)
	r.counted("files_lost_total", 0)
	if len(in.files) != 1 || in.files[0].sent == 0 {
		t.Fatalf("got %d files, want the rotated one, from its checkpoint on", len(in.files))
	}
	in.Rewind()
	in.resume()
	r.rename("eve.json.1", "d/foreign")
	in.look(now)
	in.look(now)
	r.counted("files_lost_total", 1)
	r.told("a file that was followed is gone")
}

// A file that was truncated while the input was down, and is renamed just when it looks, is still asked for what its copy
// holds: the copy is not taken for new.
func TestScanWhileNamesChange(t *testing.T) {
	r := newTorture(t, "eve.json<")
	r.append("eve.json", events(0, 3)...)
	r.start()
	r.want(events(0, 3)...)
	r.stop()
	r.append("eve.json", line(3))
	r.copy("eve.json", "eve.json.1")
	r.truncate("eve.json", 0)
	in := r.still()
	in.resume()
	r.check(os.Mkdir(r.path("d"), 0o755))
	now := time.Now()
	fresh := in.present(now)
	r.rename("eve.json", "d/foreign")
	in.scan(fresh, false)
	if _, err := in.readAll(t.Context(), func(_ context.Context, b engine.Batch) error {
		t.Errorf("got %d records again", len(b.Records))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.rename("d/foreign", "eve.json.2")
	in.look(now)
	want := int64(len(strings.Join(events(0, 3), "")))
	i := slices.IndexFunc(in.files, func(f *followed) bool { return f.spot.name == "eve.json.1" })
	if i < 0 || in.files[i].sent != want {
		t.Fatalf("got %d files, at %d; want the copy, from %d on\n%s", len(in.files), i, want, r.log.String())
	}
	if in.look(now); in.again != 0 {
		t.Errorf("got %d scans broken off, want no more", in.again)
	}
}

// A file that is rewritten between a look and the first read is known by what was read of it, and read once.
func TestReadIdentifiesAFileThatWasRewritten(t *testing.T) {
	r := newTorture(t, "eve.json<")
	r.append("eve.json", events(0, 3)...)
	in := r.still()
	s := spot{in.places[0], "eve.json"}
	file, _, err := s.open()
	r.check(err)
	f := in.followAt(file, s, 0, nil, false)
	f.check = false // it has just been looked at
	r.truncate("eve.json", 0)
	r.append("eve.json", events(3, 5)...)
	var got []string
	for range 3 {
		_, err = in.read(t.Context(), f, func(_ context.Context, b engine.Batch) error {
			for _, rec := range b.Records {
				got = append(got, rec.Body+"\n")
			}
			b.Done()
			return nil
		})
		r.check(err)
	}
	if !slices.Equal(got, events(3, 5)) {
		t.Errorf("got %d records, want 2", len(got))
	}
	if at := r.points.Load("eve"); len(at) != 1 || !lines.Same(file, at[0]) || at[0].Offset != int64(len(line(3)+line(4))) {
		t.Errorf("got %+v, want the file as it is, read to its end", at)
	}
}

// A file that was empty when it was opened is known by its beginning as soon as something of it is emitted: a crash before
// the next look must not let its copy be taken for new. And one that was rewritten before that is not taken for itself.
func TestReadIdentifiesAFileThatWasEmpty(t *testing.T) {
	r := newTorture(t, "eve.json<")
	r.append("eve.json", "")
	in := r.still()
	s := spot{in.places[0], "eve.json"}
	file, _, err := s.open()
	r.check(err)
	f := in.followAt(file, s, 0, nil, false)
	f.check = false // it has just been looked at
	r.append("eve.json", line(0))
	emitted := 0
	_, err = in.read(t.Context(), f, func(context.Context, engine.Batch) error {
		emitted++
		if at := r.points.Load("eve"); len(at) != 1 || at[0].FingerprintLen != len(line(0)) {
			t.Errorf("got %+v, want a fingerprint of %d bytes", at, len(line(0)))
		}
		return nil
	})
	r.check(err)
	if emitted != 1 {
		t.Fatalf("got %d batches, want 1", emitted)
	}
	f.head = nil // as if all that had happened between a look and a read
	r.truncate("eve.json", 0)
	r.append("eve.json", events(1, 3)...)
	if in.unchanged(f) {
		t.Error("got unchanged, want the file known for another: its first line would be lost")
	}
}

// A file that is rewritten after it was recognised, and before it is followed, is not read from the old offset on.
func TestResumeLooksAgain(t *testing.T) {
	for _, rewritten := range []bool{false, true} {
		r := newTorture(t, "eve.json<")
		r.append("eve.json", events(0, 3)...)
		in := r.still()
		s := spot{in.places[0], "eve.json"}
		file, _, err := s.open()
		r.check(err)
		at, err := lines.Identify(file, s.path())
		r.check(err)
		at.Offset = int64(len(line(0)))
		at.Mark = lines.Sum(lines.Before(file, at.Offset))
		p := &past{at: at}
		in.past = append(in.past, p)
		if rewritten {
			r.truncate("eve.json", 0)
			r.append("eve.json", events(3, 9)...)
		}
		if in.resumeAt(p, file, s, true) == rewritten || (len(in.files) > 0) == rewritten || (len(in.past) > 0) != rewritten {
			t.Errorf("rewritten %v: %d files are followed, %d are looked for", rewritten, len(in.files), len(in.past))
		}
	}
}
