package tail

import (
	"bytes"
	"compress/gzip"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// pack compresses a file as gzip and zstd do: into a file beside it, that then takes its place.
func (r *torture) pack(name, ext string) {
	r.Helper()
	text, err := os.ReadFile(r.path(name))
	r.check(err)
	var b bytes.Buffer
	switch ext {
	case ".gz":
		z := gzip.NewWriter(&b)
		z.Write(text)
		z.Close()
	case ".zst":
		z, err := zstd.NewWriter(&b)
		r.check(err)
		z.Write(text)
		z.Close()
	default:
		b.WriteString("BZh9 as if it were")
	}
	r.check(os.WriteFile(r.path(name+ext), b.Bytes(), 0o644))
	r.check(os.Remove(r.path(name)))
}

// readPackedRest is a case with a file that is rotated and packed while the input is down, not read to its end.
func readPackedRest(ext string) func(r *torture) {
	return func(r *torture) {
		r.append("eve.json", events(0, 300)...)
		r.start()
		r.want(events(0, 300)...)
		r.stop()
		r.append("eve.json", events(300, 400)...)
		r.rename("eve.json", "eve.json.1")
		r.pack("eve.json.1", ext)
		r.append("eve.json", events(400, 410)...)
		r.start()
		r.want(events(0, 410)...)
		r.told("reading what was not yet read of a file that is packed now")
		r.counted("files_unpacked_total", 1)
		r.counted("files_lost_total", 0)
		r.until("the file is read to its end", func() bool { return r.logged("a packed file is read to its end") == 1 })
		r.rename("eve.json.1"+ext, "eve.json.2"+ext)
		r.stop()
		r.start()
		r.append("eve.json", line(410))
		r.want(events(0, 411)...)
		r.settle()
		if len(r.got) != 413 {
			r.Errorf("got %d records, want 413", len(r.got))
		}
	}
}

var packedCases = []tortureCase{
	// What was not read of a file that is packed now is read from the packed file, from the checkpoint on; and never again.
	{"compressed by gzip while down", "", readPackedRest(".gz")},
	{"compressed by zstd while down", "", readPackedRest(".zst")},
	// A file that was rotated and packed before anybody saw it is read whole.
	{"rotated and compressed unseen", "", func(r *torture) {
		r.append("eve.json.7", "read long ago\n")
		r.pack("eve.json.7", ".gz")
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.stop()
		r.rename("eve.json.7.gz", "eve.json.9.gz")
		r.append("eve.json", events(20, 30)...)
		r.rename("eve.json", "eve.json.3")
		r.pack("eve.json.3", ".gz")
		r.append("eve.json.2", events(30, 60)...)
		r.pack("eve.json.2", ".gz")
		r.append("eve.json.1", events(60, 70)...)
		r.append("eve.json", events(70, 80)...)
		r.start()
		r.want(events(0, 80)...)
		r.counted("files_unpacked_total", 2)
		r.counted("files_lost_total", 0)
		r.stop()
		r.start()
		r.append("eve.json", line(80))
		r.want(events(0, 81)...)
	}},
	// A file that is packed while it is read goes on to be read: it is open. Its packed successor is not read.
	{"compressed while bytes are pending", "", func(r *torture) {
		block, release := blocked(r)
		r.append("eve.json", events(0, 2000)...)
		r.start()
		<-block
		r.rename("eve.json", "eve.json.1")
		r.pack("eve.json.1", ".gz")
		r.append("eve.json", events(2000, 2010)...)
		close(release)
		r.want(events(0, 2010)...)
		r.settle()
		if len(r.got) != 2012 {
			r.Errorf("got %d records, want 2012", len(r.got))
		}
		r.counted("files_unpacked_total", 0)
	}},
	// A rotated file that was read is packed later, and its packed successor is not read, after a restart neither.
	{"compressed after it was read", "", func(r *torture) {
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", events(20, 30)...)
		r.told("a rotated file is read to its end")
		r.pack("eve.json.1", ".zst")
		r.settle()
		r.rename("eve.json", "eve.json.1")
		r.append("eve.json", line(30))
		r.until("read", func() bool { return r.sum(strings.TrimSpace(line(30))) == 1 })
		r.stop()
		r.pack("eve.json.1", ".gz")
		r.start()
		r.append("eve.json", line(31))
		r.until("read", func() bool { return r.sum(strings.TrimSpace(line(31))) == 1 })
		r.settle()
		if len(r.got) != 36 {
			r.Errorf("got %d records, want 36", len(r.got))
		}
		r.counted("files_unpacked_total", 0)
	}},
	// Copytruncate that packs the copy at once: what the reader had not read is in the packed file.
	{"copy that is compressed at once", "", func(r *torture) {
		block, release := blocked(r)
		r.append("eve.json", events(0, 2000)...)
		r.start()
		<-block
		r.copy("eve.json", "eve.json.1")
		r.pack("eve.json.1", ".gz")
		r.truncate("eve.json", 0)
		r.append("eve.json", events(2000, 2010)...)
		close(release)
		r.want(events(0, 2010)...)
	}},
	// Packed in a way that cannot be read: told once, with the place and the offset, and counted as lost.
	{"compressed by something else while down", "", func(r *torture) {
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.stop()
		r.append("eve.json", line(20))
		r.rename("eve.json", "eve.json.1")
		r.pack("eve.json.1", ".bz2")
		r.append("eve.json", line(21))
		r.start()
		r.want(append(events(0, 20), line(21))...)
		r.told("a file that was followed is gone")
		r.counted("files_lost_total", 1)
		r.stop()
		r.start()
		r.append("eve.json", line(22))
		r.want(append(events(0, 20), events(21, 23)...)...)
	}},
	// A packed file that is cut off is read as far as it goes; the rest is told and counted as lost.
	{"compressed file that is cut off", "", func(r *torture) {
		r.append("eve.json", events(0, 20)...)
		r.start()
		r.want(events(0, 20)...)
		r.stop()
		for n := 20; n < 5000; n += 500 {
			r.append("eve.json", events(n, n+500)...)
		}
		r.rename("eve.json", "eve.json.1")
		r.pack("eve.json.1", ".gz")
		info, err := os.Stat(r.path("eve.json.1.gz"))
		r.check(err)
		r.truncate("eve.json.1.gz", info.Size()*3/4)
		r.append("eve.json", "end\n")
		r.start()
		r.told("a packed file cannot be read further")
		r.until("the end", func() bool { return r.sum("end") == 1 })
		r.counted("files_lost_total", 1)
		if n := len(r.got); n < 2000 {
			r.Errorf("got %d records, want those of three quarters of the file", n)
		}
	}},
}
