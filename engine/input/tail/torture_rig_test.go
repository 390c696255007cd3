package tail

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// torture runs an input over a directory, as the engine would with its checkpoints on disk, and keeps what it emits.
type torture struct {
	*testing.T
	dir     string
	uri     string
	state   string                // path of the checkpoints
	options engine.Values         // besides the defaults
	prepare func(*input)          // called before Open
	other   bool                  // the input runs as another user, if the test is root's
	strict  bool                  // a line that comes again although a saved checkpoint is above it fails the test
	block   func(context.Context) // called by emit first
	points  *engine.Checkpoints
	counts  *engine.Counters
	in      *input
	cancel  context.CancelFunc
	ended   chan error

	mu    sync.Mutex
	log   bytes.Buffer
	got   []string
	lag   int      // batches that are not acked yet, at most; -1 is all
	owed  []debt   // in order
	acked []string // since the last save

	delivered []string        // acked ever: what is not is lost by a kill
	saved     map[string]bool // acked before the last save
}

// patience is how long a condition may take on a busy machine.
const patience = time.Minute

// debt is a batch that is not acked.
type debt struct {
	done  func()
	lines []string
}

func newTorture(t *testing.T, uri string) *torture {
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755) // for another user
	r := &torture{T: t, dir: dir, uri: uri, state: filepath.Join(t.TempDir(), "checkpoint.json"), counts: engine.NewCounters(), saved: map[string]bool{}}
	r.points = r.open()
	t.Cleanup(r.stop)
	return r
}

func (r *torture) open() *engine.Checkpoints {
	c, err := engine.OpenCheckpoints(r.state)
	if err != nil {
		r.Logf("checkpoints: %v", err)
	}
	return c
}

// Write takes the log.
func (r *torture) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *torture) start() {
	r.Helper()
	opts := engine.Values{"max_line": int64(64 << 10), "poll": 5 * time.Millisecond, "checkpoint": true, "from": "end"}
	for k, v := range r.options {
		opts[k] = v
	}
	made, err := New(engine.Params{Tag: "eve", Address: r.uri, LogDir: r.dir, Options: opts, Checkpoints: r.points,
		Counter: r.counts.Of("input", "eve"), Log: slog.New(slog.NewTextHandler(r, nil))})
	if err != nil {
		r.Fatal(err)
	}
	r.in = made.(*input)
	r.in.grace = 100 * time.Millisecond
	if r.prepare != nil {
		r.prepare(r.in)
	}
	if err := r.in.Open(r.Context()); err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	in, ended := r.in, r.ended
	go func() {
		if r.other && os.Getuid() == 0 {
			lockAsOther()
		}
		ended <- in.Run(ctx, r.emit)
	}()
}

func (r *torture) emit(ctx context.Context, b engine.Batch) error {
	if r.block != nil {
		r.block(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, rec := range b.Records {
		line := strings.Clone(rec.Body)
		if rec.Reject != "" {
			line = rec.Reject + ":" + line
		}
		if r.strict && r.saved[line] {
			r.Errorf("%.120q comes again, and the saved checkpoint is above it", line)
		}
		lines = append(lines, line)
	}
	r.got = append(r.got, lines...)
	r.owed = append(r.owed, debt{b.Done, lines})
	for r.lag >= 0 && len(r.owed) > r.lag {
		r.ack()
	}
	return nil
}

// ack finishes the oldest batch. It is called with mu held.
func (r *torture) ack() {
	d := r.owed[0]
	r.owed = r.owed[1:]
	if d.done != nil {
		d.done()
	}
	r.acked = append(r.acked, d.lines...)
	r.delivered = append(r.delivered, d.lines...)
}

// save writes the checkpoints, as the engine does every second.
func (r *torture) save() error {
	r.mu.Lock()
	acked := r.acked
	r.acked = nil
	r.mu.Unlock()
	err := r.points.Save()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range acked {
		r.saved[line] = err == nil
	}
	return err
}

// stop ends the input; what is acked is saved.
func (r *torture) stop() {
	if r.in == nil {
		return
	}
	r.halt()
	if err := r.save(); err != nil {
		r.Error(err)
	}
	r.points = r.open()
}

// kill ends the input; the checkpoints are as they were last saved.
func (r *torture) kill() {
	r.halt()
	r.points = r.open()
}

func (r *torture) halt() {
	r.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			r.Error(err)
		}
	case <-time.After(time.Minute):
		r.Fatal("the input does not end")
	}
	r.in.Close()
	r.in = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owed, r.acked = nil, nil
}

