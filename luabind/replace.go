package luabind

import (
	"fmt"
	"runtime"
	"time"

	"dragonfly/engine"
)

// What a script has kept stays when a call of it is stopped. So an interpreter that holds more than script_memory is
// given up: before the next call the script is loaded anew, as at the start.

// spent says whether a script's interpreter must be replaced.
type spent struct {
	now   bool
	err   error     // of the last attempt; nil before the first
	again time.Time // of the next attempt
	pause time.Duration
}

// Pauses between attempts to load a script anew.
const (
	firstPause = time.Second
	mostPause  = time.Minute
)

// ready makes a usable interpreter if the last call has used up the old one.
func (s *script) ready() error {
	if !s.spent.now {
		return nil
	}
	if s.spent.err != nil && time.Now().Before(s.spent.again) {
		return s.unready()
	}
	held := s.lim.budget.held
	if s.spent.err == nil {
		if _, err := s.SaveState(); err != nil {
			s.env.Log.Error("the state of a script that is loaded anew cannot be saved: it is what it was at the last checkpoint", "script", s.program.code.name, "err", err)
		}
	}
	s.close()
	s.meter, s.out = meter{}, nil
	s.open()
	runtime.GC() // at the next regular collection the heap would be several times as large
	var out engine.Results
	if err := s.start(&out); err != nil {
		s.spent.err = err
		s.spent.pause = min(max(2*s.spent.pause, firstPause), mostPause)
		s.spent.again = time.Now().Add(s.spent.pause)
		s.env.Log.Error("the script could not be loaded anew: its events fail until it can", "script", s.program.code.name, "err", err, "retry", s.spent.pause)
		return s.unready()
	}
	s.spent = spent{}
	s.env.Log.Warn("script loaded anew: its globals are gone but for `state`; what its setup() emitted was not sent again, and its timers run on", "script", s.program.code.name,
		"held", bytesText(held), "script_memory", bytesText(s.env.Memory), "emitted", len(out.Emitted), "timers", len(out.Timers))
	return nil
}

func (s *script) unready() error {
	return &engine.ScriptError{Script: s.program.code.name, Msg: "the script exceeded script_memory and could not be loaded anew: " + s.spent.err.Error()}
}

// between looks for growth between two calls, which finds what grows slowly. The call that has just ended is not to blame
// alone: what it emitted goes out.
func (s *script) between() {
	dog := s.program.loader.dog
	if s.spent.now || !s.lim.between(dog.now.Load(), dog.heap.Load()) {
		return
	}
	s.spent.now = true
	s.env.Log.Warn("the script holds more than script_memory: it is loaded anew before its next event", "script", s.program.code.name,
		"held", bytesText(s.lim.budget.held), "script_memory", bytesText(s.env.Memory))
}

// stopped words the error of a call that has used up a budget.
func (s *script) stopped(se *engine.ScriptError) {
	switch b := &s.lim.budget; b.cause {
	case causeMemory:
		se.Memory = true
		se.Msg = fmt.Sprintf("stopped: the script holds, or was about to hold, more than script_memory (%s): keep less (sketch.lru and sketch.counter are bounded), build smaller strings, or raise script_memory", bytesText(b.memory))
		if b.held > b.memory {
			se.Msg = fmt.Sprintf("stopped: the script holds %s or more, above script_memory (%s): keep less (sketch.lru and sketch.counter are bounded), or raise script_memory", bytesText(b.held), bytesText(b.memory))
		}
	case causeInstructions:
		se.Instructions = true
		se.Msg = fmt.Sprintf("stopped: a call took more than script_instructions (%d): look for a loop without end, or raise script_instructions", b.instructions)
	default:
		se.Timeout = true
		se.Msg = "stopped: a call took longer than script_timeout (" + time.Duration(s.lim.timeout.Load()).String() + ")"
	}
}

// warnMemory is called once per interpreter.
func (s *script) warnMemory(held int64) {
	s.env.Log.Warn("the script holds more than 80 % of script_memory; above it the script is loaded anew and loses its globals", "script", s.program.code.name,
		"held", bytesText(held), "script_memory", bytesText(s.env.Memory))
}
