package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings of a rig. Binary, Seed and Dir are required.
type settings struct {
	binary string
	seed   uint64
	dir    string // of this rig alone; exists
	rate   int    // events a second
	small  int    // bytes of the small file system that holds the files of the sinks; needs root; 0: none
	state  bool   // the binary keeps `state`
	listen string
}

// rig is one run: a root directory, the binary as a child, the producer and both sinks.
type rig struct {
	settings
	rand      *rand.Rand
	begun     time.Time
	log       *journal
	producer  *producer
	sock      *delivery
	file      *delivery
	dead      *delivery
	receiver  *receiver
	files     *directory
	letters   *directory
	disk      *smallDisk // nil: none
	child     *child     // nil while none runs
	runs      int
	cuts      []cut
	saved     []int64 // see cut
	reloads   int
	undrained int // reloads that did not drain, of the child that runs
	faults    []string
	want      totals
}

// drainTimeout of the configuration: short, so that an end during an outage does not take long.
const drainTimeout = time.Second

// shards of the script that counts.
const shards = 2

// newRig makes the directories, the configuration and the sinks. Nothing runs yet. close must be called.
func newRig(s settings) (*rig, error) {
	r := &rig{settings: s, rand: rand.New(rand.NewPCG(s.seed, 0xfa17)), begun: time.Now()}
	for _, d := range []string{"config", "filter", "analyzer", "log", "in", "disk", "state"} {
		if err := os.MkdirAll(r.path(d), 0o755); err != nil {
			return nil, err
		}
	}
	if s.small > 0 {
		small, err := mountSmall(r.path("disk"), s.small)
		if err != nil {
			return nil, err
		}
		r.disk = small
	}
	file, err := os.Create(r.path("journal.txt"))
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.log = &journal{file: file}
	r.sock = &delivery{name: "socket", seed: s.seed, parse: withVerdict, first: 1}
	r.file = &delivery{name: "file", seed: s.seed, parse: asIssued, first: 1}
	r.dead = &delivery{name: "dead letter", seed: s.seed, parse: deadLetter, first: 1}
	r.receiver = &receiver{path: r.path("s"), to: r.sock}
	r.files = &directory{dir: r.path("disk"), name: "out.json", to: r.file}
	r.letters = &directory{dir: r.path("disk"), name: "dead.json", to: r.dead}
	r.producer = newProducer(s.seed, r.path("in"), s.rate)
	if err := errors.Join(r.producer.err, r.writeScripts(), r.writeConfig(), r.receiver.open()); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// note writes a line of the driver's into the journal.
func (r *rig) note(format string, args ...any) {
	fmt.Fprintf(r.log, "== %6.2f s: %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// fail notes a fault.
func (r *rig) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.note("FAULT %s", text)
	r.faults = append(r.faults, text)
}

// replace writes a file so that no reader sees half of it.
func (r *rig) replace(name, text string) error {
	temp := r.path(name) + ".temp"
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, r.path(name))
}

// writeConfig writes config.lua. Each has other bounds than the one before, so that a reload exchanges the pipeline.
func (r *rig) writeConfig() error {
	r.reloads++
	return r.replace("config/config.lua", fmt.Sprintf(`
inputs = { {tag = "eve", uri = "tail://%[1]s/in/eve.json<", script = "take.lua", default_analyzer = "count"} }
analyzers = {
  {tag = "count", script = "count.lua", workers = %[2]d, shard_by = "src_ip", default_analyzer = "judge"},
  {tag = "judge", script = "judge.lua"},
}
outputs = {
  {tag = "file", uri = "file://%[1]s/disk/out.json"},
  {tag = "socket", uri = "unix://%[1]s/s"},
  {tag = "totals", uri = "file://totals.json"},
}
dead_letter = "file://%[1]s/disk/dead.json"
drain_timeout = %[3]g
max_in_flight = %[4]d
listen = %[5]q
`, r.dir, shards, drainTimeout.Seconds(), 1024+r.reloads, r.listen))
}

const takeScript = `function loop(e) dragonfly.analyze_event(default_analyzer, e) end
`

const countScript = `function loop(e)
  state.n = (state.n or 0) + 1
  local ips = state.ips
  if not ips then ips = {} state.ips = ips end
  local c = ips[e.src_ip]
  if not c then c = {n = 0, sum = 0} ips[e.src_ip] = c end
  c.n = c.n + 1
  c.sum = c.sum + e.n
  dragonfly.analyze_event(default_analyzer, e)
end
function finish()
  dragonfly.output_event("totals", {n = state.n or 0, ips = state.ips or {}})
end
`

const judgeScript = `function loop(e)
  if e.kind == "drop" then return end
  if e.kind == "raise" then error("unlucky") end
  dragonfly.output_event("file", e)
  e.verdict = "ok"
  dragonfly.output_event("socket", e)
end
`

func (r *rig) writeScripts() error {
	count := countScript
	if !r.state {
		count = "state = {}\n" + count
	}
	return errors.Join(r.replace("filter/take.lua", takeScript), r.replace("analyzer/count.lua", count),
		r.replace("analyzer/judge.lua", judgeScript))
}

// observe reads the checkpoint on disk. Offsets only grow: what was once below one must never come again.
func (r *rig) observe() error {
	now, err := readCheckpoint(r.path("state/checkpoint.json"), "eve")
	if err != nil {
		return err
	}
	_, _, files := r.producer.snapshot()
	next := make([]int64, len(files))
	copy(next, r.saved)
	for i, id := range files {
		if offset, ok := now[id]; ok {
			if offset < next[i] {
				r.fail("the checkpoint of file %d went back from %d to %d", i, next[i], offset)
			}
			next[i] = max(next[i], offset)
		}
	}
	r.saved = next
	return nil
}

// noteCut notes that the child ended, or gave up its pipeline, with work undone.
func (r *rig) noteCut(why string) error {
	if err := r.observe(); err != nil {
		return err
	}
	r.cuts = append(r.cuts, cut{last: r.producer.last(), saved: r.saved})
	r.note("%s: above the checkpoint are %d events", why, r.above())
	return nil
}

// above returns how many events are above the checkpoint of the last cut.
func (r *rig) above() int {
	first, events, _ := r.producer.snapshot()
	o := &oracle{first: first, events: events, cuts: r.cuts}
	return o.again(len(r.cuts) - 1)
}

// live wants new events at both sinks within ten seconds.
func (r *rig) live(after string) bool {
	mark := r.producer.last()
	begun := time.Now()
	ok := r.until(1000, func() bool { r.poll(); return r.sock.reached(mark) && r.file.reached(mark) })
	if !ok {
		r.fail("not live again after %s: no event above %d at %s", after, mark, r.behind(mark))
		if r.child != nil {
			r.child.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the journal
			<-r.child.ended
		}
		return false
	}
	r.note("live again after %v", time.Since(begun).Round(time.Millisecond))
	return true
}

func (r *rig) behind(mark int) string {
	var list []string
	for _, d := range []*delivery{r.sock, r.file} {
		if !d.reached(mark) {
			list = append(list, d.name)
		}
	}
	return strings.Join(list, ", ")
}

// poll takes what is new in the files.
func (r *rig) poll() {
	if err := errors.Join(r.files.poll(), r.letters.poll()); err != nil {
		r.note("reading the files: %v", err)
	}
}

// sinks are all where events arrive.
func (r *rig) sinks() []sinkOf {
	return []sinkOf{
		{r.sock, func(k kind) bool { return k == good }, true},
		{r.file, func(k kind) bool { return k == good }, false},
		{r.dead, func(k kind) bool { return k == raising || k == malformed }, false},
	}
}

// arrived waits until all that was issued has arrived, or nothing more comes for ten seconds.
func (r *rig) arrived() bool {
	_, events, _ := r.producer.snapshot()
	want := make([]int, len(r.sinks()))
	for i, s := range r.sinks() {
		for j := range events {
			if s.takes(events[j].kind) {
				want[i]++
			}
		}
	}
	for last := -1; ; {
		now, done := 0, true
		ended := r.until(1000, func() bool {
			r.poll()
			now, done = 0, true
			for i, s := range r.sinks() {
				n := s.distinct()
				now += n
				done = done && n >= want[i]
			}
			return done || now > last
		})
		if done {
			return true
		}
		if !ended {
			r.note("not all has arrived: %d events of %v", now, want)
			return false
		}
		last = now
	}
}

// finish lets the pipeline drain, ends it and judges everything. The producer has stopped.
func (r *rig) finish() verdict {
	if r.child == nil {
		r.fail("no process is left to drain")
		return r.judge(nil)
	}
	if r.arrived() && !r.covered() { // TERM would end the reading of what comes again
		r.fail("everything has arrived, and the checkpoint does not reach the end of the files")
	}
	from, err := os.ReadFile(r.path("log/totals.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.fail("%v", err)
	}
	if err := r.term(); err != nil {
		r.fail("%v", err)
	}
	r.receiver.close()
	if err := errors.Join(r.files.end(), r.letters.end()); err != nil {
		r.fail("reading the files: %v", err)
	}
	text, err := os.ReadFile(r.path("log/totals.json"))
	if err != nil || !bytes.HasPrefix(text, from) {
		r.fail("log/totals.json cannot be read or was rewritten: %v", err)
	} else {
		text = text[len(from):]
	}
	r.judgeState()
	return r.judge(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
}

// judgeState wants no temporary files in the state directory.
func (r *rig) judgeState() {
	filepath.WalkDir(r.path("state"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		for _, part := range []string{".new", ".tmp", ".temp", ".part", ".writable", ".damaged"} {
			if strings.Contains(d.Name(), part) {
				r.fail("left in the state directory: %s", d.Name())
			}
		}
		return nil
	})
}

func (r *rig) judge(lines []string) verdict {
	first, events, _ := r.producer.snapshot()
	v := (&oracle{first: first, events: events, cuts: r.cuts}).judge(r.sinks())
	if r.state && lines != nil {
		want := r.want
		want.addIssued(first, events)
		v.faults = append(v.faults, judgeTotals(want, lines, shards)...)
	}
	v.faults = append(r.faults, v.faults...)
	return v
}

// close ends what still runs.
func (r *rig) close() error {
	var errs []error
	if r.child != nil {
		r.child.cmd.Process.Kill()
		<-r.child.ended
	}
	if r.receiver != nil {
		r.receiver.close()
	}
	if r.producer != nil && r.producer.file != nil {
		errs = append(errs, r.producer.file.Close())
	}
	if r.disk != nil {
		errs = append(errs, r.disk.unmount())
	}
	if r.log != nil {
		errs = append(errs, r.log.file.Close())
	}
	return errors.Join(errs...)
}

// produce lets the producer run beside work, once the process runs. It issues limit events, or, if that is 0, as many as come while work does.
func (r *rig) produce(limit int, work func() error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !r.running() {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- r.producer.run(ctx, limit) }()
	err := work()
	if limit == 0 || err != nil {
		cancel()
	}
	if perr := <-done; perr != nil {
		return errors.Join(err, fmt.Errorf("producer: %w", perr))
	}
	return err
}