func (r *torture) path(name string) string { return filepath.Join(r.dir, name) }

// line returns the nth line, with its end: as long as an event, unless it begins like all others.
func line(n int) string {
	return fmt.Sprintf("{\"timestamp\":\"2026-11-21T10:00:%02d.%06d+0000\",\"event_type\":\"flow\",\"n\":%d,\"pad\":%q}\n", n%60, n, n, strings.Repeat("p", 40+n%50))
}

// events returns lines from to to, exclusive.
func events(from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, line(n))
	}
	return list
}

func (r *torture) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *torture) append(name string, lines ...string) {
	r.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	r.check(err)
	defer f.Close()
	_, err = f.WriteString(strings.Join(lines, ""))
	r.check(err)
}

func (r *torture) rename(from, to string) {
	r.Helper()
	r.check(os.Rename(r.path(from), r.path(to)))
}

func (r *torture) copy(from, to string) {
	r.Helper()
	text, err := os.ReadFile(r.path(from))
	r.check(err)
	r.check(os.WriteFile(r.path(to), text, 0o644))
}

func (r *torture) truncate(name string, size int64) {
	r.Helper()
	r.check(os.Truncate(r.path(name), size))
}

// until waits for a condition.
func (r *torture) until(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.Fatalf("timed out: %s; got %d records, the last %.200q\n%s", what, len(r.got), r.got[max(0, len(r.got)-3):], last(r.log.String(), 3000))
		}
	}
}

// follows waits until the input follows something: what is rotated before is too old for it.
func (r *torture) follows() {
	r.Helper()
	r.until("the input follows", func() bool { return len(r.points.Load("eve")) > 0 })
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// settle waits until the input has looked at everything twice since now.
func (r *torture) settle() {
	r.Helper()
	for range 2 {
		name := fmt.Sprintf("eve.json.%d", 900_000_000) // a sibling: the input reads its line when it has looked
		n := r.sum("settled")
		r.append(name, "settled\n")
		r.until("the input looks", func() bool { return r.sum("settled") > n })
		os.Remove(r.path(name))
	}
}

func (r *torture) sum(record string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.got {
		if g == record {
			n++
		}
	}
	return n
}

// want waits until these lines have come and checks that nothing else has, in any order.
func (r *torture) want(lines ...string) {
	r.Helper()
	var want []string
	for _, l := range lines {
		want = append(want, strings.TrimRight(l, "\r\n"))
	}
	r.until(fmt.Sprintf("want %d records", len(want)), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.got) >= len(want)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.Clone(r.got)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Fatalf("got %d records, want %d: %s\n%s", len(got), len(want), difference(got, want), last(r.log.String(), 3000))
	}
}

func difference(got, want []string) string {
	n := map[string]int{}
	for _, g := range got {
		n[g]++
	}
	for _, w := range want {
		n[w]--
	}
	var list []string
	for l, n := range n {
		if n != 0 && len(list) < 5 {
			list = append(list, fmt.Sprintf("%+d of %.100q", n, l))
		}
	}
	return strings.Join(list, ", ")
}

// wantOrder is want in this order.
func (r *torture) wantOrder(lines ...string) {
	r.Helper()
	r.want(lines...)
	for i, l := range lines {
		if got, want := r.got[i], strings.TrimRight(l, "\r\n"); got != want {
			r.Fatalf("record %d: got %q, want %q", i, got, want)
		}
	}
}

// logged returns how many lines of the log hold text.
func (r *torture) logged(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

// told waits until the log has said text, and checks that it says it once.
func (r *torture) told(text string) {
	r.Helper()
	r.until("the log says "+text, func() bool { return r.logged(text) > 0 })
	if n := r.logged(text); n != 1 {
		r.Errorf("the log says %q %d times", text, n)
	}
}

func (r *torture) count(name string) int64 { return r.counts.Of("input", "eve")(name, "").Load() }

// counted checks a counter.
func (r *torture) counted(name string, want int64) {
	r.Helper()
	if got := r.count(name); got != want {
		r.Errorf("%s is %d, want %d", name, got, want)
	}
}

// needsRoot skips a part that only root can do.
func (r *torture) needsRoot(what string) {
	r.Helper()
	if os.Getuid() != 0 {
		parts.Skip(r, "needs root, %s", what)
	}
}

// lockAsOther gives the goroutine the rights of another user on files, until it ends and its thread with it.
func lockAsOther() {
	runtime.LockOSThread()
	syscall.Setfsuid(65534)
}
