package main

import (
	"context"
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
  state                  what the checkpoint file says: positions of the inputs, states of the scripts; and what
                         inputs of config.lua keep in Redis for their partitions
  state show [STAGE...]  the states as JSON, one line for each worker or partition; a stage is named as in "analyzer dns"
  state json             all of it as JSON
  state forget STAGE...  removes the states of stages (Dragonfly must not run, except where they are in Redis)
`

// stateCommand shows and edits the checkpoint file of a root, and the states that its inputs keep elsewhere. Where those cannot be had
// it shows the file all the same.
func stateCommand(ctx context.Context, f flags, at place, stdout, stderr io.Writer) int {
	path := filepath.Join(at.stateDir, checkpointFile)
	verb, args := "ls", f.args
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	switch {
	case verb == "show", verb == "forget", len(args) == 0 && (verb == "ls" || verb == "json"):
	default:
		fmt.Fprint(stderr, stateUsage)
		return exitUsage
	}
	text, err := os.ReadFile(path)
	saved := err == nil
	var cut engine.Cut
	if saved {
		cut, err = engine.ReadCut(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report(stderr, fmt.Errorf("%s: %w", path, err))
	}
	held, failed := holdersOf(at)
	defer held.close()
	list, err := held.states(ctx)
	failed = errors.Join(failed, err)
	switch {
	case verb == "forget" && failed == nil:
		err = forgetStates(ctx, at, path, &cut, held, list, args, stdout)
	case verb == "forget":
		err = nil
	case !saved && len(list) == 0:
		fmt.Fprintf(stdout, "There is no %s: nothing was remembered yet.\n", path)
		err = nil
	case verb == "show":
		err = showStates(stdout, &cut, list, args)
	case verb == "json":
		err = printCut(stdout, &cut, list)
	case saved:
		err = errors.Join(listCheckpoint(stdout, path, &cut), listHeld(stdout, list))
	default:
		err = listHeld(stdout, list)
	}
	return report(stderr, errors.Join(err, failed))
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
func statesOf(states map[string]engine.StageState, stage string) ([]json.RawMessage, error) {
	var list []json.RawMessage
	for n, data := range states[stage].Shards {
		text, err := luabind.StateJSON(data)
		if err != nil {
			return nil, fmt.Errorf("the state of %s, worker %d: %w", stage, n+1, err)
		}
		list = append(list, json.RawMessage(text))
	}
	return list, nil
}

func allStatesOf(states map[string]engine.StageState) (map[string][]json.RawMessage, error) {
	all := map[string][]json.RawMessage{}
	for stage := range states {
		list, err := statesOf(states, stage)
		if err != nil {
			return nil, err
		}
		all[stage] = list
	}
	return all, nil
}

// showStates prints the states of stages, or of all: those of the file, then those of partitions.
func showStates(w io.Writer, cut *engine.Cut, held []heldState, stages []string) error {
	known := stagesOf(held)
	for stage := range cut.States {
		known[stage] = true
	}
	if len(stages) == 0 {
		stages = slices.Sorted(maps.Keys(known))
	}
	for _, stage := range stages {
		if !known[stage] {
			return unknownStage(stage, slices.Sorted(maps.Keys(known)))
		}
		list, err := statesOf(cut.States, stage)
		if err != nil {
			return err
		}
		for n, text := range list {
			fmt.Fprintf(w, "%s worker %d: %s\n", stage, n+1, text)
		}
		for _, h := range held {
			list, err := statesOf(h.States, stage)
			if err != nil {
				return fmt.Errorf("%s: %w", h.Origin, err)
			}
			for _, text := range list {
				fmt.Fprintf(w, "%s %s: %s\n", stage, h.Origin, text)
			}
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

func printCut(w io.Writer, cut *engine.Cut, held []heldState) (err error) {
	type partition struct {
		Input  string                       `json:"input"`
		Origin string                       `json:"origin"`
		Key    string                       `json:"key"`
		Offset int64                        `json:"offset"` // -1: no snapshot
		Saved  string                       `json:"saved,omitempty"`
		Owner  string                       `json:"owner"`
		States map[string][]json.RawMessage `json:"states"`
	}
	var out struct {
		Version    int                          `json:"version,omitempty"` // of the file
		Inputs     map[string][]engine.Position `json:"inputs,omitempty"`
		States     map[string][]json.RawMessage `json:"states,omitempty"`
		Partitions []partition                  `json:"partitions,omitempty"`
	}
	out.Version, out.Inputs = cut.Version, cut.Inputs
	if out.States, err = allStatesOf(cut.States); err != nil {
		return err
	}
	for _, h := range held {
		p := partition{Input: h.input, Origin: h.Origin, Key: h.Place, Offset: h.Offset, Owner: h.Owner}
		if !h.Saved.IsZero() {
			p.Saved = h.Saved.UTC().Format(time.RFC3339Nano)
		}
		if p.States, err = allStatesOf(h.States); err != nil {
			return fmt.Errorf("%s: %w", h.Origin, err)
		}
		out.Partitions = append(out.Partitions, p)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// forgetStates removes the states of stages from the checkpoint file, and from where inputs keep them.
func forgetStates(ctx context.Context, at place, path string, cut *engine.Cut, held holders, list []heldState, stages []string, w io.Writer) error {
	if len(stages) == 0 {
		return errors.New(`state forget wants the names of stages, such as "analyzer dns"`)
	}
	known := stagesOf(list)
	inFile := slices.ContainsFunc(stages, func(s string) bool { _, has := cut.States[s]; return has || !known[s] })
	var all *engine.Checkpoints
	if inFile {
		unlock, err := lockState(at.stateDir, 0)
		if err != nil {
			return err
		}
		defer unlock()
		if all, err = engine.OpenCheckpoints(path); err != nil {
			return err
		}
		for _, stage := range all.Stages() {
			known[stage] = true
		}
	}
	for _, stage := range stages {
		if !known[stage] {
			return unknownStage(stage, slices.Sorted(maps.Keys(known)))
		}
	}
	if inFile {
		all.Forget(stages...)
		if err := all.Save(); err != nil {
			return err
		}
	}
	if err := held.forget(ctx, stages); err != nil {
		return err
	}
	fmt.Fprintf(w, "forgotten: %s\n", strings.Join(stages, ", "))
	return nil
}
