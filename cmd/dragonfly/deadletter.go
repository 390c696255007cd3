package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/deadletter"
	"dragonfly/luabind"
)

const deadLetterVerb = "dead-letter"

const deadLetterUsage = `Usage: dragonfly [-r root] [-l logdir] dead-letter COMMAND [flags] [ID...]

  ls       count the dead letters by reason and stage; with -n, a filter, --all or ids also list them
  show     print all of an entry: the event, the error, what can be done
  replay   send entries through the pipeline again, once: to the stage where they failed
  drop     mark entries as not wanted; --purge removes what was replayed or dropped from the files

An ID is the beginning of one that ls shows, 4 digits or more. Filters, all of which must hold:
  --reason R        script_error, malformed, ...
  --stage S         "analyzer dns", or the tag alone
  --input TAG       the input that the record came from
  --since, --until  a time (2026-11-21T13:00:00Z, "2026-11-21 13:00", 2026-11-21: local) or how long ago (90s, 2h, 7d)
  --grep TEXT       in the event or the error
  --status S        open, pending, replayed, dropped
  --all             every entry

  -n N              ls: the last N entries
  --json            ls, show: a JSON document a line
  --from filter     replay: through the filter of the input again; needed for a stage that is no longer there
  --again           replay: also what was replayed or dropped before
  --wait[=TIME]     replay: until the engine is through, and say what became of them; exit status 1 if any failed again
  --purge           drop: also remove from the files what is done
  --file PATH       another dead-letter file than that of config.lua

A replay works while the engine runs, and waits for its next start otherwise.
Exit status: 0 done, 1 failure, or a part was not possible, 2 usage, 78 configuration.
`

// letterFlags is the command line behind "dead-letter".
type letterFlags struct {
	command string
	ids     []string
	filter  deadletter.Filter
	all     bool
	n       int
	json    bool
	from    string
	again   bool
	wait    waitFlag
	purge   bool
	file    string
}

// waitFlag is --wait or --wait=TIME.
type waitFlag struct {
	on    bool
	limit time.Duration // 0 is none
}

func (w *waitFlag) String() string   { return "" }
func (w *waitFlag) IsBoolFlag() bool { return true }
func (w *waitFlag) Set(s string) error {
	switch s {
	case "true":
		w.on = true
		return nil
	case "false":
		*w = waitFlag{}
		return nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("want a time such as 30s")
	}
	w.on, w.limit = err == nil, d
	return err
}

// letterCommands lists which flags a command has besides the filters.
var letterCommands = map[string][]string{
	"ls": {"n", "json"}, "show": {"json"}, "replay": {"from", "again", "wait"}, "drop": {"purge"},
}

var errHelp = errors.New("help")

// parseLetterFlags reads the command line behind "dead-letter". Flags and ids may be mixed. It may change f.root and f.logDir.
func parseLetterFlags(f *flags, now time.Time) (l letterFlags, err error) {
	args := f.args
	fs := flag.NewFlagSet(deadLetterVerb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var since, until, status string
	fs.StringVar(&f.root, "r", f.root, "")
	fs.StringVar(&f.logDir, "l", f.logDir, "")
	fs.StringVar(&l.filter.Reason, "reason", "", "")
	fs.StringVar(&l.filter.Stage, "stage", "", "")
	fs.StringVar(&l.filter.Input, "input", "", "")
	fs.StringVar(&l.filter.Text, "grep", "", "")
	fs.StringVar(&since, "since", "", "")
	fs.StringVar(&until, "until", "", "")
	fs.StringVar(&status, "status", "", "")
	fs.BoolVar(&l.all, "all", false, "")
	fs.IntVar(&l.n, "n", 0, "")
	fs.BoolVar(&l.json, "json", false, "")
	fs.StringVar(&l.from, "from", "", "")
	fs.BoolVar(&l.again, "again", false, "")
	fs.Var(&l.wait, "wait", "")
	fs.BoolVar(&l.purge, "purge", false, "")
	fs.StringVar(&l.file, "file", "", "")
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return l, errHelp
			}
			return l, err
		}
		if args = fs.Args(); len(args) == 0 {
			break
		}
		if l.command == "" {
			l.command = args[0]
		} else {
			l.ids = append(l.ids, args[0])
		}
		args = args[1:]
	}
	if l.command == "help" || l.command == "" {
		return l, errHelp
	}
	if letterCommands[l.command] == nil {
		return l, fmt.Errorf("unknown command %q, want ls, show, replay or drop", l.command)
	}
	fs.Visit(func(g *flag.Flag) {
		for command, own := range letterCommands {
			for _, name := range own {
				if name == g.Name && !slices.Contains(letterCommands[l.command], name) && err == nil {
					err = fmt.Errorf("-%s belongs to %s, not to %s", name, command, l.command)
				}
			}
		}
	})
	switch {
	case err != nil:
		return l, err
	case l.n < 0:
		return l, errors.New("-n wants a number from 1")
	case l.from != "" && l.from != "filter":
		return l, fmt.Errorf("--from %q: want filter", l.from)
	}
	switch l.filter.Status = deadletter.Status(status); l.filter.Status {
	case "", deadletter.Open, deadletter.Pending, deadletter.Replayed, deadletter.Dropped:
	default:
		return l, fmt.Errorf("--status %q: want open, pending, replayed or dropped", status)
	}
	if l.filter.Since, err = moment(since, now); err != nil {
		return l, fmt.Errorf("--since: %w", err)
	}
	if l.filter.Until, err = moment(until, now); err != nil {
		return l, fmt.Errorf("--until: %w", err)
	}
	if l.all && len(l.ids) > 0 {
		return l, errors.New("--all and ids: want one of them")
	}
	return l, nil
}

