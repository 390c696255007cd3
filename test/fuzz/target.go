package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// target is one function FuzzXxx.
type target struct {
	pkg  string // import path
	name string
}

func (t target) String() string { return strings.TrimPrefix(t.pkg, "dragonfly/") + "." + t.name }

// list returns the targets of packages in the order of go test.
func list(ctx context.Context, packages []string) ([]target, error) {
	out, err := goTest(ctx, append([]string{"-json", "-list", "^Fuzz"}, packages...)...)
	if err != nil {
		return nil, fmt.Errorf("go test -list: %w\n%s", err, out)
	}
	return parseList(out), nil
}

// parseList reads what go test -json -list prints.
func parseList(out []byte) (targets []target) {
	for line := range bytes.Lines(out) {
		var ev struct{ Action, Package, Output string }
		if json.Unmarshal(line, &ev) != nil || ev.Action != "output" {
			continue
		}
		if name := strings.TrimSpace(ev.Output); strings.HasPrefix(name, "Fuzz") && !strings.ContainsAny(name, " \t") {
			targets = append(targets, target{ev.Package, name})
		}
	}
	return targets
}

func (t target) run(ctx context.Context, limit time.Duration) result {
	hang, cancel := context.WithTimeout(ctx, limit+grace)
	defer cancel()
	out, err := goTest(hang, "-v", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", limit.String(), "-fuzzminimizetime", "5s", t.pkg)
	r := parseRun(out)
	r.err = err
	r.hung = errors.Is(hang.Err(), context.DeadlineExceeded)
	return r
}

// goTest runs go test in a process group of its own, so that its workers end with it.
func goTest(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd.CombinedOutput()
}

// result is what a run of a target printed, and how it ended.
type result struct {
	execs       string // how many inputs were run
	interesting string // how many of them were new
	crasher     string // path of the input that fails, below the package's directory; "" if there is none
	skipped     bool
	hung        bool
	err         error
	out         string
}

var (
	progress = regexp.MustCompile(`fuzz: elapsed: \S+, execs: (\d+) \(.*?\)(?:, new interesting: (\d+))?`)
	written  = regexp.MustCompile(`Failing input written to (\S+)`)
	seed     = regexp.MustCompile(`(?m)^ *--- FAIL: (Fuzz\w+/\S+)`)
	skip     = regexp.MustCompile(`(?m)^--- SKIP: Fuzz`)
)

// parseRun reads what go test -fuzz prints.
func parseRun(out []byte) result {
	r := result{execs: "0", interesting: "0", out: string(out), skipped: skip.Match(out)}
	for _, m := range progress.FindAllSubmatch(out, -1) {
		r.execs = string(m[1])
		if len(m[2]) > 0 {
			r.interesting = string(m[2])
		}
	}
	if m := written.FindSubmatch(out); m != nil {
		r.crasher = string(m[1])
	} else if m := seed.FindSubmatch(out); m != nil { // one that is in the tree fails again
		r.crasher = "testdata/fuzz/" + string(m[1])
	}
	return r
}

func (r result) failed() bool { return r.err != nil || r.hung }

// line is the report: target, inputs, new ones, verdict; for a finding also where it is, how to repeat it and the output.
func (r result) line(t target) string {
	verdict := "ok"
	switch {
	case r.hung:
		verdict = "FAIL: it hangs"
	case r.failed():
		verdict = "FAIL"
	case r.skipped:
		verdict = "skipped"
	}
	text := fmt.Sprintf("%-42s %10s execs %6s new  %s", t, r.execs, r.interesting, verdict)
	if !r.failed() {
		return text
	}
	if r.crasher != "" {
		dir := strings.TrimPrefix(t.pkg, "dragonfly/")
		input := filepath.Join(dir, r.crasher)
		if strings.Contains(input, "#") {
			input = "an f.Add of the target"
		}
		text += fmt.Sprintf("\n  input:  %s\n  repeat: go test -run '^%s$/^%s$' ./%s", input, t.name, path.Base(r.crasher), dir)
	}
	return text + "\n" + strings.TrimRight(r.out, "\n")
}
