// Command dragonfly reads security events, passes them through the user's Lua scripts and writes the results.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/luabind"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78 // EX_CONFIG of sysexits.h
)

// version is set by the linker.
var version = "dev"

func main() {
	tuneCollector()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args)
	if err != nil {
		fmt.Fprintf(stderr, "dragonfly: %v\n%s", err, usage)
		return exitUsage
	}
	switch {
	case f.help || f.verb == "help":
		fmt.Fprint(stdout, usage)
		return exitOK
	case f.version || f.verb == "version":
		fmt.Fprintf(stdout, "\nDragonfly, a replacement of the DragonFly Machine Learning Engine (MLE)\nVersion: %s\n\n", version)
		return exitOK
	case f.verb == "reference":
		fmt.Fprint(stdout, reference())
		return exitOK
	}
	if f.verb == "test" {
		return testScripts(f, stdout, stderr)
	}
	if f.verb == flowsVerb {
		return flowsCommand(ctx, f.args, stdout, stderr)
	}
	if f.verb == deadLetterVerb {
		return deadLetters(ctx, f, stdout, stderr)
	}
	at, err := places(f)
	if err != nil {
		fmt.Fprintln(stderr, "dragonfly:", err)
		return exitConfig
	}
	switch f.verb {
	case "check":
		return check(at, stdout, stderr)
	case "state":
		return stateCommand(ctx, f, at, stdout, stderr)
	case "spool":
		return spoolVerb(f, at, stdout, stderr)
	}
	if f.chroot != "" { // before the directory changes
		if f.chroot, err = filepath.Abs(f.chroot); err != nil {
			return report(stderr, err)
		}
	}
	return report(stderr, serve(ctx, f, at, stdout, stderr))
}

// report prints an error as the operator should read it and returns its exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailure
	for _, e := range flatten(err) {
		var ce *engine.ConfigError
		var se *engine.ScriptError
		if errors.As(e, &ce) || errors.As(e, &se) {
			code = exitConfig
		}
		fmt.Fprintln(w, "dragonfly:", e)
	}
	return code
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []error
		for _, e := range joined.Unwrap() {
			list = append(list, flatten(e)...)
		}
		return list
	}
	return []error{err}
}

// Directories of the original, used where ROOT has none of its own.
const (
	systemLogDir = "/var/log/dragonfly-mle"
	systemRunDir = "/var/run/dragonfly-mle"
)

// places resolves the directories of the command line and makes those that are missing.
func places(f flags) (place, error) {
	root, err := filepath.Abs(f.root)
	if err != nil {
		return place{}, err
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return place{}, fmt.Errorf("DRAGONFLY_ROOT %s does not exist", root)
	}
	p := place{root: root, logDir: systemLogDir, stateDir: filepath.Join(root, "state"), runDir: systemRunDir}
	p = systemdPlaces(p)
	if f.logDir != "" {
		if p.logDir, err = filepath.Abs(f.logDir); err != nil {
			return p, err
		}
	} else if info, err := os.Stat(filepath.Join(root, "log")); err == nil && info.IsDir() && os.Getenv("LOGS_DIRECTORY") == "" {
		p.logDir = filepath.Join(root, "log")
	}
	if f.verb != "" && f.verb != "run" { // looks only
		if info, err := os.Stat(p.stateDir); err != nil || !info.IsDir() {
			p.stateDir = p.logDir
		}
		return p, nil
	}
	if err := os.MkdirAll(p.logDir, 0o755); err != nil {
		return p, fmt.Errorf("log directory: %w (-l names another)", err)
	}
	if os.MkdirAll(p.stateDir, 0o700) != nil || !writable(p.stateDir) {
		p.stateDir = p.logDir
	}
	if os.MkdirAll(p.runDir, 0o755) != nil || !writable(p.runDir) {
		p.runDir = filepath.Join(root, "run")
	}
	return p, nil
}

// writable asks the kernel; a trial file could be left behind by a kill.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

// check reads config.lua, compiles every script and makes every component, and prints what would run.
func check(at place, stdout, stderr io.Writer) int {
	loader, err := luabind.NewLoader(at.root, luabind.Options{Stdout: io.Discard})
	if err != nil {
		return report(stderr, err)
	}
	defer loader.Close()
	b := &builder{place: at, log: newLog(io.Discard, false), loader: loader, checkpoints: engine.NewCheckpoints(), counters: engine.NewCounters()}
	p, err := b.build(nil)
	if err != nil {
		return report(stderr, err)
	}
	fmt.Fprintf(stdout, "%s is right.\n", filepath.Join(at.root, p.cfg.File))
	for _, r := range p.cfg.Inputs {
		fmt.Fprintf(stdout, "  input     %-16s %s, filter %s, %d worker(s)\n", r.Tag, engine.ShownURI(r.URI), r.Filter.Script, r.Filter.Workers)
	}
	for _, r := range p.cfg.Analyzers {
		fmt.Fprintf(stdout, "  analyzer  %-16s %s, %d worker(s)\n", r.Tag, r.Script, r.Workers)
	}
	for _, r := range p.cfg.Outputs {
		fmt.Fprintf(stdout, "  output    %-16s %s\n", r.Tag, engine.ShownURI(r.URI))
	}
	fmt.Fprintf(stdout, "  log directory %s, dead letters %s\n", at.logDir, p.cfg.DeadLetter)
	return exitOK
}
