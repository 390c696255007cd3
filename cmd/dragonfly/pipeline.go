package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"

	"dragonfly/engine"
	"dragonfly/luabind"
)

// place is where the process reads and writes, absolute.
type place struct {
	root, logDir, stateDir, runDir string
}

// pipeline is a configuration with the components that were made for it.
type pipeline struct {
	cfg    *engine.Config
	parts  engine.Parts
	engine *engine.Engine
	keys   map[string]any      // component by what it was made from, for a reload
	files  map[string]rowFiles // of components, by the same
	renews bool                // a row is the same as before, and a file that it names is not
}

// builder makes pipelines: at the start, and again for a reload.
type builder struct {
	place
	log         *slog.Logger
	loader      *luabind.Loader
	checkpoints *engine.Checkpoints
	counters    *engine.Counters
	replay      *engine.Replay              // nil: none
	shared      atomic.Pointer[shared]      // nil before it is open
	confined    atomic.Pointer[confinement] // nil while the process may do all
	state       *os.Root                    // the state directory; nil for check
	drops       dropIns
}

func kinds(loader *luabind.Loader) luabind.Kinds {
	return luabind.Kinds{Inputs: inputs, Outputs: outputs, Exists: loader.Exists, Getenv: os.LookupEnv, Read: loader.Read, CPUs: runtime.GOMAXPROCS(0), DropIns: loader.DropIns}
}

// config loads config.lua of ROOT.
func loadConfig(loader *luabind.Loader, root string, k luabind.Kinds) (*engine.Config, error) {
	for _, path := range luabind.ConfigPaths {
		if loader.Exists(path) {
			source, err := loader.Read(path)
			if err != nil {
				return nil, err
			}
			return luabind.LoadConfig(path, source, root, k)
		}
	}
	return nil, &engine.ConfigError{Msg: fmt.Sprintf("there is no config.lua below %s (looked for %s, %s)", root, luabind.ConfigPaths[0], luabind.ConfigPaths[1])}
}

