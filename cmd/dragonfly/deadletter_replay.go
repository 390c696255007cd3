package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"dragonfly/engine/deadletter"
)

// change runs f while no other command changes anything.
func (c *letters) change(ctx context.Context, f func(state *deadletter.State) error) error {
	told := false
	return c.box.Change(func() error {
		if !told {
			told = true
			fmt.Fprintln(c.stderr, "dragonfly: waiting for another dead-letter command")
		}
		return pause(ctx, 100*time.Millisecond)
	}, func() error {
		state, err := c.box.State()
		if err != nil {
			return err
		}
		return f(state)
	})
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// skips counts what was selected and is left as it is, by why.
type skips struct {
	order []string
	n     map[string]int
}

func (s *skips) add(why string) {
	if s.n == nil {
		s.n = map[string]int{}
	}
	if s.n[why]++; s.n[why] == 1 {
		s.order = append(s.order, why)
	}
}

func (s *skips) remove(why string) {
	delete(s.n, why)
	s.order = slices.DeleteFunc(s.order, func(w string) bool { return w == why })
}

// err is what a command that did less than it was told returns.
func (s *skips) err() error {
	var errs []error
	for _, why := range s.order {
		errs = append(errs, fmt.Errorf("%d entries left as they are: %s", s.n[why], why))
	}
	return errors.Join(errs...)
}

// replay is `replay`.
func (c *letters) replay(ctx context.Context) error {
	var left skips
	var bad damages
	stages := map[string]int{}
	request, n := "", 0
	err := c.change(ctx, func(state *deadletter.State) (err error) {
		request, n, err = c.box.Replay(func(add func(to string, f *deadletter.Found) error) error {
			return c.scan(state, bad.add, func(f *deadletter.Found, s deadletter.Status) error {
				to, why := c.target(&f.Entry, s)
				if why != "" {
					left.add(why)
					return nil
				}
				stages[to]++
				return add(to, f)
			})
		})
		return err
	})
	bad.tell(c.stderr)
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.Join(errors.New("nothing is replayed"), left.err())
	}
	var where []string
	for to, n := range stages {
		where = append(where, fmt.Sprintf("%s %d", clean(to, false), n))
	}
	slices.Sort(where)
	when := "the engine takes them up now"
	if !c.box.Requests.EngineRuns() {
		when = "no engine runs: they are replayed at its next start"
	}
	fmt.Fprintf(c.stdout, "request %s: %d entries (%s); %s\n", request, n, strings.Join(where, ", "), when)
	if k := left.n[doneBefore]; k > 0 && len(c.ids) == 0 { // who names no entry means the open ones
		fmt.Fprintf(c.stderr, "dragonfly: %d entries left as they are: %s\n", k, doneBefore)
		left.remove(doneBefore)
	}
	if c.wait.on {
		return errors.Join(left.err(), c.await(ctx, request))
	}
	return left.err()
}

const doneBefore = "they were replayed or dropped before (--again replays them)"

// target returns the stage that an entry is sent to, or why it is not sent.
func (c *letters) target(e *deadletter.Entry, s deadletter.Status) (to, why string) {
	switch {
	case s == deadletter.Pending:
		return "", "their replay was asked for and is not finished"
	case s.Done() && !c.again:
		return "", doneBefore
	}
	to = e.Stage
	if c.from == "filter" {
		if to = c.filterOf(e); to == "" {
			return "", fmt.Sprintf("no input of the configuration has the tag that their origin begins with (%s)", clean(firstWord(e.Origin), false))
		}
		return to, ""
	}
	if e.Kind() == "input" {
		return "", fmt.Sprintf("the input %s has only the beginning of their bytes (%s): `show` says what can be done", clean(strings.TrimPrefix(e.Stage, "input "), false), clean(e.Reason, false))
	}
	if c.cfg != nil && !c.hasStage(e.Stage) {
		return "", fmt.Sprintf("config.lua has no %s (--from filter sends them through the input's filter)", clean(e.Stage, false))
	}
	return to, ""
}

func firstWord(s string) string { w, _, _ := strings.Cut(s, " "); return w }

// filterOf returns the filter of the input that a record came from, "" if it is not known.
func (c *letters) filterOf(e *deadletter.Entry) string {
	if c.cfg == nil {
		return "filter " + firstWord(e.Origin)
	}
	best := ""
	for i := range c.cfg.Inputs {
		if tag := c.cfg.Inputs[i].Tag; e.From(tag) && len(tag) > len(best) { // a tag may contain spaces
			best = tag
		}
	}
	if best == "" {
		return ""
	}
	return "filter " + best
}

