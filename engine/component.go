package engine

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// Record is one unit as read from a source, before it is an event.
type Record struct {
	Body   string // the bytes without the line end; must never change afterwards
	Offset int64  // position of its first byte in the source; -1 where the source has none
	Reject string // set by an input that cannot use the record (ReasonTooLong): it goes to the dead letter with this reason
}

// Reasons of dead letters.
const (
	ReasonMalformed = "malformed" // not JSON
	ReasonNotObject = "not_object"
	ReasonTooLong   = "too_long" // longer than the input's max_line; Body holds its beginning
	ReasonTruncated = "truncated"
	ReasonScript    = "script_error"
	ReasonTimeout   = "script_timeout"
	ReasonDisabled  = "script_disabled" // the script is taken out: see breaker.go
	ReasonLoop      = "loop"            // took more than MaxHops stages
	ReasonFanOut    = "fan_out"
	ReasonRejected  = "rejected" // the sink refused it for good

	ReasonMemory       = "script_memory"
	ReasonInstructions = "script_instructions"
	ReasonNoStage      = "no_stage" // sent back to a stage that is no longer configured
)

// Batch is a run of records that one input read together from one source.
type Batch struct {
	Origin  string   // the source for the operator: a path, a socket, a peer
	Records []Record // in order; the input may reuse the slice when emit has returned
	Done    func()   // called once, from any goroutine, when each record and all that was derived from it is finished; nil if the input keeps no offset

	Partition *Partition // that the records belong to; nil: none
}

