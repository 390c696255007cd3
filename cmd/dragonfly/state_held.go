package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"dragonfly/engine"
	"dragonfly/luabind"
)

// heldTime is the most that the commands of `state` wait for all inputs together.
const heldTime = 30 * time.Second

// holders are the inputs of config.lua that keep states of scripts elsewhere than in the checkpoint file.
type holders struct {
	loader *luabind.Loader // nil: there are none
	tags   []string
	inputs []engine.StateHolder
}

// heldState is what one of them keeps of a partition.
type heldState struct {
	engine.KeptState
	input string
}

// holdersOf makes the inputs of config.lua. Without a config.lua there are none.
func holdersOf(at place) (h holders, err error) {
	loader, err := luabind.NewLoader(at.root, luabind.Options{Stdout: io.Discard})
	if err != nil {
		return h, err
	}
	h.loader = loader
	if !slices.ContainsFunc(luabind.ConfigPaths[:], loader.Exists) {
		return h, nil
	}
	b := &builder{place: at, log: newLog(io.Discard, false), loader: loader, checkpoints: engine.NewCheckpoints(), counters: engine.NewCounters()}
	p, err := b.build(nil)
	if err != nil {
		return h, err
	}
	for i, in := range p.parts.Inputs {
		if holder, ok := in.(engine.StateHolder); ok {
			h.tags, h.inputs = append(h.tags, p.cfg.Inputs[i].Tag), append(h.inputs, holder)
		}
	}
	return h, nil
}

func (h holders) close() {
	if h.loader != nil {
		h.loader.Close()
	}
}

// states returns what can be had.
func (h holders) states(ctx context.Context) (list []heldState, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, heldTime, errors.New("no answer"))
	defer stop()
	for i, in := range h.inputs {
		all, failed := in.KeptStates(ctx)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("what input %q keeps of its partitions cannot be read: %w", h.tags[i], failed))
		}
		for _, k := range all {
			list = append(list, heldState{k, h.tags[i]})
			if k.Err != nil {
				err = errors.Join(err, fmt.Errorf("input %q: the snapshot of %s cannot be read; `redis-cli DEL %s` would forget it: %w", h.tags[i], k.Origin, k.Place, k.Err))
			}
		}
	}
	return list, err
}

func (h holders) forget(ctx context.Context, stages []string) (err error) {
	ctx, stop := context.WithTimeoutCause(ctx, heldTime, errors.New("no answer"))
	defer stop()
	for i, in := range h.inputs {
		if _, failed := in.ForgetStates(ctx, stages); failed != nil {
			err = errors.Join(err, fmt.Errorf("states of input %q are not forgotten: %w", h.tags[i], failed))
		}
	}
	return err
}

// stagesOf returns the stages with a state.
func stagesOf(list []heldState) map[string]bool {
	stages := map[string]bool{}
	for _, h := range list {
		for stage := range h.States {
			stages[stage] = true
		}
	}
	return stages
}

// listHeld prints a table of partitions.
func listHeld(w io.Writer, list []heldState) error {
	if len(list) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nIN REDIS, OF\tPARTITION\tFINISHED BELOW\tBYTES\tSAVED\tSTATES OF\tLAST CLAIMED BY")
	for _, h := range list {
		offset, saved := "-", "never"
		if h.Offset >= 0 {
			offset = fmt.Sprint(h.Offset)
		}
		if !h.Saved.IsZero() {
			saved = fmt.Sprintf("%s ago", max(0, time.Since(h.Saved)).Round(time.Second))
		}
		states := strings.Join(slices.Sorted(maps.Keys(h.States)), ", ")
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", h.input, strings.TrimPrefix(h.Origin, "kafka://"), offset, h.Bytes, saved, cmp.Or(states, "-"), cmp.Or(h.Owner, "-"))
	}
	return t.Flush()
}