func (c *letters) hasStage(stage string) bool {
	kind, tag, _ := strings.Cut(stage, " ")
	var tags []string
	switch kind {
	case "filter":
		for i := range c.cfg.Inputs {
			tags = append(tags, c.cfg.Inputs[i].Tag)
		}
	case "analyzer":
		for i := range c.cfg.Analyzers {
			tags = append(tags, c.cfg.Analyzers[i].Tag)
		}
	case "output":
		tags = append(tags, "log", "stats")
		for i := range c.cfg.Outputs {
			tags = append(tags, c.cfg.Outputs[i].Tag)
		}
	}
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// await waits until a request is finished and prints what became of it.
func (c *letters) await(ctx context.Context, request string) error {
	if c.wait.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.wait.limit)
		defer cancel()
	}
	for {
		o, ok, err := c.box.Outcome(request)
		if err != nil {
			return err
		}
		if ok {
			fmt.Fprintf(c.stdout, "request %s: %s\n", request, outcomeText(&o))
			if o.Dead() > 0 {
				return fmt.Errorf("%d entries failed again: they are new dead letters", o.Dead())
			}
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("request %s is not finished yet; it goes on without this command", request)
		}
	}
}

func outcomeText(o *deadletter.Outcome) string {
	s := fmt.Sprintf("read %d = delivered %d + dropped %d + dead-lettered again %d", o.Read, o.Delivered, o.Dropped, o.Dead())
	var why []string
	for reason, n := range o.DeadLettered {
		why = append(why, fmt.Sprintf("%s %d", reason, n))
	}
	if slices.Sort(why); len(why) > 0 {
		s += " (" + strings.Join(why, ", ") + ")"
	}
	return s
}

// drop is `drop`.
func (c *letters) drop(ctx context.Context) error {
	var left skips
	var bad damages
	n := 0
	err := c.change(ctx, func(state *deadletter.State) error {
		if !c.selects() {
			return nil
		}
		var ids []deadletter.ID
		err := c.scan(state, bad.add, func(f *deadletter.Found, s deadletter.Status) error {
			switch s {
			case deadletter.Open:
				ids = append(ids, f.ID)
			case deadletter.Pending:
				left.add("their replay was asked for and is not finished")
			}
			return nil
		})
		n = len(ids)
		if err != nil {
			return err
		}
		return c.box.Drop(ids)
	})
	bad.tell(c.stderr)
	if err != nil {
		return err
	}
	if c.selects() {
		fmt.Fprintf(c.stdout, "%d entries are dropped\n", n)
	}
	if c.purge {
		return errors.Join(left.err(), c.purgeFiles(ctx))
	}
	return left.err()
}

// rotateLimit is how long the engine may take to rotate its file before the purge goes on without.
const rotateLimit = 15 * time.Second

// purgeFiles removes what is done from the files.
func (c *letters) purgeFiles(ctx context.Context) error {
	return c.change(ctx, func(*deadletter.State) error {
		if err := c.rotate(ctx); err != nil {
			fmt.Fprintf(c.stderr, "dragonfly: the current file stays as it is: %v\n", err)
		}
		p, err := c.box.Purge()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%d entries are removed: %d files removed, %d written anew\n", p.Removed, p.Files, p.Rewritten)
		for _, why := range p.Kept {
			fmt.Fprintln(c.stdout, "kept", why)
		}
		return nil
	})
}

// rotate has the current file renamed if that helps: by the engine, or if none runs by this command.
func (c *letters) rotate(ctx context.Context) error {
	if helps, err := c.box.CurrentHasDone(); err != nil || !helps {
		return err
	}
	if !c.box.Requests.EngineRuns() {
		if err := c.box.Rotate(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	before, err := os.Stat(c.box.Path)
	if err != nil {
		return err
	}
	if err := c.box.Requests.AskRotation(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rotateLimit)
	defer cancel()
	for {
		if now, err := os.Stat(c.box.Path); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(before, now) {
			return nil
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			c.box.Requests.TakeRotation()
			return fmt.Errorf("the engine did not rotate it within %v: does its dead-letter output work? SIGUSR1 rotates too", rotateLimit)
		}
	}
}
