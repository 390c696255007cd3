package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dragonfly/engine/spool"
)

// spoolVerb lists, checks, repairs and prints spools. Except for --repair, which wants that no engine uses the spool, it
// changes nothing and may run at any time.
func spoolVerb(f flags, at place, stdout, stderr io.Writer) int {
	args := f.args
	wrong := func(what string) int {
		fmt.Fprintf(stderr, "dragonfly: %s\n%s", what, usage)
		return exitUsage
	}
	if len(args) == 0 {
		return wrong("spool wants ls, fsck or cat")
	}
	what, args := args[0], args[1:]
	repair := slices.Contains(args, "--repair")
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--repair" })
	for _, a := range args {
		if strings.HasPrefix(a, "--") {
			return wrong(fmt.Sprintf("spool: unknown flag %s", a))
		}
	}
	switch {
	case repair && what != "fsck":
		return wrong("only spool fsck has --repair")
	case what == "cat" && len(args) != 1:
		return wrong("spool cat wants the tag of an output")
	case what == "ls" && len(args) > 0, len(args) > 1:
		return wrong(fmt.Sprintf("spool %s: too many arguments", what))
	case what != "ls" && what != "fsck" && what != "cat":
		return wrong(fmt.Sprintf("spool: unknown command %q, want ls, fsck or cat", what))
	}
	state, err := openState(at)
	if errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
		return exitOK // nothing ever waited
	}
	if err != nil {
		return report(stderr, err)
	}
	defer state.Close()
	tags, err := spool.Tags(state)
	if err != nil {
		return report(stderr, err)
	}
	if len(args) == 1 {
		i := slices.IndexFunc(tags, func(t string) bool { return spool.Name(t) == spool.Name(args[0]) })
		if i < 0 {
			return report(stderr, fmt.Errorf("there is no spool of an output %q below %s (there are: %s)", args[0], state.Name(), strings.Join(tags, ", ")))
		}
		tags = tags[i : i+1]
	}
	switch what {
	case "ls":
		return spoolList(state, tags, stdout, stderr)
	case "cat":
		return spoolCat(state, tags[0], stdout, stderr)
	}
	return spoolCheck(state, tags, repair, stdout, stderr)
}

// openState opens the state directory: ROOT/state, or the log directory, where the engine keeps its state if it may not
// write to the other.
func openState(at place) (*os.Root, error) {
	for _, dir := range []string{at.stateDir, at.logDir} {
		if info, err := os.Stat(filepath.Join(dir, spool.Top)); err == nil && info.IsDir() {
			return os.OpenRoot(dir)
		}
	}
	return os.OpenRoot(at.stateDir)
}

func spoolList(state *os.Root, tags []string, stdout, stderr io.Writer) int {
	code := exitOK
	fmt.Fprintf(stdout, "%-20s %8s %10s %14s %-20s %12s %s\n", "OUTPUT", "SEGMENTS", "EVENTS", "BYTES", "OLDEST", "NEXT", "STATE")
	for _, tag := range tags {
		r, err := spool.Check(state, tag, nil)
		if err != nil {
			code = report(stderr, fmt.Errorf("spool of %s: %w", tag, err))
			continue
		}
		oldest, about := "-", "sound"
		if !r.Oldest.IsZero() {
			oldest = r.Oldest.UTC().Format(time.RFC3339)
		}
		if len(r.Problems) > 0 {
			about = fmt.Sprintf("DAMAGED (%d findings, %d events missing): see spool fsck", len(r.Problems), r.Lost)
		}
		if r.Running {
			about += ", in use"
		}
		if len(r.Aside) > 0 {
			about += fmt.Sprintf(", %d files set aside", len(r.Aside))
		}
		fmt.Fprintf(stdout, "%-20s %8d %10d %14d %-20s %12d %s\n", tag, len(r.Segments), r.Events, r.Bytes, oldest, r.Position, about)
	}
	return code
}

func spoolCheck(state *os.Root, tags []string, repair bool, stdout, stderr io.Writer) int {
	code := exitOK
	for _, tag := range tags {
		r, err := spool.Check(state, tag, nil)
		if err != nil {
			code = report(stderr, fmt.Errorf("spool of %s: %w", tag, err))
			continue
		}
		for _, p := range r.Problems {
			fmt.Fprintf(stdout, "%s: %s\n", tag, p)
		}
		for _, name := range r.Aside {
			fmt.Fprintf(stdout, "%s: %s was set aside: look at it, then remove it\n", tag, name)
		}
		fmt.Fprintf(stdout, "%s: %d segments, %d events to deliver, %d missing, %d findings\n", tag, len(r.Segments), r.Events, r.Lost, len(r.Problems))
		if len(r.Problems) == 0 {
			continue
		}
		if !repair {
			code = exitFailure
			continue
		}
		done, err := spool.Repair(state, tag)
		for _, d := range done {
			fmt.Fprintf(stdout, "%s: repaired: %s\n", tag, d)
		}
		if errors.Is(err, spool.ErrBusy) {
			err = fmt.Errorf("%w: end the engine first; it passes over damage by itself", err)
		}
		if err != nil {
			code = report(stderr, fmt.Errorf("spool of %s: %w", tag, err))
		}
	}
	return code
}

func spoolCat(state *os.Root, tag string, stdout, stderr io.Writer) int {
	w := bufio.NewWriterSize(stdout, 1<<16)
	r, err := spool.Check(state, tag, func(e spool.Entry) error {
		w.WriteString(e.Body)
		return w.WriteByte('\n')
	})
	if err = errors.Join(err, w.Flush()); err != nil {
		return report(stderr, fmt.Errorf("spool of %s: %w", tag, err))
	}
	if len(r.Problems) > 0 {
		return report(stderr, fmt.Errorf("spool of %s: %d events are missing, %d findings: see spool fsck", tag, r.Lost, len(r.Problems)))
	}
	return exitOK
}

// spoolFiles returns the paths of all spools, to be given to the user that the process becomes. Symbolic links are none of ours.
func spoolFiles(stateDir string) []string {
	var names []string
	filepath.WalkDir(filepath.Join(stateDir, spool.Top), func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			names = append(names, path)
		}
		return nil
	})
	return names
}