// selects reports whether something says which entries are meant.
func (l *letterFlags) selects() bool {
	f := l.filter
	return l.all || len(l.ids) > 0 || f.Reason != "" || f.Stage != "" || f.Input != "" || f.Text != "" || f.Status != "" ||
		!f.Since.IsZero() || !f.Until.IsZero()
}

// moment reads a time, or how long ago it was; "" is the zero time.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return now.Add(-time.Duration(n * 24 * float64(time.Hour))), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-21T13:00:00Z or \"2026-11-21 13:00\", nor how long ago it was (90s, 2h, 7d)", s)
}

// letters is one call of the command.
type letters struct {
	letterFlags
	box    deadletter.Box
	cfg    *engine.Config // nil: --file was given and config.lua does not load
	root   string
	stdout io.Writer
	stderr io.Writer
}

// deadLetters runs `dragonfly dead-letter` and returns its exit code.
func deadLetters(ctx context.Context, f flags, stdout, stderr io.Writer) int {
	l, err := parseLetterFlags(&f, time.Now())
	if errors.Is(err, errHelp) {
		fmt.Fprint(stdout, deadLetterUsage)
		return exitOK
	}
	if err == nil && !l.selects() && (l.command == "show" || l.command == "replay" || l.command == "drop" && !l.purge) {
		err = fmt.Errorf("%s wants ids, a filter or --all", l.command)
	}
	if err != nil {
		fmt.Fprintf(stderr, "dragonfly: dead-letter: %v\n`dragonfly dead-letter help` has more.\n", err)
		return exitUsage
	}
	c := &letters{letterFlags: l, stdout: stdout, stderr: stderr}
	if err := c.open(f); err != nil {
		return report(stderr, err)
	}
	if c.box.Requests != nil {
		defer c.box.Requests.Close()
	}
	switch l.command {
	case "ls":
		err = c.list()
	case "show":
		err = c.show()
	case "replay":
		err = c.replay(ctx)
	case "drop":
		err = c.drop(ctx)
	}
	return report(stderr, err)
}

// open finds the dead-letter file and the requests of its engine.
func (c *letters) open(f flags) error {
	f.root, f.verb = cmp.Or(f.root, defaultRoot), "check" // that makes no directories
	at, err := places(f)
	if err != nil {
		return err
	}
	c.root = at.root
	if err := c.config(at); err != nil {
		return err
	}
	c.box.Who = who()
	dir, err := requestsDir(at, c.command == "replay" || c.command == "drop")
	if err != nil || dir == "" {
		return err
	}
	if c.box.Requests, err = deadletter.OpenRequests(dir); err != nil {
		return fmt.Errorf("%w (run this as the user of the engine, or as root)", err)
	}
	return nil
}

// config loads config.lua for the place of the file and the names of the stages.
func (c *letters) config(at place) error {
	loader, err := luabind.NewLoader(at.root, luabind.Options{Stdout: io.Discard})
	if err == nil {
		defer loader.Close()
		c.cfg, err = loadConfig(loader, at.root, kinds(loader))
	}
	if c.file != "" {
		if err != nil {
			fmt.Fprintf(c.stderr, "dragonfly: config.lua does not load, so the stages are not known: %v\n", err)
			c.cfg = nil
		}
		c.box.Path, err = filepath.Abs(c.file)
		return err
	}
	if err != nil {
		return errors.Join(err, errors.New("config.lua says where the dead letters are: mend it, or name their file with --file"))
	}
	c.box.Path, err = deadLetterPath(c.cfg.DeadLetter, at.logDir)
	return err
}

// deadLetterPath returns the file that a dead_letter URI names, as the file output does.
func deadLetterPath(uri, logDir string) (string, error) {
	scheme, address, _ := engine.SplitURI(uri)
	if scheme != "file" && scheme != "zfile" {
		return "", fmt.Errorf("the dead letters go to %s: only those in a file (dead_letter = \"file://...\" in config.lua) can be listed and replayed. "+
			"If that sink writes them to a file, name it with --file", uri)
	}
	path, _ := strings.CutSuffix(address, "<")
	path = strings.TrimSuffix(path, ">")
	if !filepath.IsAbs(path) {
		path = filepath.Join(logDir, path)
	}
	return path, nil
}

// requestsDir returns the directory through which the engine of a root takes requests: where an engine runs, else where
// one was, else, to write there, where one will be. It is "" if there is none and none is needed.
func requestsDir(at place, write bool) (string, error) {
	var there []string
	for _, parent := range []string{at.stateDir, at.logDir} {
		dir := filepath.Join(parent, replayDir)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		there = append(there, dir)
		if q, err := deadletter.OpenRequests(dir); err == nil {
			runs := q.EngineRuns()
			q.Close()
			if runs {
				return dir, nil
			}
		}
	}
	if len(there) > 0 {
		return there[0], nil
	}
	if !write {
		return "", nil
	}
	err := os.MkdirAll(at.stateDir, 0o755)
	if err == nil && writable(at.stateDir) {
		return filepath.Join(at.stateDir, replayDir), nil
	}
	if writable(at.logDir) { // as the engine does
		return filepath.Join(at.logDir, replayDir), nil
	}
	return "", errors.Join(err, fmt.Errorf("neither %s nor %s can be written: run this as the user of the engine, or as root", at.stateDir, at.logDir))
}

func who() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if sudo := os.Getenv("SUDO_USER"); sudo != "" && sudo != name {
		name += " (" + sudo + ")"
	}
	return name
}
