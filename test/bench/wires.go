package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// What outputs cost: the program with a pass-through filter, from a file to a sink, beside a plain client that sends the same
// lines to the same sink, and beside null://, in turn. A plain client reads the lines, does not look whether they are JSON,
// keeps no ledger and no checkpoint, and waits for the same acknowledgements.

// wire is an output that is measured.
type wire struct {
	name   string
	plain  string                         // name of the plain client, in plains
	what   string                         // what that is
	wanted float64                        // events/s
	start  func(dir string) (*rig, error) // starts the sink; errAbsent where it is not to be had
}

// rig is a sink that runs.
type rig struct {
	uri, options string // of the output's row; options end in a comma
	at           string // for the plain client
	count        func() (int64, error)
	reset        func() error // forgets what has come; nil: nothing to do
	stop         func()
}

// errAbsent is in the error of a start whose server is not installed.
var errAbsent = errors.New("not here")

var wires = []wire{
	{"unix://", "unix", "a write of 1024 lines", 300_000, startUnix},
	{"kafka://, acks=all, lz4, idempotent, keyed, 4 partitions", "kafka", "sarama's AsyncProducer, same settings", 150_000, startKafka},
	{"sqlite://, event and time, no index", "sqlite-event", "modernc.org/sqlite, one insert per event, transactions of 1024", 100_000, startSQLite("sqlite-event")},
	{"sqlite://, default columns and indexes", "sqlite", "the same, values found by the same means", 0, startSQLite("sqlite")},
	{"elasticsearch://", "bulk", "net/http, bulk requests of 1024, same ids and index", 50_000, startBulk},
	{"redis:// list", "redis-list", "go-redis, LPUSH of 1024", 0, startRedisSink("list")},
	{"redis:// stream", "redis-stream", "go-redis, pipelines of 1024 XADD", 0, startRedisSink("stream")},
	{"nats://, JetStream in memory", "nats", "nats.go, PublishMsgAsync with ids, windows of 1024", 0, startNATS},
	{"syslog+tcp://", "syslog", "a write of 1024 messages", 0, startSyslog},
	{"forward://, gzip, acks", "forward", "fluent-forward-go, encoding/json", 0, startForward},
	{"archive://, file per event_type and day of arrival", "archive", "a write per file and 1024 lines", 0, startArchive},
	{"parquet://, 11 columns, zstd", "parquet", "parquet-go, one file, values found by the same means", 0, startParquet},
}

// wireBench appends its table to report.
func wireBench(report *strings.Builder, dir, bin, input string, n int) error {
	chosen, err := regexp.Compile(*onlyWires)
	if err != nil {
		return err
	}
	report.WriteString("\n## Wires\n\nFrom a file through a pass-through filter to a sink on the same machine, which is not counted in CPU but shares the cores; beside a plain client " +
		"(a process of its own) that sends the same lines there, and beside null://. A plain client neither validates nor filters, and has no ledger and no checkpoint. " +
		"Time is of the whole process from its start to its end. Ratios are round by round, more than 1: Dragonfly is better. " +
		"The output alone is what is left of its CPU without that of null://: what a plain client does, given the events.\n\n" +
		"| output | events/s | wanted | plain client | its events/s | throughput against it (min - max) | CPU us/event | its CPU us/event | CPU against it (min - max) | output alone, CPU us/event | against it (wanted: 0.8) | throughput against null:// |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, w := range wires {
		if !chosen.MatchString(w.name) {
			continue
		}
		at, err := os.MkdirTemp(dir, "wire-")
		if err != nil {
			return err
		}
		err = measureWire(report, at, bin, input, n, w)
		os.RemoveAll(at)
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(report, "| %s | not measured: %v | | | | | | | | | | |\n", w.name, err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func measureWire(report *strings.Builder, dir, bin, input string, n int, w wire) error {
	r, err := w.start(dir)
	if err != nil {
		return err
	}
	defer r.stop()
	null := &rig{uri: "null://"}
	var engine, ours, plain []figures
	for round := range *rounds + 1 {
		a, err := wireRun(dir, bin, input, null, 0)
		if err != nil {
			return err
		}
		b, err := wireRun(dir, bin, input, r, int64(n))
		if err != nil {
			return err
		}
		c, err := plainRun(w.plain, input, r, int64(n))
		if err != nil {
			return fmt.Errorf("the plain client: %w", err)
		}
		if round > 0 { // the first warms the sink up
			engine, ours, plain = append(engine, a), append(ours, b), append(plain, c)
		}
	}
	wall := func(f figures) float64 { return f.wall.Seconds() }
	cpu := func(f figures) float64 { return f.cpu.Seconds() }
	speed, slow, fast := ratios(plain, ours, wall)
	cost, low, high := ratios(plain, ours, cpu)
	alone, _, _ := ratios(engine, ours, wall)
	own := max(median(ours, cpu)-median(engine, cpu), 0)
	wanted := ""
	if w.wanted > 0 {
		wanted = fmt.Sprintf("%.0f", w.wanted)
	}
	row := fmt.Sprintf("| %s | %.0f | %s | %s | %.0f | **%.2f** (%.2f - %.2f) | %.2f | %.2f | **%.2f** (%.2f - %.2f) | %.2f | **%.2f** | %.2f |\n", w.name, float64(n)/median(ours, wall), wanted,
		w.what, float64(n)/median(plain, wall), speed, slow, fast, median(ours, cpu)*1e6/float64(n), median(plain, cpu)*1e6/float64(n), cost, low, high, own*1e6/float64(n), median(plain, cpu)/max(own, 1e-9), alone)
	fmt.Fprint(os.Stderr, row) // it takes minutes
	report.WriteString(row)
	return nil
}

// wireRun runs the program from input to r; want events must come there.
func wireRun(dir, bin, input string, r *rig, want int64) (figures, error) {
	root := filepath.Join(dir, "root")
	os.RemoveAll(root)
	if err := writeAll(root, map[string]string{
		"scripts/filter.lua": "function setup() end\nfunction loop(e) dragonfly.output_event('out', e) end\n",
		"scripts/config.lua": fmt.Sprintf("listen = \"\"\ninputs = { {tag = \"eve\", uri = \"file://%s\", script = \"filter.lua\"} }\noutputs = { {tag = \"out\", %suri = %q} }\n", input, r.options, r.uri),
		"log/.keep":          "",
	}); err != nil {
		return figures{}, err
	}
	return r.timed(exec.Command(bin, "-r", root, "-x"), want, "dead-lettered 0 + in flight 0")
}

// plainRun runs a plain client, which is this program.
func plainRun(name, input string, r *rig, want int64) (figures, error) {
	self, err := os.Executable()
	if err != nil {
		return figures{}, err
	}
	return r.timed(exec.Command(self, "-plain", name, "-at", r.at, "-in", input), want, "")
}

// timed runs cmd, which must say text on its standard error, and counts what has come.
func (r *rig) timed(cmd *exec.Cmd, want int64, text string) (figures, error) {
	if r.reset != nil {
		if err := r.reset(); err != nil {
			return figures{}, fmt.Errorf("reset: %w", err)
		}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	f, err := timed(cmd)
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), text) {
		return f, fmt.Errorf("the ledger is not what it should be: %s", stderr.String())
	}
	if r.count == nil {
		return f, nil
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // a socket may hold some
		got, err := r.count()
		if err != nil {
			return f, fmt.Errorf("counting: %w", err)
		}
		if got == want {
			return f, nil
		}
		if got > want || time.Now().After(end) {
			return f, fmt.Errorf("%d events have come, want %d: %s", got, want, stderr.String())
		}
	}
}
