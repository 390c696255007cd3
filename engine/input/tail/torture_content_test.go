package tail

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

var contentCases = []tortureCase{
	// A line that is being written waits, over a restart too, and comes whole.
	{"partial last line completed after a restart", "", func(r *torture) {
		r.append("eve.json", line(0), line(1)[:20])
		r.start()
		r.want(line(0))
		r.stop()
		r.append("eve.json", line(1)[20:])
		r.start()
		r.want(events(0, 2)...)
	}},
	// Nobody completes the last line of a rotated file: when the grace is over it is a record of its own.
	{"partial last line when rotated", "", func(r *torture) {
		r.append("eve.json", line(0), "cut off")
		r.start()
		r.want(line(0))
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", line(1))
		r.want(line(0), line(1), "cut off")
		r.told("a rotated file is read to its end")
		r.stop()
		r.start()
		r.append("eve.json", line(2))
		r.want(line(0), line(1), "cut off", line(2))
	}},
	// A line longer than max_line is one dead letter with its beginning; the lines around it come.
	{"line longer than the limit", "", func(r *torture) {
		r.append("eve.json", line(0), strings.Repeat("x", 300_000)+"\n", line(1))
		r.start()
		r.want(line(0), "too_long:"+strings.Repeat("x", 4096), line(1))
	}},
	// The checkpoint lies within the line: its rest is not taken for a line after the restart.
	{"line longer than the limit that spans a restart", "", func(r *torture) {
		long := "too_long:" + strings.Repeat("x", 4096)
		r.append("eve.json", line(0), strings.Repeat("x", 300_000))
		r.start()
		r.want(line(0), long)
		r.until("the checkpoint is within the line", func() bool {
			at := r.points.Load("eve")
			return len(at) == 1 && at[0].Offset > 300_000
		})
		r.stop()
		r.append("eve.json", strings.Repeat("y", 300_000)+"\n", line(1))
		r.start()
		r.want(line(0), long, line(1))
	}},
	// Within a line NUL bytes stay, and the line is malformed; before a line they are skipped, told once and counted.
	{"NUL bytes", "", func(r *torture) {
		r.append("eve.json", line(0), "a\x00b\n", "\x00\x00\x00"+line(1), "\x00\x00\n", line(2), "\x00")
		r.start()
		r.want(line(0), "a\x00b", line(1), line(2))
		r.told("NUL bytes before a line are skipped")
		r.until("all are counted", func() bool { return r.count("nul_bytes_total") == 6 })
		r.append("eve.json", line(3))
		r.want(line(0), "a\x00b", line(1), line(2), line(3))
	}},
	// A hole longer than max_line hides no line behind it, over a restart too.
	{"hole of NUL bytes", "", func(r *torture) {
		r.append("eve.json", line(0))
		r.truncate("eve.json", 3<<20)
		r.append("eve.json", line(1))
		r.start()
		r.want(events(0, 2)...)
		r.truncate("eve.json", 6<<20)
		r.until("the hole is read", func() bool { return r.count("nul_bytes_total") > 5<<20 })
		r.stop()
		r.append("eve.json", line(2))
		r.start()
		r.want(events(0, 3)...)
	}},
	// The carriage return is not part of the record.
	{"CRLF", "", func(r *torture) {
		r.append("eve.json", "one\r\ntwo\r")
		r.start()
		r.want("one")
		r.append("eve.json", "\nthree\n")
		r.want("one", "two", "three")
	}},
	// The bytes come as they are; the engine dead-letters what is no JSON.
	{"invalid UTF-8", "", func(r *torture) {
		r.append("eve.json", "\xff\xfe\n", "{\"a\":\"\xc3\x28\"}\n")
		r.start()
		r.want("\xff\xfe", "{\"a\":\"\xc3\x28\"}")
	}},
	// Empty and blank lines are no records; the checkpoint moves over them.
	{"empty lines", "", func(r *torture) {
		r.append("eve.json", "\n\n", line(0), "\r\n", "  \t\n", line(1), "\n\n\n")
		r.start()
		r.want(events(0, 2)...)
		r.append("eve.json", "\n")
		size, _ := os.Stat(r.path("eve.json"))
		r.until("the checkpoint is at the end", func() bool {
			at := r.points.Load("eve")
			return len(at) == 1 && at[0].Offset == size.Size()
		})
	}},
	// A file shorter than its fingerprint gets a longer one while it grows, and is the same file after a restart.
	{"short file that grows", "", func(r *torture) {
		var want []string
		for n := range 40 {
			r.append("eve.json", fmt.Sprintf("line %d, short\n", n))
			want = append(want, fmt.Sprintf("line %d, short", n))
			r.start()
			r.wantOrder(want...)
			r.stop()
		}
	}},
	// Two files that begin alike are two files, wherever they go.
	{"fingerprint clash, rotated", "", func(r *torture) {
		header := strings.Repeat("h", 1500) + "\n"
		r.append("eve.json", append([]string{header}, events(0, 10)...)...)
		r.start()
		want := append([]string{header}, events(0, 10)...)
		r.want(want...)
		for n := 1; n < 5; n++ {
			r.rename("eve.json", fmt.Sprintf("eve.json.%d", 10-n))
			r.append("eve.json", append([]string{header}, events(n*10, n*10+10)...)...)
			want = append(append(want, header), events(n*10, n*10+10)...)
			if n%2 == 0 {
				r.want(want...)
				r.stop()
				r.start()
			}
		}
		r.want(want...)
		r.settle()
		if len(r.got) != len(want)+2 {
			r.Errorf("got %d records, want %d", len(r.got), len(want)+2)
		}
	}},
	// An older file that begins like the truncated one is not taken for its copy.
	{"fingerprint clash, copytruncate", "", func(r *torture) {
		header := strings.Repeat("h", 1500) + "\n"
		r.append("eve.json.1", append([]string{header}, events(0, 100)...)...) // longer, and older than the input
		r.append("eve.json", append([]string{header}, events(100, 110)...)...)
		r.start()
		want := append([]string{header}, events(100, 110)...)
		r.want(want...)
		r.rename("eve.json.1", "eve.json.2")
		r.copy("eve.json", "eve.json.1")
		r.truncate("eve.json", 0)
		r.append("eve.json", append([]string{header}, events(110, 120)...)...)
		want = append(append(want, header), events(110, 120)...)
		r.want(want...)
		r.stop()
		r.append("eve.json", line(120))
		r.copy("eve.json", "eve.json.0")
		r.truncate("eve.json", 0)
		r.append("eve.json", line(121))
		r.start()
		r.want(append(want, events(120, 122)...)...)
	}},
	// A file with two names is one file.
	{"hard link", "eve*.json<", func(r *torture) {
		r.append("eve.json", events(0, 5)...)
		r.check(os.Link(r.path("eve.json"), r.path("eve-link.json")))
		r.start()
		r.want(events(0, 5)...)
		r.check(os.Remove(r.path("eve.json")))
		r.append("eve-link.json", line(5))
		r.want(events(0, 6)...)
		r.append("eve.json", line(6))
		r.want(events(0, 7)...)
	}},
	// What has the name and is no regular file is told once and waited for; the old file is read to its end.
	{"file replaced by a directory", "", func(r *torture) {
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		r.rename("eve.json", "eve.json.1")
		r.check(os.Mkdir(r.path("eve.json"), 0o755))
		r.append("eve.json.1", line(1))
		r.want(events(0, 2)...)
		r.told("is not a regular file but a directory")
		r.check(os.Remove(r.path("eve.json")))
		r.append("eve.json", line(2))
		r.want(events(0, 3)...)
		r.counted("files_unreadable_total", 1)
	}},
	// A named pipe without a writer must not hold up anything.
	{"file replaced by a FIFO", "", func(r *torture) {
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		r.rename("eve.json", "eve.json.1")
		r.check(syscall.Mkfifo(r.path("eve.json"), 0o644))
		r.append("eve.json.1", line(1))
		r.want(events(0, 2)...)
		r.told("is not a regular file but a named pipe")
		r.check(os.Remove(r.path("eve.json")))
		r.append("eve.json", line(2))
		r.want(events(0, 3)...)
	}},
	// Nothing depends on the order of modification times: neither in the past nor in the future.
	{"clock that steps back", "", func(r *torture) {
		r.append("eve.json.9", "read long ago\n")
		r.append("eve.json", line(0))
		future := time.Now().Add(48 * time.Hour)
		r.check(os.Chtimes(r.path("eve.json.9"), future, future))
		r.start()
		r.want(line(0))
		r.check(os.Chtimes(r.path("eve.json"), future, future))
		r.stop()
		r.append("eve.json", line(1))
		r.check(os.Chtimes(r.path("eve.json"), future, future))
		r.rename("eve.json", "eve.json.2")
		r.append("eve.json.1", line(2)) // rotated unseen, after the clock stepped back
		past := time.Unix(1e9, 0)
		r.check(os.Chtimes(r.path("eve.json.1"), past, past))
		r.append("eve.json", line(3))
		r.check(os.Chtimes(r.path("eve.json"), past, past))
		r.start()
		r.want(events(0, 4)...)
		r.settle()
		r.stop()
		r.start()
		r.append("eve.json", line(4))
		r.until("the last line", func() bool { return r.sum(strings.TrimSpace(line(4))) == 1 })
		if len(r.got) != 7 {
			r.Errorf("got %d records, want 7", len(r.got))
		}
	}},
	// The files of a glob may change their numbers; a file is read once whatever its name.
	{"glob whose numbers move", "eve.*.json<", func(r *torture) {
		r.append("eve.1.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		n := 3
		for round := range 5 {
			for i := round + 1; i > 0; i-- {
				r.rename(fmt.Sprintf("eve.%d.json", i), fmt.Sprintf("eve.%d.json", i+1))
			}
			r.append("eve.1.json", events(n, n+3)...)
			r.append("eve.2.json", line(n+3)) // the one that was just moved
			n += 4
			r.want(events(0, n)...)
			if round == 2 {
				r.stop()
				r.start()
			}
		}
	}},
	// More files than may be open are all read; those that do not grow are closed, and opened when they grow.
	{"glob of many files", "eve.*.json<", func(r *torture) {
		const files = maxOpen + 150
		var want []string
		for n := range files {
			r.append(fmt.Sprintf("eve.%d.json", n), line(n))
			want = append(want, line(n))
		}
		r.start()
		r.want(want...)
		r.until("some are closed", func() bool { return openBelow(r.dir) <= maxOpen+2 })
		for n := range files {
			r.append(fmt.Sprintf("eve.%d.json", n), line(files+n))
			want = append(want, line(files+n))
		}
		r.want(want...)
		r.stop()
		for n := range files {
			r.append(fmt.Sprintf("eve.%d.json", n), line(2*files+n))
			want = append(want, line(2*files+n))
		}
		r.start()
		r.want(want...)
	}},
}
