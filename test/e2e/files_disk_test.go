package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestArchiveSQLiteAndParquetOnABadDisk gives each a file system that can only be read, then one that is full, then room.
func TestArchiveSQLiteAndParquetOnABadDisk(t *testing.T) {
	const n = 20000
	for _, c := range []struct {
		name, row, small string
		read             func(r *root) map[int]int
	}{
		{"archive", `{tag = "out", uri = "archive://$ROOT/disk/%Y/{none}.json"}`, "200k", func(r *root) map[int]int {
			seen := map[int]int{}
			r.walk("disk", ".json", func(path string, f *os.File) error { return ids(json.NewDecoder(f), seen) })
			return seen
		}},
		{"sqlite", `{tag = "out", uri = "sqlite://$ROOT/disk/x.db"}`, "200k", func(r *root) map[int]int {
			seen := map[int]int{}
			text, err := exec.Command("sqlite3", "-batch", "-init", "/dev/null", r.path("disk/x.db"), "PRAGMA quick_check; SELECT event FROM events").Output()
			rest, ok := strings.CutPrefix(string(text), "ok\n")
			if err != nil || !ok {
				skip(r.t, "sqlite3: %v, %.100s", err, text)
			}
			if err := ids(json.NewDecoder(strings.NewReader(rest)), seen); err != nil {
				r.t.Fatal(err)
			}
			return seen
		}},
		{"parquet", `{tag = "out", uri = "parquet://$ROOT/disk", partition = "", segment_size = "64k", every = "1h"}`, "40k", func(r *root) map[int]int {
			seen := map[int]int{}
			r.walk("disk", ".parquet", func(path string, f *os.File) error {
				info, err := f.Stat()
				if err != nil {
					return err
				}
				type row struct {
					Event string `parquet:"event,optional"`
				}
				rows, err := parquet.Read[row](f, info.Size())
				for _, row := range rows {
					ids(json.NewDecoder(strings.NewReader(row.Event)), seen)
				}
				return err
			})
			return seen
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sinkRoot(t, c.row, "")
			r.write("config/config.lua", r.read("config/config.lua"))
			again := r.smallDisk("disk", "size=16m")
			again("ro")
			p := r.start()
			r.append("in.json", events(n))
			p.outage("out", "read-only file system")
			again("size=" + c.small)
			p.until("a full disk", func() bool { return strings.Contains(p.text(), "no space left") })
			again("size=64m")
			p.until("all events are read", func() bool {
				_, text := p.get("/ledger")
				return strings.Contains(text, `"delivered":20000`)
			})
			out := p.stop()
			seen := c.read(r)
			wantAll(t, c.name, seen, n)
			for i, times := range seen {
				if times != 1 {
					t.Fatalf("event %d is there %d times\n%s", i, times, out)
				}
			}
		})
	}
}

// ids counts the events of a stream by id.
func ids(d *json.Decoder, seen map[int]int) error {
	for d.More() {
		var e struct{ ID int }
		if err := d.Decode(&e); err != nil {
			return err
		}
		seen[e.ID]++
	}
	return nil
}
