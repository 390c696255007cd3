// Command bench measures Dragonfly end to end, from file to file, beside LuaJIT with lua-cjson on the same lines, and
// writes test/bench/RESULTS.md. Everything is on: ledger, acks, checkpoints. Run it with `make bench`.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	lines   = flag.Int("n", 300_000, "events")
	rounds  = flag.Int("rounds", 5, "runs of each, in turn")
	only    = flag.String("only", "", "letters of the workloads, k for what safety costs, p for packets, s for Redis and the store, w for wires; all if empty")
	out     = flag.String("o", "test/bench/RESULTS.md", "file for the results; - is standard output")
	program = flag.String("bin", "bin/dragonfly", "the program")

	onlyWires = flag.String("wires", "", "regular expression of the wires that are measured, by uri")
	plain     = flag.String("plain", "", "be this plain client: for the program's own use")
	plainAt   = flag.String("at", "", "where it sends to")
	plainIn   = flag.String("in", "", "what it sends")
)

// workload is one pipeline: the analyzers behind a filter that passes everything on, and the same work for LuaJIT.
type workload struct {
	letter, name string
	filter       string // body of loop(e)
	analyzers    []string
	luajit       string // body of loop(e) of one stage: decode before, encode after it
	wantRatio    float64
	budget       float64 // CPU us per event, design.md's budget
}

const pass = `dragonfly.analyze_event(default_analyzer, e)`
const realistic = `
	local proto = e.proto
	local flow = e.flow
	local bytes = flow and flow.bytes_toserver or 0
	local name = e.dns and e.dns.rrname or e.http and e.http.hostname or e.tls and e.tls.sni or ""
	local tld = string.match(name, "%.(%w+)$") or "none"
	count[tld] = (count[tld] or 0) + 1
	e.dragonfly = {tld = tld, seen = count[tld], proto = proto, bytes = bytes}`
const compute = `
	local h = 0
	for i = 1, 400 do h = (h * 31 + i) % 65521 end
	e.hash = h`

var workloads = []workload{
	{"a", "pass-through filter and analyzer", pass, []string{``}, ``, 4.5, 1.2},
	{"b", "analyzer sets two fields", pass, []string{`e.tag = "seen" e.score = 0.5`}, `e.tag = "seen" e.score = 0.5`, 3.5, 1.9},
	{"c", "realistic analyzer: nested reads, a match, a counter, a nested write", pass, []string{realistic}, realistic, 1.3, 5.8},
	{"d", "four chained analyzers, each a read and a write", pass, []string{
		`if e.event_type then e.a1 = 1 end`, `if e.event_type then e.a2 = 2 end`, `if e.event_type then e.a3 = 3 end`, `if e.event_type then e.a4 = 4 end`},
		`if e.event_type then e.a1 = 1 end if e.event_type then e.a2 = 2 end if e.event_type then e.a3 = 3 end if e.event_type then e.a4 = 4 end`, 0, 4},
	{"e", "compute-bound analyzer (for the scaling over workers)", pass, []string{compute}, compute, 0, 0},
}

// figures of one run.
type figures struct {
	cpu, wall time.Duration
	rss       int64 // KiB
	allocs    int64 // objects; 0 if not known
}

