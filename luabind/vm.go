package luabind

import (
	"errors"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// setupTimeout is the limit of a script's top level together with its setup().
const setupTimeout = 5 * time.Minute

// script is a script loaded by one worker into an interpreter of its own.
type script struct {
	program    *program
	env        engine.ScriptEnv
	L          *lua.LState
	globals    *lua.LTable
	views      *views
	lim        *limits
	coroutines *coroutines
	meter      meter
	out        *engine.Results // of the current callback
	routes     struct{ analyzers, outputs map[string]engine.Route }
	loading    map[string]bool // require in progress
	closers    []func()        // connections that the script opened
	sealed     bool            // setup() has run
	spent      spent           // whether the interpreter must be replaced: see replace.go
}

var _ engine.Script = (*script)(nil)

func newScript(p *program, env engine.ScriptEnv) *script {
	s := &script{program: p, env: env}
	s.routes.analyzers, s.routes.outputs = map[string]engine.Route{}, map[string]engine.Route{}
	s.open()
	return s
}

// open makes the interpreter.
func (s *script) open() {
	p, env := s.program, s.env
	s.lim = &limits{budget: newBudget(env.Memory, env.Instructions, s.measure, s.warnMemory)}
	s.loading, s.sealed = map[string]bool{}, false
	s.lim.timeout.Store(int64(p.loader.setupTimeout))
	s.L = lua.NewState(lua.Options{
		SkipOpenLibs: true, RegistrySize: 4 << 10, RegistryMaxSize: 1 << 20, RegistryGrowStep: 4 << 10,
		CallStackSize: 16 << 10, MinimizeStackMemory: true,
	})
	s.globals = s.L.G.Global
	p.loader.dog.add(s.lim)
	s.lim.opened = p.loader.usage.path
	s.coroutines = openLibs(s.L, s.lim, p.loader.stdout)
	s.openRequire()
	s.views = newViews(s.L)
	s.views.lim = s.lim
	s.views.open()
	for _, m := range s.modules() {
		m.install(s.L)
	}
	setGlobal := func(name, value string) {
		if value != "" {
			s.globals.RawSetString(name, lua.LString(value))
		}
	}
	setGlobal("default_analyzer", env.DefaultAnalyzer)
	if !env.IsFilter {
		setGlobal("default_output", env.DefaultOutput)
	}
}

// modules returns every module that scripts see.
func (s *script) modules() []module {
	list := []module{
		s.dragonflyModule(), s.captureModule(),
		s.hiredisModule(), s.redisModule(),
		s.httpModule(),
		s.netModule(), hashModule(), s.sketchModule(),
		domainModule(), textModule(), s.modelModule(),
	}
	list = append(list, cjsonModules(s.views)...)
	list = append(list, bufferModule(s.views))
	return append(list, libModules()...)
}

// start runs the top level and setup(), then closes the sandbox.
func (s *script) start(out *engine.Results) error {
	s.L.SetContext(s.lim)
	if err := s.restoreState(); err != nil {
		return err
	}
	if err := s.call(out, s.program.code.function(s.L)); err != nil {
		return err
	}
	if err := s.migrateState(out); err != nil {
		return err
	}
	if s.globals.RawGetString("loop").Type() != lua.LTFunction {
		return &engine.ScriptError{Script: s.program.code.name, Msg: "there is no function loop(event)"}
	}
	if setup, ok := s.globals.RawGetString("setup").(*lua.LFunction); ok {
		if err := s.call(out, setup); err != nil {
			return err
		}
	}
	sealSandbox(s.L)
	s.sealed = true
	if s.lim.budget.memory > 0 && s.lim.budget.over(0) {
		s.spent.now = true
		se := &engine.ScriptError{Script: s.program.code.name}
		s.lim.budget.cause = causeMemory
		s.stopped(se)
		return se
	}
	s.lim.timeout.Store(int64(s.env.Timeout))
	if !s.program.mayLoop {
		s.L.RemoveContext() // gopher-lua asks a context before every instruction
	}
	return nil
}

// Handle implements engine.Script.
func (s *script) Handle(ev *engine.Event, out *engine.Results) error {
	if err := s.ready(); err != nil {
		return err
	}
	loop, ok := s.globals.RawGetString("loop").(*lua.LFunction)
	if !ok {
		return &engine.ScriptError{Script: s.program.code.name, Msg: "the script has overwritten its function loop"}
	}
	err := s.call(out, loop, s.views.value(ev.Body, ev.Index))
	s.between()
	return err
}

// Finish implements engine.Script.
func (s *script) Finish(out *engine.Results) error {
	if err := s.ready(); err != nil {
		return err
	}
	if finish, ok := s.globals.RawGetString("finish").(*lua.LFunction); ok {
		return s.call(out, finish)
	}
	return nil
}

// Close implements engine.Script.
func (s *script) Close() {
	s.close()
}

// close ends the interpreter.
func (s *script) close() {
	s.program.loader.dog.remove(s.lim)
	for _, f := range s.closers {
		f()
	}
	s.closers = nil
	s.coroutines.close()
	s.L.Close()
}

// call runs one callback.
func (s *script) call(out *engine.Results, fn *lua.LFunction, args ...lua.LValue) error {
	s.out = out
	s.lim.begin()
	s.L.Push(fn)
	for _, a := range args {
		s.L.Push(a)
	}
	err := s.L.PCall(len(args), 0, nil)
	s.lim.end()
	if err != nil {
		err = s.fault(err)
		s.L.SetTop(0)
		if s.lim.budget.cause == causeMemory {
			s.spent.now = true
		}
		return err
	}
	s.out = nil
	return nil
}

// fault turns gopher-lua's error into ours.
func (s *script) fault(err error) error {
	se := &engine.ScriptError{Script: s.program.code.name, Msg: err.Error()}
	var api *lua.ApiError
	if errors.As(err, &api) {
		se.Trace = strings.TrimSpace(api.StackTrace)
		se.Msg = s.message(api.Object)
		if api.Object == nil || api.Object == lua.LNil {
			se.Msg = api.Error()
		}
	}
	if name, line, msg, ok := splitPosition(se.Msg); ok {
		se.Script, se.Line, se.Msg = name, line, msg
	} else if name, line, ok := tracePosition(se.Trace); ok {
		se.Script, se.Line = name, line
	}
	if s.lim.stopped() {
		s.stopped(se)
	} else {
		se.Msg = friendlyError(se.Msg)
	}
	return se
}

// message shows an error value as Lua's tostring would.
func (s *script) message(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case *lua.LTable:
		if body, _, err := s.views.encode(v, false); err == nil {
			return "error value " + body
		}
	case *lua.LUserData:
		if exit, ok := v.Value.(error); ok {
			return exit.Error()
		}
	case nil:
		return "error without a value"
	}
	return v.String()
}

// splitPosition splits "analyzers/dns.lua:12: message".
func splitPosition(msg string) (file string, line int, rest string, ok bool) {
	head, rest, ok := strings.Cut(msg, ": ")
	if !ok {
		return "", 0, "", false
	}
	i := strings.LastIndexByte(head, ':')
	if i < 0 {
		return "", 0, "", false
	}
	line, err := strconv.Atoi(head[i+1:])
	return head[:i], line, rest, err == nil
}

// tracePosition finds the innermost line of a script in gopher-lua's stack trace.
func tracePosition(trace string) (file string, line int, ok bool) {
	for l := range strings.Lines(trace) {
		if file, line, _, ok = splitPosition(strings.TrimSpace(l)); ok && line > 0 {
			return file, line, true
		}
	}
	return "", 0, false
}
