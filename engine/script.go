package engine

import (
	"fmt"
	"log/slog"
	"time"

	"dragonfly/engine/lazyjson"
)

// Program is a script compiled once; each worker of a stage loads it into an interpreter of its own.
type Program interface {
	// Load makes an interpreter, runs the script's top level and setup(). Called once per shard, before the process
	// gives up its rights, and again on reload. What setup() emits goes to out.
	Load(env ScriptEnv, out *Results) (Script, error)
}

// ScriptEnv is what a loaded script knows of its place in the pipeline.
type ScriptEnv struct {
	Stage           string // tag of the row
	IsFilter        bool   // a filter belongs to an input, has no default_output
	Shard           int    // 0-based
	DefaultAnalyzer string // "" is none: the global stays nil
	DefaultOutput   string
	Timeout         time.Duration // limit of one call of a callback; 0 is none
	Workers         int           // shards of the stage
	States          [][]byte      // what SaveState returned before: of this shard; if Resharded, of all that the stage had
	Resharded       bool          // the stage had another number of workers
	StateMax        int64         // bytes that SaveState may return
	Memory          int64         // bytes that the interpreter may hold; 0 is no limit
	Instructions    uint64        // limit of one call of a callback; 0 is none. Scripts that cannot loop are not counted
	Router          Router
	Log             *slog.Logger

	Statistics func() []InputStatistics // of the inputs of the process; nil: there are none (examples)
}

// Script is a script as loaded by one worker, its only caller.
type Script interface {
	// Handle passes ev to loop() and appends to out what the script emitted, in order. After an error (*ScriptError)
	// the engine discards what out got in this call.
	Handle(ev *Event, out *Results) error
	// Finish calls the script's finish() if it has one: once, when the stage is drained.
	Finish(out *Results) error
	Close()
}

// StatefulProgram is a Program that knows whether its scripts keep state that outlives the process: see commit.go.
type StatefulProgram interface {
	KeepsState() bool
}

// StateKeeper is a Script with such a state.
type StateKeeper interface {
	// SaveState returns the state, for ScriptEnv.States. An error says what in it cannot be saved, and where.
	SaveState() ([]byte, error)
}

// ScriptError is a fault of a script while it handled one event.
type ScriptError struct {
	Script  string // file name as the user knows it, relative to ROOT
	Line    int    // 0: not known
	Msg     string // Lua's message without the position
	Timeout bool   // stopped by script_timeout
	Trace   string // Lua stack, several lines; may be empty

	Memory       bool // stopped by script_memory: the interpreter is replaced before the next call
	Instructions bool // stopped by script_instructions
}

// Reason returns the reason of the dead letter of the event.
func (e *ScriptError) Reason() string {
	switch {
	case e.Timeout:
		return ReasonTimeout
	case e.Memory:
		return ReasonMemory
	case e.Instructions:
		return ReasonInstructions
	}
	return ReasonScript
}

func (e *ScriptError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.Script, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.Script, e.Line, e.Msg)
}

// Route is the address of an analyzer or output inside one engine.
type Route int32

// NoRoute is the address of nothing: an unknown tag. RouteLog and RouteStats are the two internal outputs of the original.
const (
	NoRoute    Route = -1
	RouteLog   Route = 0
	RouteStats Route = 1
)

// Router finds routes by tag. Tags compare without case; the first row with a tag wins. Safe for all goroutines.
type Router interface {
	Analyzer(tag string) Route // NoRoute if there is none
	Output(tag string) Route
	// Unknown counts an event that a script sent to a tag that does not exist (or nil, ""), and warns once per tag.
	Unknown(stage, tag string)
}

// Results collects what a script emits while it handles one event; the worker sends it on when the batch is through.
// It belongs to one worker and is reused.
type Results struct {
	Emitted []Emission
	Timers  []Timer
}

// Emission is one event to one route.
type Emission struct {
	Route Route
	Body  string           // one valid JSON value
	Index []lazyjson.Field // top-level fields of Body if it is an object and the script has them at hand, else nil
}

// Timer asks for Body to be delivered to an analyzer later.
type Timer struct {
	Route Route
	After time.Duration
	Every bool // repeat until the engine stops
	Body  string
}

// Emit adds an event for route.
func (r *Results) Emit(route Route, body string, index []lazyjson.Field) {
	r.Emitted = append(r.Emitted, Emission{route, body, index})
}

// Reset empties r and keeps its memory.
func (r *Results) Reset() {
	clear(r.Emitted)
	r.Emitted = r.Emitted[:0]
	r.Timers = r.Timers[:0]
}