func main() {
	flag.Parse()
	do := run
	if *plain != "" {
		do = runPlain
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "dragonfly-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	corpora := []string{"test/data/eve.json"}
	if _, err := os.Stat("../shared/data/reference/eve/eve-mixed.json"); err == nil {
		corpora = append(corpora, "../shared/data/reference/eve/eve-mixed.json")
	}
	var report strings.Builder
	header(&report)
	for _, corpus := range corpora {
		input := filepath.Join(dir, "in.json")
		n, bytes, err := inflate(corpus, input, *lines)
		if err != nil {
			return err
		}
		fmt.Fprintf(&report, "\n## %s: %d events, %d bytes on average\n\n", filepath.Base(corpus), n, bytes/int64(n))
		report.WriteString("CPU is user and system time of the whole process; ratios are of CPU per event, pair by pair, LuaJIT / Dragonfly.\n\n")
		report.WriteString("| | workload | workers | CPU us/event | events/s | allocations/event | peak memory MB | LuaJIT+cjson CPU us/event | ratio (min - max) | wanted |\n|---|---|---|---|---|---|---|---|---|---|\n")
		for _, w := range workloads {
			if *only != "" && !strings.Contains(*only, w.letter) {
				continue
			}
			if err := measure(&report, dir, bin, input, n, w); err != nil {
				return fmt.Errorf("%s: %w", w.letter, err)
			}
		}
	}
	if *only == "" || strings.Contains(*only, "k") {
		input := filepath.Join(dir, "in.json")
		n, _, err := inflate(corpora[0], input, *lines)
		long := ""
		if err == nil {
			long, err = repeat(dir, input, safetyTimes)
		}
		if err == nil {
			err = safetyBench(&report, dir, bin, long, n*safetyTimes)
		}
		if err == nil {
			err = os.Remove(long)
		}
		if err == nil {
			err = neighbourBench(&report, dir, bin, input, n)
		}
		if err != nil {
			return fmt.Errorf("safety: %w", err)
		}
	}
	if *only == "" || strings.Contains(*only, "p") {
		if err := packetBench(&report, dir, bin); err != nil {
			return fmt.Errorf("packets: %w", err)
		}
	}
	if *only == "" || strings.Contains(*only, "s") {
		if err := storeBench(&report, dir, bin); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if *only == "" || strings.Contains(*only, "w") {
		input := filepath.Join(dir, "in.json")
		n, _, err := inflate(corpora[len(corpora)-1], input, *lines)
		if err == nil {
			err = wireBench(&report, dir, bin, input, n)
		}
		if err != nil {
			return fmt.Errorf("wires: %w", err)
		}
	}
	if *out == "-" {
		fmt.Print(report.String())
		return nil
	}
	fmt.Print(report.String())
	return os.WriteFile(*out, []byte(report.String()), 0o644)
}

func header(b *strings.Builder) {
	version := func(name string, args ...string) string {
		text, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			return name + " is missing"
		}
		return strings.TrimSpace(strings.SplitN(string(text), "\n", 2)[0])
	}
	cpu := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	fmt.Fprintf(b, "# Benchmark results\n\nMade by `make bench` (%d rounds, each workload and LuaJIT in turn; medians). Machines differ and are noisy: the ratios are what counts.\n\n", *rounds)
	fmt.Fprintf(b, "- %d cores, %s, %s, %s\n- %s\n- file to file, with ledger, acks and checkpoints on\n", runtime.NumCPU(), cpu, runtime.GOARCH, runtime.Version(), version("luajit", "-v"))
}

// measure runs a workload with one and two workers and LuaJIT in turn.
func measure(report *strings.Builder, dir, bin, input string, n int, w workload) error {
	var one, two, jit []figures
	for range *rounds {
		f, err := dragonfly(dir, bin, input, w, 1)
		if err != nil {
			return err
		}
		one = append(one, f)
		if f, err = luajit(dir, input, w); err != nil {
			return err
		}
		jit = append(jit, f)
		if f, err = dragonfly(dir, bin, input, w, 2); err != nil {
			return err
		}
		two = append(two, f)
	}
	row := func(workers int, list []figures) {
		var ratios []float64
		for i := range list {
			ratios = append(ratios, float64(jit[i].cpu)/float64(list[i].cpu))
		}
		slices.Sort(ratios)
		wanted := ""
		if w.wantRatio > 0 {
			wanted = fmt.Sprintf("%.1f", w.wantRatio)
		}
		if w.budget > 0 {
			wanted += fmt.Sprintf(" (budget %.1f us)", w.budget)
		}
		perSecond := float64(n) / median(list, func(f figures) float64 { return f.wall.Seconds() })
		fmt.Fprintf(report, "| %s | %s | %d | %.2f | %.0f | %.1f | %.0f | %.2f | **%.2f** (%.2f - %.2f) | %s |\n", w.letter, w.name, workers,
			median(list, func(f figures) float64 { return f.cpu.Seconds() * 1e6 / float64(n) }), perSecond,
			median(list, func(f figures) float64 { return float64(f.allocs) / float64(n) }),
			median(list, func(f figures) float64 { return float64(f.rss) / 1024 }),
			median(jit, func(f figures) float64 { return f.cpu.Seconds() * 1e6 / float64(n) }),
			ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], wanted)
	}
	row(1, one)
	row(2, two)
	speedup := median(one, func(f figures) float64 { return f.wall.Seconds() }) / median(two, func(f figures) float64 { return f.wall.Seconds() })
	fmt.Fprintf(report, "| | two workers against one: **%.2fx** the throughput | | | | | | | | %s |\n", speedup, map[bool]string{true: "1.7x", false: ""}[w.letter == "e"])
	return nil
}