// NewChunk returns n bytes that are not cleared, for reading or encoding into: BenchmarkReader 106 -> 70 ns a line.
func NewChunk(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// EmitFunc hands a batch to the engine. It blocks while the pipeline is full (this is the backpressure) and returns
// ctx's error if the engine stops meanwhile: then no record of the batch was taken. A batch should not be kept back to
// fill it: emit what one read of the source returned.
type EmitFunc func(ctx context.Context, b Batch) error

// Input reads records from one source.
type Input interface {
	// Run opens the source and emits its records until the source ends or ctx is done; in both cases it returns nil.
	// Any other error means that the source broke: the engine logs it and calls Run again after a backoff.
	// Run is called from one goroutine at a time; after a reload it may be called again.
	Run(ctx context.Context, emit EmitFunc) error
}

// ErrDamaged is in the error of an Input.Run whose source cannot be read further, however often it is tried: a compressed
// file that is cut off. With -x such an input has failed for good.
var ErrDamaged = errors.New("the source is damaged")

// Opener is an Input or Output with something to open, bind or watch before the process gives up its rights (chroot,
// setuid). Open is called once, before the first Run or the first Write. An Opener's Run goes on with what Open opened.
// For an Output, Open is part of the interface and may be called again after Close.
type Opener interface {
	Open(ctx context.Context) error
}

// Closer is an Input that holds something beyond one Run (a socket that Open bound). Close is called after the last Run.
type Closer interface {
	Close() error
}

// Rewinder is an Input that keeps its place in the source from one Run to the next. Rewind is called between two Runs when the
// engine was broken off: what is not acked must be read again, from the checkpoints on.
type Rewinder interface {
	Rewind()
}

// Output delivers events to one sink; the engine calls its methods one at a time, from one goroutine.
type Output interface {
	// Open connects to the sink. The engine repeats it with backoff while it fails, except when the error is a *ConfigError.
	Open(ctx context.Context) error
	// Write delivers batch in order and returns how many events, from its start, were delivered. After a *RejectError
	// the engine dead-letters event n and goes on with n+1; after any other error it repeats from n, with backoff.
	// What Write reported as delivered must have left the process (be written to the file or socket).
	Write(ctx context.Context, batch []Event) (n int, err error)
	// Close flushes and closes. Called once after the last Write.
	Close() error
}

// Reopener is an Output whose file can be rotated by signal (SIGUSR1) . Reopen is called between two Writes.
type Reopener interface {
	Reopen() error
}

// RejectError says that the sink refused one event for good.
type RejectError struct{ Err error }

func (e *RejectError) Error() string { return "rejected: " + e.Err.Error() }
func (e *RejectError) Unwrap() error { return e.Err }

// Finite is an Input that knows whether it ends by itself, where that depends on its options; it overrides InputKind.Finite.
type Finite interface {
	Finite() bool
}

// InputKind describes a URI scheme for inputs. The list of all is in cmd/dragonfly/components.go.
type InputKind struct {
	Doc     string   // one sentence for the reference, with the form of the URI
	Options []Option // keys that a row may have besides tag, uri, script, default_analyzer
	Finite  bool     // ends by itself; -x waits for such inputs
	// New checks its parameters and returns the input; it opens nothing and starts nothing.
	// Problems with the row are *ConfigError values (joined with errors.Join if several).
	New func(p Params) (Input, error)
}

// OutputKind describes a URI scheme for outputs.
type OutputKind struct {
	Doc     string
	Options []Option
	New     func(p Params) (Output, error)
}

// Params is what a constructor gets: one row of config.lua and the services of the engine.
type Params struct {
	Tag         string                                                               // name of the row
	Version     string                                                               // of the program, for what it says of itself to others
	URI         string                                                               // as written, references resolved: "tail:///var/log/suricata/eve.json<"
	Scheme      string                                                               // "tail"
	Address     string                                                               // what follows "scheme://": "/var/log/suricata/eve.json<"
	Options     Values                                                               // the row's other keys, checked against the kind's Options, defaults filled in
	Root        string                                                               // absolute path of ROOT
	LogDir      string                                                               // relative paths of file://, tail:// resolve here
	RunDir      string                                                               // relative paths of sockets resolve here
	Log         *slog.Logger                                                         // has the row's tag already
	Checkpoints *Checkpoints                                                         // inputs only; never nil
	Dial        func(ctx context.Context, network, address string) (net.Conn, error) // connects; works in a chroot, counts as a use of the network
	Roots       *x509.CertPool                                                       // who may sign certificates of servers; nil: as the system has it
	Read        func(path string) ([]byte, error)                                    // reads a file that a row names, relative to ROOT (certificates); for New only
	Redis       func(address string) (open func() (RedisConn, error), err error)     // "redis" is the server that config.lua names, "auto" too, but open is nil if it names none; else a URL. open does not connect yet
	Counter     func(name, help string) *atomic.Int64                                // a counter of this row in /metrics, /ledger and the exit report: Counter("datagrams_dropped_total", "...")
}

// RedisConn leads to a server that holds what processes share. It is safe for all goroutines.
type RedisConn interface {
	// Do carries out one command and returns its reply: nil, int64, string or []any of these. It is tried once, within the
	// server's timeout. What the server refuses is an error too.
	Do(args ...string) (any, error)
	Close() error
}

// Option declares one key of a row: it is checked, filled in and documented from this.
type Option struct {
	Key      string
	Type     OptionType
	Default  any      // of the type's Go value; nil: no default, the zero value
	Min, Max float64  // range of numbers, bytes and seconds; both 0: not limited
	Enum     []string // for String: allowed values
	Secret   bool     // a String that nobody else may know: may be `file:PATH` in config.lua, and is never shown
	Doc      string   // one sentence, with unit
}

// OptionType is the type of an option in config.lua.
type OptionType int

// The types; in brackets what config.lua may hold and the Go type in Values.
const (
	String   OptionType = iota // "text" (string)
	Int                        // 5 (int64)
	Number                     // 0.5 (float64)
	Bool                       // true (bool)
	Bytes                      // 4096, "16MiB", "64k" (int64, bytes)
	Duration                   // 2.5 in seconds, "250ms", "1h" (time.Duration)
	Strings                    // "a" or {"a", "b"} ([]string)
	JSON                       // any Lua value, encoded as JSON (string)
)

// Values holds the options of a row by key. The typed methods return the zero value for a key that is not set.
type Values map[string]any

func (v Values) String(key string) string          { s, _ := v[key].(string); return s }
func (v Values) Int(key string) int64              { n, _ := v[key].(int64); return n } // Int and Bytes
func (v Values) Number(key string) float64         { n, _ := v[key].(float64); return n }
func (v Values) Bool(key string) bool              { b, _ := v[key].(bool); return b }
func (v Values) Duration(key string) time.Duration { d, _ := v[key].(time.Duration); return d }
func (v Values) Strings(key string) []string       { s, _ := v[key].([]string); return s }

// ConfigError is a mistake of the user at a place in config.lua (or of the row named by Key, while the place is not known).
type ConfigError struct {
	File string
	Line int    // 0: not known
	Key  string // "inputs[2].uri"; a constructor gives only the key within its row, "uri"
	Msg  string // what was found and what is wanted
}