// build loads config.lua, compiles the scripts and makes the components. Those of old whose row has not changed are
// taken over. Every mistake is reported.
func (b *builder) build(old *pipeline) (*pipeline, error) {
	cfg, err := b.drops.config(b.loader, b.root)
	if err != nil {
		return nil, err
	}
	p := &pipeline{cfg: cfg, keys: map[string]any{}, files: map[string]rowFiles{}}
	p.parts = engine.Parts{Checkpoints: b.checkpoints, Counters: b.counters, Replay: b.replay, State: b.state, WWW: b.root + "/www", Log: b.log, Opened: map[any]bool{},
		Metrics: func(add func(name, kind, help string, value int64)) {
			if sh := b.shared.Load(); sh != nil {
				sh.metrics(add)
			}
		},
		Interrupt: func(on bool) {
			if sh := b.shared.Load(); sh != nil {
				sh.interrupt.Store(on)
			}
		}}
	var errs []error
	if _, err := redisOptions(cfg, b.loader.Read); err != nil {
		errs = append(errs, err)
	}
	fail := func(err error, path string, line int) {
		for _, ce := range engine.ConfigErrors(err) {
			e := *ce
			file, row := cfg.Place(path)
			e.File, e.Line, e.Key = file, line, row+"."+ce.Key
			errs = append(errs, &e)
		}
		if len(engine.ConfigErrors(err)) == 0 && err != nil {
			errs = append(errs, err)
		}
	}
	program := func(row *engine.StageRow, path string) engine.Program {
		prog, err := b.loader.Program(row.Script)
		if err != nil {
			errs = append(errs, err)
		}
		return prog
	}
	for i := range cfg.Inputs {
		row := &cfg.Inputs[i]
		path := fmt.Sprintf("inputs[%d]", i+1)
		in, err := b.input(row, p, old)
		fail(err, path, row.Line)
		finite := inputs[row.Scheme].Finite
		if f, ok := in.(engine.Finite); ok {
			finite = f.Finite()
		}
		p.parts.Inputs, p.parts.Finite = append(p.parts.Inputs, in), append(p.parts.Finite, finite)
		p.parts.Filters = append(p.parts.Filters, program(&row.Filter, path))
	}
	for i := range cfg.Analyzers {
		p.parts.Analyzers = append(p.parts.Analyzers, program(&cfg.Analyzers[i], fmt.Sprintf("analyzers[%d]", i+1)))
	}
	for i := range cfg.Outputs {
		out, err := b.output(&cfg.Outputs[i], p, old)
		fail(err, fmt.Sprintf("outputs[%d]", i+1), cfg.Outputs[i].Line)
		p.parts.Outputs = append(p.parts.Outputs, out)
	}
	for _, own := range []struct {
		tag, uri string
		out      *engine.Output
	}{
		{"log", "file://dragonfly-mle.log", &p.parts.LogOutput}, {"stats", "file://dragonfly-mle-stats.log", &p.parts.StatsOutput},
		{"dead-letter", cfg.DeadLetter, &p.parts.DeadLetterOutput},
	} {
		scheme, address, _ := engine.SplitURI(own.uri)
		out, err := b.output(&engine.OutputRow{Tag: own.tag, URI: own.uri, Scheme: scheme, Address: address, Options: defaults(outputs[scheme].Options)}, p, old)
		fail(err, "dead_letter", 0)
		*own.out = out
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p.engine, err = engine.New(cfg, p.parts)
	return p, err
}

func defaults(options []engine.Option) engine.Values {
	v := engine.Values{}
	for _, o := range options {
		v[o.Key] = o.Default
	}
	return v
}

func (b *builder) params(cfg *engine.Config, kind, tag, uri, scheme, address string, o engine.Values) engine.Params {
	return engine.Params{Tag: tag, Version: version, URI: uri, Scheme: scheme, Address: address, Options: o, Root: b.root, LogDir: b.logDir, RunDir: b.runDir,
		Log: b.log.With(kind, tag), Checkpoints: b.checkpoints, Counter: b.counters.Of(kind, tag),
		Dial: b.loader.Dial, Roots: b.loader.Roots(), Read: b.loader.Read, Redis: b.redisOf(cfg)}
}

func (b *builder) input(row *engine.InputRow, p, old *pipeline) (engine.Input, error) {
	key := componentKey("input", row.Tag, row.URI, row.Options)
	if in, ok := b.takeOver(p, key, row.Tag, old).(engine.Input); ok {
		return in, nil
	}
	params := b.params(p.cfg, "input", row.Tag, row.URI, row.Scheme, row.Address, row.Options)
	p.files[key] = rowFiles{}
	params.Read = p.files[key].read(params.Read)
	in, err := inputs[row.Scheme].New(params)
	p.keys[key] = in
	return in, err
}

func (b *builder) output(row *engine.OutputRow, p, old *pipeline) (engine.Output, error) {
	key := componentKey("output", row.Tag, row.URI, row.Options)
	if out, ok := b.takeOver(p, key, row.Tag, old).(engine.Output); ok {
		return out, nil
	}
	params := b.params(p.cfg, "output", row.Tag, row.URI, row.Scheme, row.Address, row.Options)
	p.files[key] = rowFiles{}
	params.Read = p.files[key].read(params.Read)
	out, err := outputs[row.Scheme].New(params)
	p.keys[key] = out
	return out, err
}

// takeOver returns the component of old that was made from the same row and files, or nil.
func (b *builder) takeOver(p *pipeline, key, row string, old *pipeline) any {
	if old == nil || old.keys[key] == nil {
		return nil
	}
	if b.renewed(old.files[key], row) {
		p.renews = true
		return nil
	}
	p.files[key] = old.files[key]
	c := old.keys[key]
	p.keys[key] = c
	p.parts.Opened[c] = old.engine.IsOpen(c)
	return c
}

// kept returns the components of p, those that it took over among them.
func (p *pipeline) kept() map[any]bool {
	kept := map[any]bool{}
	for _, c := range p.keys {
		kept[c] = true
	}
	return kept
}

func componentKey(kind, tag, uri string, o engine.Values) string {
	text, err := json.Marshal(o)
	if err != nil {
		panic("BUG: options: " + err.Error())
	}
	return fmt.Sprintf("%s %q %q %s", kind, tag, uri, text)
}

// sameRows reports whether two configurations differ in nothing but the content of scripts.
func sameRows(a, b *engine.Config) bool {
	x, y := *a, *b
	x.File, y.File = "", ""
	x.Dropped, y.Dropped = nil, nil
	for _, c := range []*engine.Config{&x, &y} {
		c.Inputs, c.Analyzers, c.Outputs = append([]engine.InputRow{}, c.Inputs...), append([]engine.StageRow{}, c.Analyzers...), append([]engine.OutputRow{}, c.Outputs...)
		for i := range c.Inputs {
			c.Inputs[i].Line, c.Inputs[i].Filter.Line, c.Inputs[i].Filter.Script = 0, 0, ""
		}
		for i := range c.Analyzers {
			c.Analyzers[i].Line, c.Analyzers[i].Script = 0, ""
		}
		for i := range c.Outputs {
			c.Outputs[i].Line = 0
		}
	}
	s, err1 := json.Marshal(x)
	t, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && string(s) == string(t)
}

// components returns the inputs and outputs, also the engine's own.
func (p *pipeline) components() []any {
	list := []any{p.parts.LogOutput, p.parts.StatsOutput, p.parts.DeadLetterOutput}
	for _, in := range p.parts.Inputs {
		list = append(list, in)
	}
	for _, out := range p.parts.Outputs {
		list = append(list, out)
	}
	return list
}
