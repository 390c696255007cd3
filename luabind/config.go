package luabind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	"dragonfly/engine"
)

// Kinds is what a config.lua may name: the schemes by name, and the files of ROOT.
type Kinds struct {
	Inputs  map[string]engine.InputKind
	Outputs map[string]engine.OutputKind
	Exists  func(path string) bool // relative to ROOT, or absolute
	Getenv  func(name string) (string, bool)
	Read    func(path string) ([]byte, error) // for "file:" references
	CPUs    int
	DropIns func(dir string) ([]DropIn, error) // of the directory drop_in; nil: none
}

// ConfigPaths are where config.lua is looked for in ROOT, in this order.
var ConfigPaths = []string{"scripts/config.lua", "config/config.lua"}

// GlobalOptions are the settings at the top level of config.lua besides inputs, analyzers and outputs.
var GlobalOptions = []engine.Option{
	{Key: "max_in_flight", Type: engine.Int, Default: int64(2048), Min: 1, Max: 1 << 24, Doc: "Records between an input and their last output. When so many are on their way the inputs wait."},
	{Key: "max_in_flight_bytes", Type: engine.Bytes, Default: int64(8 << 20), Min: 1024, Max: 1 << 40, Doc: "Bytes likewise."},
	{Key: "script_timeout", Type: engine.Duration, Default: time.Second, Max: 86400, Doc: "Limit of one call of a script's loop(); then the event goes to the dead letter. 0 is none. A row's own script_timeout goes before."},
	{Key: "breaker", Type: engine.String, Default: "dead_letter", Enum: []string{"dead_letter", "pass", "off"}, Doc: "What becomes of the events of a script that is taken out after repeated faults: they go to the dead letter, or pass it by (to default_analyzer, else default_output); \"off\" takes none out. A row's own breaker goes before. A script is taken out after breaker_faults in a row, or when calls that a limit stopped took more than a tenth of the time."},
	{Key: "breaker_faults", Type: engine.Int, Default: int64(100), Min: 1, Max: 1 << 30, Doc: "Faults in a row that take a script out."},
	{Key: "breaker_pause", Type: engine.Duration, Default: 10 * time.Second, Min: 0.001, Max: 86400, Doc: "After that one event is tried; each failure doubles the pause, up to 10 minutes. A script whose faults took no time is tried after a tenth of it, again and again."},
	{Key: "state_max", Type: engine.Bytes, Default: int64(16 << 20), Min: 1024, Max: 1 << 30, Doc: "Bytes that the table `state` of one worker may take when it is saved. Above that it stays as it was saved last, and the log says so."},
	{Key: "script_memory", Type: engine.Bytes, Default: int64(256 << 20), Max: 1 << 40, Doc: "Bytes that a script may hold, per worker; counted approximately. A script that exceeds it loses the event to the dead letter and its interpreter to a fresh one. 0 is no limit. A row's own script_memory goes before."},
	{Key: "script_instructions", Type: engine.Int, Default: int64(0), Max: 1 << 53, Doc: "Limit of the instructions of Lua's virtual machine in one call; then the event goes to the dead letter. 0 is none. A row's own goes before. Scripts that cannot loop are not counted."},
	{Key: "drain_timeout", Type: engine.Duration, Default: 10 * time.Second, Max: 86400, Doc: "How long the engine finishes what is queued when it is told to end. What is left then is read again at the next start."},
	{Key: "stats_interval", Type: engine.Duration, Default: time.Minute, Max: 86400 * 365, Doc: "How often the stats log is written; 0 never."},
	{Key: "listen", Type: engine.String, Default: "127.0.0.1:7070", Doc: "Addresses of the HTTP listener (/metrics, /healthz, /ledger, /www/), separated by commas: `host:port`, or `unix://PATH`, a socket below the run directory that answers its owner and root only; \"\" switches it off."},
	{Key: "drop_in", Type: engine.String, Doc: "Directory below ROOT (`\"conf.d\"`) with further rows: each NAME.lua in it sets `inputs`, `analyzers` or `outputs`, in the order of their names. Files that come, change or go while Dragonfly runs take effect within a second; one that is wrong leaves what was there before."},
	{Key: "dead_letter", Type: engine.String, Default: "file://dead-letter.json", Doc: "URI of the output for events that failed."},
	{Key: "dead_letter_spool", Type: engine.Bytes, Max: 1 << 50, Doc: "Its `spool`, as rows of `outputs` have one."},
	{Key: "redis", Type: engine.String, Secret: true, Doc: "The Redis of the scripts: `\"embedded\"` is the store inside Dragonfly; else `host:port`, the path of a unix socket, several of these separated by commas (Sentinels, nodes of a cluster), or a URL (`redis://user:password@host:port/db`, `rediss://` with TLS). Without it redis_host counts, and without that the store is embedded."},
	{Key: "redis_host", Type: engine.String, Doc: "dragonfly-mle's way to name the server; with redis_port 0 or less the path of its unix socket."},
	{Key: "redis_port", Type: engine.Int, Default: int64(6379), Min: -1, Max: 65535, Doc: "Its port."},
	{Key: "redis_user", Type: engine.String, Doc: "User, for servers with access lists."},
	{Key: "redis_password", Type: engine.String, Secret: true, Doc: "Password; `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "redis_database", Type: engine.Int, Default: int64(0), Max: 1 << 20, Doc: "Number of the database."},
	{Key: "redis_tls", Type: engine.Bool, Default: false, Doc: "Talks TLS and verifies the server's certificate."},
	{Key: "redis_ca", Type: engine.String, Doc: "PEM file with the authorities that may have signed it, instead of the system's."},
	{Key: "redis_master", Type: engine.String, Doc: "Name of the master, when `redis` names Sentinels."},
	{Key: "redis_cluster", Type: engine.Bool, Default: false, Doc: "`redis` names nodes of a Redis Cluster."},
	{Key: "redis_timeout", Type: engine.Duration, Default: 5 * time.Second, Min: 0.001, Max: 3600, Doc: "Limit of one try: connect, send, receive. Commands that wait inside the server (BLPOP, XREAD BLOCK) must wait less."},
	{Key: "redis_wait", Type: engine.Duration, Default: time.Minute, Max: 86400 * 365, Doc: "How long a server that is away is waited for, with the events held up; after that commands fail, and the script decides what becomes of the event."},
	{Key: "redis_pool", Type: engine.Int, Default: int64(0), Max: 10000, Doc: "Connections at most; 0 is 10 per CPU."},
	{Key: "store_max_memory", Type: engine.Bytes, Default: int64(256 << 20), Min: 0, Max: 1 << 40, Doc: "Bytes that the embedded store may use, counted approximately; 0 is no bound."},
	{Key: "store_eviction", Type: engine.String, Default: "lru", Enum: []string{"lru", "none"}, Doc: "What happens above that: the least recently used keys go, or commands that need memory fail (`OOM ...`)."},
	{Key: "store_save_interval", Type: engine.Duration, Default: 10 * time.Second, Max: 86400, Doc: "How often the embedded store is saved to the state directory if it has changed; after a kill it is at most that old. At the end it is saved too. 0 saves only then."},
	{Key: "landlock", Type: engine.String, Default: "auto", Enum: []string{"auto", "required", "off"}, Doc: "Whether Dragonfly takes from itself, once all is open, what it does not need: files, TCP ports, signals. \"auto\": as far as the kernel can; \"required\": it does not start where the kernel cannot."},
	{Key: "may_read", Type: engine.Strings, Doc: "Further files and directories that scripts read after the start; relative paths are below ROOT, which they may read anyway. What they read in setup() at the start counts as named."},
	{Key: "may_write", Type: engine.Strings, Doc: "Directories that scripts write to after the start, with dragonfly.http_get, os.rename, os.remove, or in setup() after a reload; relative paths are below ROOT. What they write in setup() at the start counts as named."},
	{Key: "may_connect", Type: engine.Strings, Doc: "TCP ports that scripts connect to after the start (`{\"443\", \"8080\"}`), besides those of inputs, outputs and Redis; \"any\" is all. Without it: any if a script uses `http` or http_get, else those that scripts connected to in setup()."},
	{Key: "store_listen", Type: engine.String, Doc: "Where the embedded store answers redis-cli: the path of a unix socket, or a loopback address (`127.0.0.1:6380`)."},
}

// StageOptions are the keys of analyzers, and of inputs for their filter.
var StageOptions = []engine.Option{
	{Key: "tag", Type: engine.String, Doc: "Name of the row, compared without case. Required."},
	{Key: "script", Type: engine.String, Doc: "The Lua script: for inputs in `scripts/` or `filter/`, for analyzers in `analyzers/` or `analyzer/`; `.lua` may be left out. Required."},
	{Key: "default_analyzer", Type: engine.String, Doc: "Tag of the analyzer that the script finds in its global default_analyzer."},
	{Key: "default_output", Type: engine.String, Doc: "Analyzers only: tag of the output that the script finds in its global default_output."},
	{Key: "workers", Type: engine.JSON, Default: "1", Doc: "Interpreters that run the script side by side, each with globals of its own; \"auto\" is one per CPU."},
	{Key: "shard_by", Type: engine.Strings, Doc: "Field that chooses the worker, so that equal values meet in one and keep their order: a path (\"src_ip\", \"dns.rrname\"), a list for a pair in any order ({\"src_ip\", \"dest_ip\"}), \"community_id\" (of the field, else of addresses, ports and protocol), or \"@origin\" (the file or the partition of a topic that it was read from; not with inputs that have one origin only, and not for dead letters that are sent back). Without it events are spread evenly."},
	{Key: "script_timeout", Type: engine.Duration, Max: 86400, Doc: "Limit of one call of loop() in this row."},
	{Key: "breaker", Type: engine.String, Enum: []string{"dead_letter", "pass", "off"}, Doc: "What becomes of this row's events while its script is taken out."},
	{Key: "script_memory", Type: engine.Bytes, Max: 1 << 40, Doc: "Bytes that this row's script may hold, per worker."},
	{Key: "script_instructions", Type: engine.Int, Max: 1 << 53, Doc: "Limit of the instructions of one call in this row."},
}

// OutputOptions are the keys that every row of outputs may have.
var OutputOptions = []engine.Option{
	{Key: "tag", Type: engine.String, Doc: "Name of the row, compared without case. Required."},
	uriOption,
	{Key: "spool", Type: engine.Bytes, Max: 1 << 50, Doc: "Bytes on disk, in `spool/TAG` of the state directory, for events that the sink does not take, at least 1 MiB. Without it they wait in memory, and the inputs with them."},
	{Key: "spool_sync", Type: engine.Bool, Default: true, Doc: "Events are on the disk before they count as delivered. false leaves that to the kernel: a crash of the machine then costs some seconds of them."},
}

var uriOption = engine.Option{Key: "uri", Type: engine.String, Doc: "Where from, or where to: SCHEME://ADDRESS. Required."}

// config reads one config.lua and collects its mistakes.
type config struct {
	file  string
	kinds Kinds
	lines map[string]int // of keys: "inputs[2].uri"

	breaker engine.BreakerMode // of rows that do not name their own
	errs    []error

	dropped map[string][]droppedRow    // rows of the directory drop_in, by list
	places  map[string]engine.RowPlace // of those
}

// LoadConfig runs config.lua and checks what it says. Every mistake is reported: the error is a join of *engine.ConfigError.
// file is its path for messages.
func LoadConfig(file string, source []byte, root string, kinds Kinds) (*engine.Config, error) {
	c := &config{file: file, kinds: kinds, lines: map[string]int{}}
	globals, err := c.run(source)
	if err != nil {
		return nil, err
	}
	cfg := c.read(globals, root)
	cfg.File, cfg.Root = file, root
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b error) int {
			return a.(*engine.ConfigError).Line - b.(*engine.ConfigError).Line
		})
		return nil, errors.Join(c.errs...)
	}
	return cfg, nil
}

