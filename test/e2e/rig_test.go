// Package e2e runs the real binary on real input.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/test/parts"
)

var binary string

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8") // parallel tests wait most of the time; -parallel overrides it
	os.Exit(parts.Main(m, &binary))
}

// skip skips a test that this machine cannot run; with CI=true that is a failure.
func skip(t *testing.T, format string, args ...any) { t.Helper(); parts.Skip(t, format, args...) }

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "needs root")
	}
}

// root is a root directory of dragonfly.
type root struct {
	t   *testing.T
	dir string
}

// newRoot writes the files of a txtar-like text: "-- name --" lines begin a file.
func newRoot(t *testing.T, files string) *root {
	r := &root{t, t.TempDir()}
	if err := os.Mkdir(r.path("log"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.files(files)
	return r
}

func (r *root) path(name string) string { return filepath.Join(r.dir, name) }

func (r *root) files(text string) {
	r.t.Helper()
	name, body := "", ""
	flush := func() {
		if name != "" {
			r.write(name, body)
		}
		body = ""
	}
	for line := range strings.Lines(text) {
		if l := strings.TrimSpace(line); strings.HasPrefix(l, "-- ") && strings.HasSuffix(l, " --") {
			flush()
			name = strings.TrimSpace(l[3 : len(l)-3])
			continue
		}
		body += line
	}
	flush()
}

func (r *root) write(name, body string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(name), []byte(strings.ReplaceAll(body, "$ROOT", r.dir)), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) append(name, body string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(body); err != nil {
		r.t.Fatal(err)
	}
}

func (r *root) read(name string) string {
	text, err := os.ReadFile(r.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *root) lines(name string) int { return strings.Count(r.read(name), "\n") }

// run runs dragonfly -r ROOT args and returns its exit code and all that it printed.
func (r *root) run(args ...string) (code int, output string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, binary, append([]string{"-r", r.dir}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	if ctx.Err() != nil {
		r.t.Fatalf("did not end: %s", text)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(text)
}

// drained runs dragonfly -x and wants exit 0 and a ledger.
func (r *root) drained(ledger string) string {
	r.t.Helper()
	code, output := r.run("-x")
	if code != 0 || !strings.Contains(output, ledger) {
		r.t.Fatalf("exit %d, want 0 and %q:\n%s", code, ledger, output)
	}
	return output
}

// process is a dragonfly that runs.
type process struct {
	*root
	cmd    *exec.Cmd
	mu     sync.Mutex
	output bytes.Buffer
	ended  chan error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// start starts dragonfly and waits until it runs.
func (r *root) start(args ...string) *process {
	r.t.Helper()
	p := r.launch(args...)
	p.until("threads running", func() bool { return strings.Contains(p.text(), "threads running") })
	return p
}

// launch starts dragonfly.
func (r *root) launch(args ...string) *process {
	r.t.Helper()
	p := &process{root: r, cmd: exec.Command(binary, append([]string{"-r", r.dir}, args...)...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	r.t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// until waits for a condition, 30 s at most.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			if !ok() {
				p.t.Fatalf("ended (%v) before: %s\n%s", err, what, p.text())
			}
			return
		default:
		}
	}
	p.t.Fatalf("timed out: %s\n%s", what, p.text())
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop sends TERM and wants exit 0.
func (p *process) stop() string {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			p.t.Fatalf("%v\n%s", err, p.text())
		}
	case <-time.After(30 * time.Second):
		p.t.Fatalf("does not end after TERM\n%s", p.text())
	}
	return p.text()
}

// passThrough is a root of dragonfly-mle's layout whose scripts hand everything on. URI is the input's.
func passThrough(t *testing.T, uri string) *root {
	return newRoot(t, `
-- config/config.lua --
inputs = { {tag = "eve", uri = "`+uri+`", script = "pass.lua", default_analyzer = "pass"} }
analyzers = { {tag = "pass", script = "pass.lua", default_analyzer = "", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- filter/pass.lua --
function setup() end
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzer/pass.lua --
function setup() end
function loop(e) dragonfly.output_event(default_output, e) end
`)
}
