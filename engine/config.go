package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Config is a checked config.lua. luabind.LoadConfig makes it; every default is filled in.
type Config struct {
	File string // path of config.lua, for messages
	Root string // absolute

	Inputs    []InputRow
	Analyzers []StageRow
	Outputs   []OutputRow // the user's, in order

	MaxInFlight        int           // events between the inputs and their acks, default 2048
	MaxInFlightBytes   int64         // bytes likewise, default 8 MiB
	ScriptTimeout      time.Duration // limit of one call of loop, default 1 s, 0 is none; a row's script_timeout overrides it
	ScriptMemory       int64         // bytes that an interpreter may hold, default 256 MiB, 0 is no limit; a row's script_memory overrides it
	ScriptInstructions uint64        // limit of one call, default 0, which is none; a row's script_instructions overrides it
	BreakerFaults      int           // faults in a row that take a script out, default 100; 0: none is ever taken out
	BreakerPause       time.Duration // before it is tried again, default 10 s
	StateMax           int64         // bytes of the encoded state of one shard, default 16 MiB
	DrainTimeout       time.Duration // limit of the drain at shutdown, default 10 s
	StatsInterval      time.Duration // of the stats log, default 60 s
	Listen             string        // address of the HTTP listener, default "127.0.0.1:7070"; "" switches it off
	DeadLetter         string        // URI of the dead-letter output, default "file://dead-letter.json" (in the log directory)
	DeadLetterSpool    int64         // bytes of its spool, 0 is none

	DropIn  string              // directory below ROOT with further rows; "" is none
	Dropped map[string]RowPlace // where rows that are not from File stand: "outputs[3]" of this Config

	Confine Confine
	Redis   Redis
	Store   Store
	Modules []string // redis modules of the original's config; their commands are built in
}

// RowPlace is where a row stands that is not in config.lua.
type RowPlace struct {
	File string // path relative to ROOT
	Key  string // in that file: "outputs[1]"
}

// Confine is what the process may do after the start, besides what its components say.
type Confine struct {
	Landlock string   // "auto", "required" or "off"
	Read     []string // files and directories, absolute
	Write    []string // directories, absolute
	Connect  []string // TCP ports, or "any" alone; empty: not said
}

// Redis is the server that scripts talk to. Package engine/store/remote explains the addresses.
type Redis struct {
	Address  string // "" is none: the embedded store answers
	User     string
	Password string
	Database int
	TLS      bool
	CA       string // PEM file of authorities; "" is the system's
	Master   string // of Sentinel
	Cluster  bool
	Timeout  time.Duration
	Wait     time.Duration // for a server that is away
	Pool     int           // connections; 0 is 10 per CPU
}

// Store is the embedded store.
type Store struct {
	MaxMemory    int64
	Eviction     string // "lru" or "none"
	SaveInterval time.Duration
	Listen       string // "" does not
}

// InputRow is one row of inputs: an input and the filter that its records pass first.
type InputRow struct {
	Tag     string
	URI     string
	Scheme  string
	Address string
	Options Values
	Filter  StageRow // Filter.Tag is the input's tag
	Line    int      // in config.lua
}

// StageRow is a filter or an analyzer.
type StageRow struct {
	Tag             string
	Script          string // path relative to ROOT: "analyzers/dns.lua"; absolute if the row names it so
	DefaultAnalyzer string
	DefaultOutput   string
	Workers         int      // shards, default 1; "auto" is one per CPU
	ShardBy         []string // field paths ("src_ip", "flow.src_ip"); empty spreads events evenly. Several make an order-free tuple
	Timeout         time.Duration
	Breaker         BreakerMode
	Memory          int64  // bytes that the interpreter of a worker may hold; 0 is no limit
	Instructions    uint64 // limit of one call; 0 is none
	Line            int
}

// OutputRow is one row of outputs.
type OutputRow struct {
	Tag     string
	URI     string
	Scheme  string
	Address string
	Options Values
	Spool   int64 // bytes of its spool on disk, 0 is none
	NoSync  bool  // the kernel may keep in memory what is appended to the spool
	Line    int
}

// Place returns the file of a row, "outputs[3]", and its key there.
func (c *Config) Place(row string) (file, key string) {
	if p, ok := c.Dropped[row]; ok {
		return p.File, p.Key
	}
	return c.File, row
}

// placed adds to the configuration mistakes in err, which name a key only, the place of their row, "outputs[3]", in a line of
// its file. The error is err if there are none.
func (c *Config) placed(err error, row string, line int) error {
	var errs []error
	for _, ce := range ConfigErrors(err) {
		e := *ce
		if e.File == "" {
			file, key := c.Place(row)
			e.File, e.Line, e.Key = file, line, key+"."+ce.Key
		}
		errs = append(errs, &e)
	}
	if len(errs) == 0 {
		return err
	}
	return errors.Join(errs...)
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// ConfigErrors returns the configuration mistakes in err, which may be one, a join of several, or none.
func ConfigErrors(err error) []*ConfigError {
	var list []*ConfigError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, ConfigErrors(e)...)
		}
		return list
	}
	var ce *ConfigError
	if errors.As(err, &ce) {
		list = append(list, ce)
	}
	return list
}

// SplitURI splits "tail:///var/log/eve.json<" into scheme and address. It is false if s has no "://".
func SplitURI(s string) (scheme, address string, ok bool) {
	scheme, address, ok = strings.Cut(s, "://")
	return strings.ToLower(scheme), address, ok && scheme != ""
}
