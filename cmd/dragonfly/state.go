package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"dragonfly/engine"
	"dragonfly/luabind"
)

const stateUsage = `dragonfly: state wants one of
  state                  what the checkpoint file says: positions of the inputs, states of the scripts
  state show [STAGE...]  the states as JSON, one line for each worker; a stage is named as in "analyzer dns"
  state json             the whole checkpoint file, with the states as JSON
  state forget STAGE...  removes the states of stages (Dragonfly must not run)
`

// stateCommand shows and edits the checkpoint file of a root.
func stateCommand(f flags, at place, stdout, stderr io.Writer) int {
	path := filepath.Join(at.stateDir, checkpointFile)
	verb, args := "ls", f.args
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if verb == "forget" {
		return report(stderr, forgetStates(at, path, args, stdout))
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(stdout, "There is no %s: nothing was remembered yet.\n", path)
		return exitOK
	}
	var cut engine.Cut
	if err == nil {
		cut, err = engine.ReadCut(text)
	}
	if err != nil {
		return report(stderr, fmt.Errorf("%s: %w", path, err))
	}
	switch {
	case verb == "ls" && len(args) == 0:
		err = listCheckpoint(stdout, path, &cut)
	case verb == "show":
		err = showStates(stdout, &cut, args)
	case verb == "json" && len(args) == 0:
		err = printCut(stdout, &cut)
	default:
		fmt.Fprint(stderr, stateUsage)
		return exitUsage
	}
	return report(stderr, err)
}

// listCheckpoint prints a table of positions and one of states.
func listCheckpoint(w io.Writer, path string, cut *engine.Cut) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, saved %s (%s ago)\n", path, info.ModTime().Format(time.DateTime), time.Since(info.ModTime()).Round(time.Second))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nINPUT\tFILE\tFINISHED BELOW\tOF\tDEVICE:INODE")
	for _, input := range slices.Sorted(maps.Keys(cut.Inputs)) {
		for _, p := range cut.Inputs[input] {
			fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d:%d\n", input, p.Path, p.Offset, sizeNow(p), p.Device, p.Inode)
		}
		if len(cut.Inputs[input]) == 0 {
			fmt.Fprintf(t, "%s\t-\n", input)
		}
	}
	if len(cut.States) > 0 {
		fmt.Fprintln(t, "\nSTATE OF\tWORKERS\tBYTES\t\t")
		for _, stage := range slices.Sorted(maps.Keys(cut.States)) {
			n := 0
			for _, b := range cut.States[stage].Shards {
				n += len(b)
			}
			fmt.Fprintf(t, "%s\t%d\t%d\t\t\n", stage, len(cut.States[stage].Shards), n)
		}
	}
	return t.Flush()
}

// sizeNow says how large the file of a position is, or what has become of it.
func sizeNow(p engine.Position) string {
	if p.Finished {
		return "finished"
	}
	info, err := os.Stat(p.Path)
	if err != nil {
		return "(gone)"
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && (st.Dev != p.Device || st.Ino != p.Inode) {
		return "(another file has the name now)"
	}
	if p.Size > 0 {
		return fmt.Sprintf("events; the file has %d bytes", info.Size())
	}
	return fmt.Sprint(info.Size())
}

// statesOf returns the states of a stage as JSON texts, one for each worker.
func statesOf(cut *engine.Cut, stage string) ([]json.RawMessage, error) {
	var list []json.RawMessage
	for n, data := range cut.States[stage].Shards {
		text, err := luabind.StateJSON(data)
		if err != nil {
			return nil, fmt.Errorf("the state of %s, worker %d: %w", stage, n+1, err)
		}
		list = append(list, json.RawMessage(text))
	}
	return list, nil
}

func showStates(w io.Writer, cut *engine.Cut, stages []string) error {
	if len(stages) == 0 {
		stages = slices.Sorted(maps.Keys(cut.States))
	}
	for _, stage := range stages {
		if _, ok := cut.States[stage]; !ok {
			return unknownStage(stage, slices.Sorted(maps.Keys(cut.States)))
		}
		list, err := statesOf(cut, stage)
		if err != nil {
			return err
		}
		for n, text := range list {
			fmt.Fprintf(w, "%s worker %d: %s\n", stage, n+1, text)
		}
	}
	return nil
}

func unknownStage(stage string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("there is no state of %q: no script has kept any", stage)
	}
	return fmt.Errorf("there is no state of %q, only of %s", stage, quoted(known))
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, strconv.Quote(s))
	}
	return strings.Join(out, ", ")
}

func printCut(w io.Writer, cut *engine.Cut) error {
	out := struct {
		Version int                          `json:"version"`
		Inputs  map[string][]engine.Position `json:"inputs"`
		States  map[string][]json.RawMessage `json:"states"`
	}{cut.Version, cut.Inputs, map[string][]json.RawMessage{}}
	for stage := range cut.States {
		list, err := statesOf(cut, stage)
		if err != nil {
			return err
		}
		out.States[stage] = list
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// forgetStates removes the states of stages from the checkpoint file.
func forgetStates(at place, path string, stages []string, w io.Writer) error {
	if len(stages) == 0 {
		return errors.New(`state forget wants the names of stages, such as "analyzer dns"`)
	}
	unlock, err := lockState(at.stateDir, 0)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := engine.OpenCheckpoints(path)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		if !slices.Contains(all.Stages(), stage) {
			return unknownStage(stage, all.Stages())
		}
	}
	all.Forget(stages...)
	if err := all.Save(); err != nil {
		return err
	}
	fmt.Fprintf(w, "forgotten: %s\n", strings.Join(stages, ", "))
	return nil
}