// fail notes a mistake at a key.
func (c *config) fail(key, format string, args ...any) {
	line := c.lines[key]
	for k := key; line == 0 && k != ""; {
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			break
		}
		k = k[:i]
		line = c.lines[k]
	}
	file, key, line := c.placeOf(key, line)
	c.errs = append(c.errs, &engine.ConfigError{File: file, Line: line, Key: key, Msg: fmt.Sprintf(format, args...)})
}

// configTime is how long config.lua may run.
const configTime = 5 * time.Second

// run executes the file and returns the globals that it set.
func (c *config) run(source []byte) (map[string]lua.LValue, error) {
	chunk, err := parse.Parse(strings.NewReader(string(source)), c.file)
	if err != nil {
		return nil, c.syntaxError(err)
	}
	if err := checkNesting(string(source), chunk); err != nil {
		return nil, &engine.ConfigError{File: c.file, Msg: err.Error()}
	}
	c.findLines(chunk)
	proto, err := lua.Compile(chunk, c.file)
	if err != nil {
		return nil, &engine.ConfigError{File: c.file, Msg: err.Error()}
	}
	L := lua.NewState(lua.Options{SkipOpenLibs: true, RegistrySize: 1 << 12, RegistryMaxSize: 1 << 18})
	defer L.Close()
	lim := &limits{}
	openLibs(L, lim, discard{})
	globals := L.G.Global
	getenv := L.GetField(L.GetGlobal("os"), "getenv")
	for _, name := range []string{"io", "os", "debug", "package", "require", "dofile", "loadfile", "load", "loadstring", "module", "coroutine"} {
		globals.RawSetString(name, lua.LNil)
	}
	osTable := L.NewTable()
	osTable.RawSetString("getenv", getenv)
	globals.RawSetString("os", osTable)
	before := map[string]bool{}
	for k, _ := globals.Next(lua.LNil); k != lua.LNil; k, _ = globals.Next(k) {
		before[k.String()] = true
	}
	ctx, cancel := context.WithTimeout(context.Background(), configTime)
	defer cancel()
	L.SetContext(ctx)
	L.Push(L.NewFunctionFromProto(proto))
	if err := L.PCall(0, 0, nil); err != nil {
		return nil, c.runError(err, ctx.Err())
	}
	set := map[string]lua.LValue{}
	for k, v := globals.Next(lua.LNil); k != lua.LNil; k, v = globals.Next(k) {
		if name := k.String(); !before[name] {
			set[name] = v
		}
	}
	return set, nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func (c *config) syntaxError(err error) error {
	var pe *parse.Error
	if errors.As(err, &pe) {
		msg := pe.Message
		if pe.Token != "" {
			msg = fmt.Sprintf("%s near %q", msg, pe.Token)
		}
		if pe.Pos.Line == parse.EOF {
			msg += ": the file ends in the middle of a statement"
			return &engine.ConfigError{File: c.file, Msg: msg}
		}
		return &engine.ConfigError{File: c.file, Line: pe.Pos.Line, Msg: msg}
	}
	return &engine.ConfigError{File: c.file, Msg: err.Error()}
}

func (c *config) runError(err, ctxErr error) error {
	if ctxErr != nil {
		return &engine.ConfigError{File: c.file, Msg: fmt.Sprintf("does not come to an end within %v", configTime)}
	}
	msg := err.Error()
	var api *lua.ApiError
	if errors.As(err, &api) && api.Object != nil {
		msg = api.Object.String()
	}
	if _, line, text, ok := splitPosition(msg); ok {
		return &engine.ConfigError{File: c.file, Line: line, Msg: friendlyError(text)}
	}
	return &engine.ConfigError{File: c.file, Msg: friendlyError(msg)}
}

// findLines notes where keys stand: of tables that are assigned to globals.
func (c *config) findLines(chunk []ast.Stmt) {
	for _, st := range chunk {
		a, ok := st.(*ast.AssignStmt)
		if !ok {
			continue
		}
		for i, left := range a.Lhs {
			if name, ok := left.(*ast.IdentExpr); ok {
				c.lines[name.Value] = a.Line()
				if i < len(a.Rhs) {
					c.tableLines(name.Value, a.Rhs[i])
				}
			}
		}
	}
}

func (c *config) tableLines(path string, e ast.Expr) {
	t, ok := e.(*ast.TableExpr)
	if !ok {
		return
	}
	n := 0
	for _, f := range t.Fields {
		key := ""
		line := f.Value.Line()
		if f.Key == nil {
			n++
			key = fmt.Sprintf("%s[%d]", path, n)
		} else if s, ok := f.Key.(*ast.StringExpr); ok {
			key = path + "." + s.Value
			if s.Line() > 0 {
				line = s.Line()
			}
		} else {
			continue
		}
		c.lines[key] = line
		c.tableLines(key, f.Value)
	}
}

// read makes the Config of what the file set.
func (c *config) read(set map[string]lua.LValue, root string) *engine.Config {
	known := []string{"inputs", "analyzers", "outputs", "modules"}
	for _, o := range GlobalOptions {
		known = append(known, o.Key)
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	values := engine.Values{}
	for _, o := range GlobalOptions {
		values[o.Key] = c.option(o.Key, &o, set[o.Key])
	}
	for _, name := range names {
		if !slices.Contains(known, name) && name != "responders" && set[name].Type() != lua.LTFunction {
			c.fail(name, "unknown setting%s; a name of your own wants `local` before it", suggest(name, known))
		}
	}
	c.dropIns(values.String("drop_in"))
	cfg := &engine.Config{
		DropIn:      values.String("drop_in"),
		MaxInFlight: int(values.Int("max_in_flight")), MaxInFlightBytes: values.Int("max_in_flight_bytes"),
		StateMax: values.Int("state_max"), BreakerFaults: int(values.Int("breaker_faults")), BreakerPause: values.Duration("breaker_pause"),
		ScriptTimeout: values.Duration("script_timeout"), ScriptMemory: values.Int("script_memory"), ScriptInstructions: uint64(values.Int("script_instructions")), DrainTimeout: values.Duration("drain_timeout"),
		StatsInterval: values.Duration("stats_interval"), Listen: values.String("listen"), DeadLetter: values.String("dead_letter"),
		Redis: engine.Redis{
			Address: redisAddress(values, set), User: values.String("redis_user"), Password: values.String("redis_password"), Database: int(values.Int("redis_database")),
			TLS: values.Bool("redis_tls"), CA: values.String("redis_ca"), Master: values.String("redis_master"), Cluster: values.Bool("redis_cluster"),
			Timeout: values.Duration("redis_timeout"), Wait: values.Duration("redis_wait"), Pool: int(values.Int("redis_pool")),
		},
		Store: engine.Store{MaxMemory: values.Int("store_max_memory"), Eviction: values.String("store_eviction"),
			SaveInterval: values.Duration("store_save_interval"), Listen: values.String("store_listen")},
		Confine: engine.Confine{Landlock: values.String("landlock"), Read: c.below(root, values.Strings("may_read")),
			Write: c.below(root, values.Strings("may_write")), Connect: c.ports("may_connect", values.Strings("may_connect"))},
	}
	c.breaker = engine.BreakerMode(values.String("breaker"))
	cfg.DeadLetterSpool = values.Int("dead_letter_spool")
	c.spool("dead_letter_spool", cfg.DeadLetterSpool)
	c.uri("dead_letter", cfg.DeadLetter, outputSchemes(c.kinds.Outputs))
	for i, row := range c.dropRows("outputs", c.rows(set, "outputs", false)) {
		cfg.Outputs = append(cfg.Outputs, c.outputRow(fmt.Sprintf("outputs[%d]", i+1), row))
	}
	for i, row := range c.dropRows("analyzers", c.rows(set, "analyzers", false)) {
		cfg.Analyzers = append(cfg.Analyzers, c.stageRow(fmt.Sprintf("analyzers[%d]", i+1), row, cfg, StageOptions, analyzerDirs))
	}
	for i, row := range c.dropRows("inputs", c.rows(set, "inputs", len(c.dropped["inputs"]) == 0)) {
		cfg.Inputs = append(cfg.Inputs, c.inputRow(fmt.Sprintf("inputs[%d]", i+1), row, cfg))
	}
	for i, row := range c.rows(set, "modules", false) {
		path := fmt.Sprintf("modules[%d]", i+1)
		v := c.row(path, row, []engine.Option{{Key: "tag", Type: engine.String}, {Key: "module", Type: engine.String}}, nil)
		cfg.Modules = append(cfg.Modules, v.String("module"))
	}
	c.checkTags(cfg)
	cfg.Dropped = c.places
	return cfg
}

// redisAddress returns the address of the Redis that config.lua names, "" for the embedded store.
func redisAddress(values engine.Values, set map[string]lua.LValue) string {
	host, port := values.String("redis_host"), values.Int("redis_port")
	switch address := values.String("redis"); {
	case address == "embedded":
		return ""
	case address != "":
		return address
	case host == "" && (set["redis_port"] == nil || set["redis_port"] == lua.LNil):
		return ""
	case host == "":
		return fmt.Sprintf("127.0.0.1:%d", port)
	case port <= 0 || strings.HasPrefix(host, "/"):
		return host
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

// rows returns the tables of a list.
func (c *config) rows(set map[string]lua.LValue, name string, required bool) []*lua.LTable {
	v, ok := set[name]
	if !ok || v == lua.LNil {
		if required {
			c.fail(name, "is missing, want a list of rows: %s = { {tag = ..., ...} }", name)
		}
		return nil
	}
	t, ok := v.(*lua.LTable)
	if !ok {
		c.fail(name, "is a %s, want a list of rows", v.Type())
		return nil
	}
	var rows []*lua.LTable
	n := t.MaxN()
	for i := 1; i <= n; i++ {
		key := fmt.Sprintf("%s[%d]", name, i)
		row, ok := t.RawGetInt(i).(*lua.LTable)
		if !ok {
			c.fail(key, "is a %s, want a row {tag = ..., ...}", t.RawGetInt(i).Type())
			continue
		}
		rows = append(rows, row)
	}
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		if s, ok := k.(lua.LString); ok {
			c.fail(name+"."+string(s), "is not a row: %s is a list of rows, { {...}, {...} }", name)
		}
	}
	if required && len(rows) == 0 && n == 0 {
		c.fail(name, "has no rows, want at least one")
	}
	return rows
}

func (c *config) inputRow(path string, t *lua.LTable, cfg *engine.Config) engine.InputRow {
	uri := c.stringOf(path, t, "uri")
	scheme, address := c.uri(path+".uri", uri, inputSchemes(c.kinds.Inputs))
	kind := c.kinds.Inputs[scheme]
	common := slices.DeleteFunc(slices.Clone(StageOptions), func(o engine.Option) bool { return o.Key == "default_output" })
	row := engine.InputRow{URI: uri, Scheme: scheme, Address: address, Line: c.lines[path]}
	row.Filter = c.stageRow(path, t, cfg, append(common, uriOption), filterDirs, kind.Options...)
	row.Tag = row.Filter.Tag
	row.Options = c.row(path, t, kind.Options, nil, skipUnknown)
	return row
}

func (c *config) outputRow(path string, t *lua.LTable) engine.OutputRow {
	uri := c.stringOf(path, t, "uri")
	scheme, address := c.uri(path+".uri", uri, outputSchemes(c.kinds.Outputs))
	kind := c.kinds.Outputs[scheme]
	v := c.row(path, t, append(slices.Clone(OutputOptions), kind.Options...), nil)
	c.spool(path+".spool", v.Int("spool"))
	if v.String("tag") == "" {
		c.fail(path+".tag", "is missing, want a name")
	}
	options := engine.Values{}
	for _, o := range kind.Options {
		options[o.Key] = v[o.Key]
	}
	return engine.OutputRow{Tag: v.String("tag"), URI: uri, Scheme: scheme, Address: address, Options: options, Spool: v.Int("spool"), NoSync: !v.Bool("spool_sync"), Line: c.lines[path]}
}

// spool checks the size of a spool.
func (c *config) spool(key string, bytes int64) {
	if bytes > 0 && bytes < 1<<20 {
		c.fail(key, "is %d bytes, want at least 1MiB, or 0 for none", bytes)
	}
}

var (
	filterDirs   = []string{"scripts/", "filter/"}
	analyzerDirs = []string{"analyzers/", "analyzer/"}
)

func (c *config) stageRow(path string, t *lua.LTable, cfg *engine.Config, options []engine.Option, dirs []string, others ...engine.Option) engine.StageRow {
	v := c.row(path, t, options, others)
	row := engine.StageRow{Tag: v.String("tag"), DefaultAnalyzer: v.String("default_analyzer"), DefaultOutput: v.String("default_output"),
		ShardBy: v.Strings("shard_by"), Timeout: cfg.ScriptTimeout, Memory: cfg.ScriptMemory, Instructions: cfg.ScriptInstructions, Line: c.lines[path]}
	if row.Tag == "" {
		c.fail(path+".tag", "is missing, want a name")
	}
	if row.Breaker = engine.BreakerMode(v.String("breaker")); row.Breaker == "" {
		row.Breaker = c.breaker
	}
	if t.RawGetString("script_timeout") != lua.LNil {
		row.Timeout = v.Duration("script_timeout")
	}
	if t.RawGetString("script_memory") != lua.LNil {
		row.Memory = v.Int("script_memory")
	}
	if t.RawGetString("script_instructions") != lua.LNil {
		row.Instructions = uint64(v.Int("script_instructions"))
	}
	row.Workers = c.workers(path+".workers", v.String("workers"))
	row.Script = c.script(path+".script", v.String("script"), dirs)
	return row
}

func (c *config) workers(key, text string) int {
	if text == `"auto"` {
		return max(1, c.kinds.CPUs)
	}
	n := 0
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil || fmt.Sprint(n) != text || n < 1 || n > 1024 {
		c.fail(key, "is %s, want a number from 1 to 1024, or \"auto\"", text)
		return 1
	}
	return n
}

// script finds a script's file: in the directories for its kind, with or without ".lua".
func (c *config) script(key, name string, dirs []string) string {
	if name == "" {
		c.fail(key, "is missing, want the name of a Lua file in %s", strings.Join(dirs, " or "))
		return ""
	}
	var tried []string
	for _, dir := range dirs {
		for _, end := range []string{"", ".lua"} {
			path := filepath.Clean(dir + name + end)
			if filepath.IsAbs(name) {
				path = name + end
			}
			if c.kinds.Exists(path) {
				return path
			}
			if end != "" || strings.HasSuffix(name, ".lua") {
				tried = append(tried, path)
			}
			if strings.HasSuffix(name, ".lua") {
				break
			}
		}
	}
	c.fail(key, "script %q is missing (looked for %s)", name, strings.Join(slices.Compact(tried), ", "))
	return name
}

// uri splits a URI and checks its scheme.
func (c *config) uri(key, uri string, schemes []string) (scheme, address string) {
	if uri == "" {
		if key != "dead_letter" || c.lines[key] > 0 {
			c.fail(key, "is missing, want SCHEME://ADDRESS with a scheme of %s", strings.Join(schemes, ", "))
		}
		return "", ""
	}
	scheme, address, ok := engine.SplitURI(uri)
	if !ok {
		c.fail(key, "%q has no scheme, want SCHEME://ADDRESS with a scheme of %s", uri, strings.Join(schemes, ", "))
		return "", ""
	}
	if !slices.Contains(schemes, scheme) {
		c.fail(key, "unknown scheme %q, want one of %s%s", scheme, strings.Join(schemes, ", "), suggest(scheme, schemes))
		return "", address
	}
	return scheme, address
}

func inputSchemes(kinds map[string]engine.InputKind) []string   { return sortedKeys(kinds) }
func outputSchemes(kinds map[string]engine.OutputKind) []string { return sortedKeys(kinds) }

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// checkTags looks for tags that stand twice and for defaults that lead nowhere.
func (c *config) checkTags(cfg *engine.Config) {
	analyzers, outputs := map[string]int{}, map[string]int{}
	var analyzerTags, outputTags []string
	note := func(seen map[string]int, list *[]string, tag, key string, i int) {
		lower := strings.ToLower(tag)
		if first, ok := seen[lower]; ok && tag != "" {
			c.fail(key, "%q is the tag of row %d already", tag, first)
		}
		seen[lower] = i
		*list = append(*list, tag)
	}
	for i, r := range cfg.Analyzers {
		note(analyzers, &analyzerTags, r.Tag, fmt.Sprintf("analyzers[%d].tag", i+1), i+1)
	}
	for i, r := range cfg.Outputs {
		note(outputs, &outputTags, r.Tag, fmt.Sprintf("outputs[%d].tag", i+1), i+1)
	}
	check := func(key, tag, what string, seen map[string]int, all []string) {
		if _, ok := seen[strings.ToLower(tag)]; tag != "" && !ok {
			c.fail(key, "there is no %s with the tag %q%s", what, tag, suggest(tag, all))
		}
	}
	inputs := map[string]int{}
	var inputTags []string
	for i, r := range cfg.Inputs {
		note(inputs, &inputTags, r.Tag, fmt.Sprintf("inputs[%d].tag", i+1), i+1)
		check(fmt.Sprintf("inputs[%d].default_analyzer", i+1), r.Filter.DefaultAnalyzer, "analyzer", analyzers, analyzerTags)
	}
	for i, r := range cfg.Analyzers {
		check(fmt.Sprintf("analyzers[%d].default_analyzer", i+1), r.DefaultAnalyzer, "analyzer", analyzers, analyzerTags)
		check(fmt.Sprintf("analyzers[%d].default_output", i+1), r.DefaultOutput, "output", outputs, outputTags)
	}
}
