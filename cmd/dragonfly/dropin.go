package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"dragonfly/engine"
	"dragonfly/luabind"
)

// dropIns are the files of the directory drop_in. All but the watching is done by one goroutine at a time: at the start, and by reloads.
type dropIns struct {
	now   []luabind.DropIn // as read last
	good  []luabind.DropIn // those that run
	fixed []luabind.DropIn // taken instead of reading, if fix
	fix   bool
	read  bool       // now is what is there
	notes *notesFile // of the directory; nil: it cannot be watched
}

// refusedDropIn is a file that is wrong.
type refusedDropIn struct {
	name string
	why  error
}

// reloadReason is why config.lua and the scripts are read again.
type reloadReason int

const (
	asked        reloadReason = iota // SIGHUP
	filesDropped                     // the directory drop_in has changed
)

// stepError is why a new configuration does not run.
type stepError struct {
	error
	msg string
}

// tell logs a stepError.
func (s *server) tell(err error) {
	var step *stepError
	if !errors.As(err, &step) {
		step = &stepError{err, "the new configuration does not run: the old one goes on"}
	}
	report(logWriter{s.log}, step.error)
	s.log.Error(step.msg)
}

// config loads config.lua with the files.
func (d *dropIns) config(loader *luabind.Loader, root string) (*engine.Config, error) {
	k := kinds(loader)
	k.DropIns = func(dir string) ([]luabind.DropIn, error) {
		if d.fix {
			return d.fixed, nil
		}
		var err error
		d.now, err = loader.DropIns(dir)
		d.read = err == nil
		return d.now, err
	}
	return loadConfig(loader, root, k)
}

// try calls prepare with these files.
func (d *dropIns) try(files []luabind.DropIn, prepare func() (*pipeline, error)) (*pipeline, error) {
	d.fix, d.fixed = true, files
	defer func() { d.fix, d.fixed = false, nil }()
	return prepare()
}

// settle makes the pipeline of what is there now. A file that is wrong stays as it was before, or away if it is new, and one that others
// need stays though it was removed; the others take effect. refused says why. Without any error err is nil; then next is set.
func (d *dropIns) settle(prepare func() (*pipeline, error)) (next *pipeline, refused []refusedDropIn, err error) {
	d.now, d.read = nil, false
	next, err = prepare()
	if err == nil {
		d.good = d.now
		return next, nil, nil
	}
	names := d.changed()
	if !d.read || len(names) == 0 {
		return nil, nil, err
	}
	var why error
	if next, why = d.try(d.good, prepare); why != nil { // it is not the files
		return nil, nil, err
	}
	set := d.good
	for _, name := range names {
		trial := with(set, d.now, name)
		p, err := d.try(trial, prepare)
		if err != nil {
			var step *stepError
			if errors.As(err, &step) {
				err = step.error
			}
			refused = append(refused, refusedDropIn{name, err})
			continue
		}
		next, set = p, trial
	}
	d.good = set
	return next, refused, nil
}

// changed returns the names of the files that differ from those that run, in order.
func (d *dropIns) changed() []string {
	var names []string
	note := func(list, other []luabind.DropIn) {
		for _, f := range list {
			i := slices.IndexFunc(other, func(g luabind.DropIn) bool { return g.Name == f.Name })
			if i < 0 || !bytes.Equal(f.Source, other[i].Source) || (f.Err == nil) != (other[i].Err == nil) {
				names = append(names, f.Name)
			}
		}
	}
	note(d.now, d.good)
	note(d.good, d.now)
	slices.Sort(names)
	return slices.Compact(names)
}

// with returns set with the file of this name as it is in from, or without it.
func with(set, from []luabind.DropIn, name string) []luabind.DropIn {
	is := func(f luabind.DropIn) bool { return f.Name == name }
	set = slices.DeleteFunc(slices.Clone(set), is)
	if i := slices.IndexFunc(from, is); i >= 0 {
		at, _ := slices.BinarySearchFunc(set, name, func(f luabind.DropIn, name string) int { return strings.Compare(f.Name, name) })
		set = slices.Insert(set, at, from[i])
	}
	return set
}

// prepare makes a pipeline of config.lua and its scripts that could run instead of the one that does.
func (s *server) prepare() (*pipeline, error) {
	next, err := s.build(s.pipeline)
	if err != nil {
		return nil, &stepError{err, "the new configuration does not load: the old one goes on"}
	}
	if err := s.reachable(next); err != nil {
		return nil, &stepError{err, "the new configuration needs what dragonfly gave up when it started: the old one goes on until a restart"}
	}
	if err := next.dryRun(); err != nil {
		return nil, &stepError{err, "a new script does not load: the old ones go on"}
	}
	return next, nil
}

// Times of watching.
const (
	dropInQuiet = 250 * time.Millisecond // after a change, as files come together
	dropInBusy  = 2 * time.Second        // the longest that it waits for such a pause
	dropInPoll  = time.Second            // without notifications
)

// watchDropIns says on s.dropped when the files in the directory have changed, until ended is closed. known is the checksum of those
// that run. A file that is being written does not count before it is closed, or renamed.
func (s *server) watchDropIns(ended <-chan struct{}, dir string, known [sha256.Size]byte) {
	notes := make(chan struct{}, 1) // closed when there are no more
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.drops.notes.close()
	wg.Go(func() {
		defer close(notes)
		for s.drops.notes.read() {
			select {
			case notes <- struct{}{}:
			default:
			}
		}
	})
	poll := time.NewTicker(dropInPoll)
	defer poll.Stop()
	blind := false
	for last := known; ; {
		now := s.dropInSum(dir)
		if now != known && (!blind || now == last) { // blind: twice the same, so nobody is writing
			known = now
			select {
			case s.dropped <- struct{}{}:
			default: // a reload that has not begun yet will see it
			}
		}
		last = now
		for wait := true; wait; {
			select {
			case <-ended:
				return
			case _, ok := <-notes:
				if wait = false; ok && s.quiet(ended, notes) {
					break
				}
				notes, blind = nil, true
			case <-poll.C:
				wait = !blind
			}
		}
	}
}

// quiet waits until no note has come for a moment; false if there will be none any more.
func (s *server) quiet(ended <-chan struct{}, notes <-chan struct{}) bool {
	longest := time.After(dropInBusy)
	for {
		select {
		case _, ok := <-notes:
			if !ok {
				return false
			}
		case <-time.After(dropInQuiet):
			return true
		case <-longest:
			return true
		case <-ended:
			return true
		}
	}
}

// dropInSum is a checksum of the files.
func (s *server) dropInSum(dir string) [sha256.Size]byte { return sumOf(s.loader.DropIns(dir)) }

func sumOf(files []luabind.DropIn, err error) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintln(h, err)
	for _, f := range files {
		fmt.Fprintf(h, "%q %v %d\n%s", f.Name, f.Err, len(f.Source), f.Source)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
