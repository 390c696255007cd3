package tail

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// cases are run by TestTorture, each in a directory of its own.
type tortureCase struct {
	name string
	uri  string
	run  func(r *torture)
}

// TestTorture does to a followed file what rotation, crashes, operators and disks do. The sentence above a case says what
// must happen.
func TestTorture(t *testing.T) {
	for _, c := range slices.Concat(rotationCases, contentCases, restartCases, packedCases, ackCases, systemCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			uri := c.uri
			if uri == "" {
				uri = "eve.json<"
			}
			c.run(newTorture(t, uri))
		})
	}
}

var rotationCases = []tortureCase{
	// The rest of the old file and all of the new one come once, the old one's first; the old file is closed after the grace.
	{"rename while reading", "", func(r *torture) {
		r.append("eve.json", events(0, 500)...)
		r.start()
		r.follows()
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json.1", line(500)) // the writer has not noticed yet
		r.append("eve.json", events(501, 600)...)
		r.want(events(0, 600)...)
		r.told("a rotated file is read to its end")
		r.append("eve.json", line(600))
		r.want(events(0, 601)...)
	}},
	// What was written before and after the rotation comes once, in order.
	{"rename while down", "", func(r *torture) {
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.stop()
		r.append("eve.json", line(3))
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", line(4))
		r.start()
		r.wantOrder(events(0, 5)...)
	}},
	// The file that nobody saw under its first name is read too; what was rotated before the first start is not.
	{"rename twice while down", "", func(r *torture) {
		r.append("eve.json.3", "read long ago\n")
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		r.stop()
		r.append("eve.json", line(1))
		r.rename("eve.json.3", "eve.json.5")
		r.rename("eve.json", "eve.json.2")
		r.append("eve.json.1", line(2))
		r.append("eve.json", line(3))
		r.start()
		r.want(events(0, 4)...)
		r.stop()
		r.start() // what was read stays read
		r.append("eve.json", line(4))
		r.want(events(0, 5)...)
	}},
	// A writer that rotates faster than anybody looks loses nothing, and nothing comes twice.
	{"rename every few milliseconds", "", func(r *torture) {
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		n := 1
		for range 60 {
			r.append("eve.json", events(n, n+20)...)
			n += 20
			for i := 60; i > 0; i-- {
				os.Rename(r.path(fmt.Sprintf("eve.json.%d", i)), r.path(fmt.Sprintf("eve.json.%d", i+1)))
			}
			r.rename("eve.json", "eve.json.1")
		}
		r.append("eve.json", line(n))
		r.want(events(0, n+1)...)
		r.settle()
		if got := len(r.got); got != n+1+2 {
			r.Errorf("got %d records, want %d", got, n+3)
		}
	}},
	// Lines that a writer appends to a rotated file after it was closed are found, and its other lines do not come again.
	{"late writer", "", func(r *torture) {
		r.append("eve.json", events(0, 5)...)
		r.start()
		r.want(events(0, 5)...)
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", line(5))
		r.told("a rotated file is read to its end")
		r.append("eve.json.1", line(6))
		r.want(events(0, 7)...)
	}},
	// Everything before and after comes once.
	{"copytruncate", "", func(r *torture) {
		r.append("eve.json", events(0, 50)...)
		r.start()
		r.want(events(0, 50)...)
		r.copy("eve.json", "eve.json.1")
		r.truncate("eve.json", 0)
		r.append("eve.json", events(50, 60)...)
		r.want(events(0, 60)...)
		r.settle()
		r.counted("files_truncated_total", 1)
		r.counted("file_copies_total", 1)
		r.counted("files_lost_total", 0)
		if n := len(r.got); n != 62 {
			r.Errorf("got %d records, want 62", n)
		}
	}},
	// The truncation is seen although the file is longer than before when it is looked at.
	{"copytruncate that regrows at once", "", func(r *torture) {
		r.append("eve.json", events(0, 10)...)
		r.start()
		r.want(events(0, 10)...)
		r.copy("eve.json", "eve.json.1")
		r.check(os.WriteFile(r.path("eve.json"), []byte(strings.Join(events(10, 100), "")), 0o644))
		r.want(events(0, 100)...)
	}},
	// The same when old and new content begin alike for more than the fingerprint's length.
	{"copytruncate that regrows at once and begins alike", "", func(r *torture) {
		header := strings.Repeat("h", 2000) + "\n"
		r.append("eve.json", append([]string{header}, events(0, 10)...)...)
		r.start()
		r.want(append([]string{header}, events(0, 10)...)...)
		r.check(os.WriteFile(r.path("eve.json"), []byte(header+strings.Join(events(10, 100), "")), 0o644))
		r.want(append([]string{header, header}, events(0, 100)...)...)
	}},
	// The copy is known as a copy, from its first bytes on, whether it is seen before or after the truncation.
	{"copytruncate where the glob matches the copy", "eve.json*<", func(r *torture) {
		r.append("eve.json", events(0, 50)...)
		r.start()
		r.want(events(0, 50)...)
		text, err := os.ReadFile(r.path("eve.json"))
		r.check(err)
		f, err := os.Create(r.path("eve.json.1"))
		r.check(err)
		defer f.Close()
		for part := range slices.Chunk(text, 1500) { // slowly
			f.Write(part)
			r.until("the copy is looked at", func() bool { return r.count("file_copies_total") > 0 })
		}
		r.truncate("eve.json", 0)
		r.append("eve.json", events(50, 60)...)
		r.want(events(0, 60)...)
		r.copy("eve.json", "eve.json.0")
		r.truncate("eve.json", 0)
		r.append("eve.json", events(60, 70)...)
		r.want(events(0, 70)...)
		r.settle()
		r.stop()
		r.start()
		r.append("eve.json", line(70))
		r.until("the last line", func() bool { return r.sum(strings.TrimSpace(line(70))) == 1 })
		if n := len(r.got); n != 73 {
			r.Errorf("got %d records, want 73", n)
		}
	}},
	// What a reader that lags behind had not read of the truncated file is read from its copy, and nothing twice.
	{"copytruncate under backpressure", "", func(r *torture) {
		block, release := blocked(r)
		r.append("eve.json", events(0, 3000)...)
		r.start()
		<-block
		r.copy("eve.json", "eve.json.1")
		r.truncate("eve.json", 0)
		r.append("eve.json", events(3000, 3010)...)
		close(release)
		r.want(events(0, 3010)...)
	}},
	// The bytes that a writer leaves out which does not append after the truncation are skipped, told and counted.
	{"copytruncate under a writer that does not append", "", func(r *torture) {
		f, err := os.Create(r.path("eve.json"))
		r.check(err)
		defer f.Close()
		f.WriteString(strings.Join(events(0, 50), ""))
		r.start()
		r.want(events(0, 50)...)
		at, _ := f.Seek(0, 1)
		r.copy("eve.json", "eve.json.1")
		r.truncate("eve.json", 0)
		f.WriteString(strings.Join(events(50, 60), ""))
		r.want(events(0, 60)...)
		r.told("NUL bytes before a line are skipped")
		r.counted("nul_bytes_total", at)
	}},
	// The file is read from its start.
	{"truncate to nothing", "", func(r *torture) {
		r.append("eve.json", events(0, 50)...)
		r.start()
		r.want(events(0, 50)...)
		r.truncate("eve.json", 0)
		r.append("eve.json", line(50))
		r.want(events(0, 51)...)
		r.told("the file was truncated or rewritten, reading it from its start")
	}},
	// What is left of the file was read; the reading goes on behind it, at a line that was cut with that line.
	{"truncate to a shorter length", "", func(r *torture) {
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		for n := 1; n < 20; n++ {
			r.append("eve.json", line(n))
			r.want(events(0, n+1)...)
		}
		size := int64(len(strings.Join(events(0, 10), "")))
		r.truncate("eve.json", size+10)
		r.told("the file was cut to a shorter length")
		r.append("eve.json", "rest\n")
		r.want(append(events(0, 20), line(10)[:10]+"rest")...)
	}},
	// The offset is beyond the end: all is read from the start, which repeats lines and loses none.
	{"truncate to a shorter length while down", "", func(r *torture) {
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.stop()
		r.truncate("eve.json", int64(len(strings.Join(events(0, 10), ""))))
		r.append("eve.json", line(20))
		r.start()
		r.want(append(append(events(0, 20), events(0, 10)...), line(20))...)
		r.told("was truncated or rewritten while it was not followed")
	}},
	// The rest of the deleted file is read from the open file; the new one is read from its start.
	{"delete and recreate", "", func(r *torture) {
		block, release := blocked(r)
		r.append("eve.json", events(0, 2000)...)
		r.start()
		<-block
		r.check(os.Remove(r.path("eve.json")))
		r.append("eve.json", events(2000, 2010)...)
		close(release)
		r.want(events(0, 2010)...)
		r.counted("files_lost_total", 0)
	}},
	// What is pending in a rotated file is read when the pipeline has room again, however long that takes, even if the file is deleted.
	{"rotated under backpressure", "", func(r *torture) {
		block, release := blocked(r)
		r.append("eve.json", events(0, 2000)...)
		r.start()
		<-block
		for n := range 4 {
			r.rename("eve.json", fmt.Sprintf("eve.json.%d", 9-n))
			r.append("eve.json", events(2000+n*10, 2010+n*10)...)
		}
		r.check(os.Remove(r.path("eve.json.9"))) // it is open
		time.Sleep(r.in.grace)                   // it would be over by now
		close(release)
		r.want(events(0, 2040)...)
	}},
	// Many rotations leave no file open, and a few remembered.
	{"10,000 rotations leave no open files", "", func(r *torture) {
		r.append("eve.json", "")
		r.start()
		r.follows()
		for n := range 10_000 {
			r.append("eve.json", line(n))
			r.rename("eve.json", "eve.json.1")
			if n%50 == 0 { // nobody can see a file that is deleted at once
				want := strings.TrimSpace(line(n))
				r.until("read", func() bool { return r.sum(want) > 0 })
			}
		}
		r.append("eve.json", "end\n")
		r.until("the end", func() bool { return r.sum("end") == 1 })
		r.until("the files are closed", func() bool { return openBelow(r.dir) <= 3 })
		r.until("forgotten", func() bool { return len(r.points.Load("eve")) <= mostGone+2 })
	}},
}

// blocked holds up the first emit until release is closed.
func blocked(r *torture) (block <-chan struct{}, release chan struct{}) {
	b, rel := make(chan struct{}), make(chan struct{})
	first := true
	r.block = func(ctx context.Context) {
		if !first {
			return
		}
		first = false
		close(b)
		select {
		case <-rel:
		case <-ctx.Done():
		}
	}
	return b, rel
}

// openBelow returns how many files below dir this process holds open.
func openBelow(dir string) (n int) {
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}