func median(list []figures, f func(figures) float64) float64 {
	v := make([]float64, len(list))
	for i := range list {
		v[i] = f(list[i])
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// dragonfly runs the workload from file to file.
func dragonfly(dir, bin, input string, w workload, workers int) (figures, error) {
	return dragonflyWith(dir, bin, input, w, workers, "")
}

// anyLedger as options lets events go to the dead letter.
const anyLedger = "any ledger"

// dragonflyWith does that with further keys in the input's row.
func dragonflyWith(dir, bin, input string, w workload, workers int, options string) (figures, error) {
	checked := options != anyLedger
	if !checked {
		options = ""
	}
	root := filepath.Join(dir, "root")
	os.RemoveAll(root)
	for _, d := range []string{"scripts", "analyzers", "log"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return figures{}, err
		}
	}
	var config strings.Builder
	fmt.Fprintf(&config, "inputs = { {tag = \"eve\", uri = \"file://%s\", script = \"filter.lua\", %sdefault_analyzer = \"a1\", workers = %d} }\nanalyzers = {\n", input, options, workers)
	write := func(name, body string) error {
		return os.WriteFile(filepath.Join(root, name), []byte("local count = {}\nfunction setup() end\nfunction loop(e)\n"+body+"\nend\n"), 0o644)
	}
	if err := write("scripts/filter.lua", w.filter); err != nil {
		return figures{}, err
	}
	for i, body := range w.analyzers {
		next, send := "", "\ndragonfly.output_event(default_output, e)"
		if i+1 < len(w.analyzers) {
			next, send = fmt.Sprintf("a%d", i+2), "\n"+pass
		}
		fmt.Fprintf(&config, "{tag = \"a%d\", script = \"a%d.lua\", default_analyzer = %q, default_output = \"out\", workers = %d},\n", i+1, i+1, next, workers)
		if err := write(fmt.Sprintf("analyzers/a%d.lua", i+1), body+send); err != nil {
			return figures{}, err
		}
	}
	config.WriteString("}\noutputs = { {tag = \"out\", uri = \"file://out.json\"} }\nlisten = \"\"\n")
	if err := os.WriteFile(filepath.Join(root, "scripts/config.lua"), []byte(config.String()), 0o644); err != nil {
		return figures{}, err
	}
	cmd := exec.Command(bin, "-r", root, "-x")
	cmd.Env = append(os.Environ(), "DRAGONFLY_MEMSTATS=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	f, err := timed(cmd)
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, stderr.String())
	}
	if checked && !strings.Contains(stderr.String(), "dead-lettered 0 + in flight 0") {
		return f, fmt.Errorf("the ledger is not what it should be: %s", stderr.String())
	}
	for l := range strings.Lines(stderr.String()) {
		if _, text, ok := strings.Cut(l, "allocations="); ok {
			f.allocs, _ = strconv.ParseInt(strings.Fields(text)[0], 10, 64)
		}
	}
	return f, os.Remove(filepath.Join(root, "log/out.json"))
}

// luajit runs the same work as one decode, one call and one encode per line: less than dragonfly-mle does.
func luajit(dir, input string, w workload) (figures, error) {
	script := filepath.Join(dir, "bench.lua")
	body := "local cjson = require 'cjson'\nlocal count = {}\nlocal function filter(e) return e end\nlocal function loop(e)\n" + w.luajit + "\nreturn e end\n" +
		"local decode, encode = cjson.decode, cjson.encode\nlocal out = io.open(arg[2], 'w')\nfor line in io.lines(arg[1]) do\n" +
		"  out:write(encode(loop(filter(decode(line)))), '\\n')\nend\nout:close()\n"
	if err := os.WriteFile(script, []byte(body), 0o644); err != nil {
		return figures{}, err
	}
	result := filepath.Join(dir, "luajit.json")
	defer os.Remove(result)
	return timed(exec.Command("luajit", script, input, result))
}

// timed runs a program. Linux starts the peak memory of a child with that of its parent: so ours is let go of, and its peak forgotten.
func timed(cmd *exec.Cmd) (figures, error) {
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	start := time.Now()
	err := cmd.Run()
	f := figures{wall: time.Since(start)}
	if cmd.ProcessState != nil {
		u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		f.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		f.rss = u.Maxrss
	}
	return f, err
}

// shares is how often an event type comes in the inflated corpus, per 4000: the mix of a sensor.
var shares = map[string]int{"flow": 1300, "dns": 1000, "http": 400, "fileinfo": 320, "tls": 300, "alert": 260, "anomaly": 120, "smb": 100, "quic": 40,
	"netflow": 100, "smtp": 30, "dcerpc": 30, "dhcp": 20, "ftp": 20, "mqtt": 20, "sip": 20, "krb5": 20, "nfs": 20, "ssh": 11, "stats": 1}

// inflate writes n lines of the corpus in the mix of a sensor: real bytes, with a flow_id of its own in each. The same
// corpus gives the same file.
func inflate(corpus, path string, n int) (count int, bytes int64, err error) {
	text, err := os.ReadFile(corpus)
	if err != nil {
		return 0, 0, err
	}
	byType := map[string][]string{}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSpace(l)
		if _, rest, ok := strings.Cut(l, `"event_type":"`); ok && len(l) < 8000 {
			kind, _, _ := strings.Cut(rest, `"`)
			byType[kind] = append(byType[kind], l)
		}
	}
	var deck []string
	for kind, list := range byType {
		for range shares[kind] {
			deck = append(deck, kind)
		}
		slices.Sort(list)
	}
	slices.Sort(deck)
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	seed := uint64(1)
	next := func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int((seed >> 33) % uint64(n))
	}
	for i := range n {
		list := byType[deck[next(len(deck))]]
		line := withFlowID(list[next(len(list))], 1_500_000_000_000_000+i*7)
		w.WriteString(line)
		w.WriteByte('\n')
		bytes += int64(len(line)) + 1
	}
	if err := w.Flush(); err != nil {
		return 0, 0, err
	}
	return n, bytes, f.Close()
}

func withFlowID(line string, id int) string {
	head, rest, ok := strings.Cut(line, `"flow_id":`)
	if !ok {
		return line
	}
	end := strings.IndexAny(rest, ",}")
	return head + `"flow_id":` + strconv.Itoa(id) + rest[end:]
}
