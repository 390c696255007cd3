package luabind

import (
	"iter"
	"runtime"
	"sync"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// maxCoroutines is the most coroutines of one interpreter that have begun and not ended. Each takes about 16 kB.
const maxCoroutines = 10_000

// coroutineCost is about what a coroutine takes that has begun, in bytes.
const coroutineCost = 26 << 10

// coroutines is the coroutine library of one interpreter. gopher-lua's own loses registers when a coroutine yields below
// a Go function (pcall, sort, gsub, a metamethod, an iterator) or a loop. Here each coroutine has a thread of its own that
// runs in a goroutine of its own, and yield is an ordinary call: it may stand anywhere. Only one of them runs at a time,
// as control is handed over with iter.Pull.
type coroutines struct {
	lim     *limits
	current *coroutine // nil is the main thread
	live    map[*routine]struct{}

	mu      sync.Mutex
	orphans []*routine // nobody can resume them any more; ended by the interpreter's worker
}

// coroutine is what scripts hold: a value of type thread that is never run. It is known by being its own Parent. The
// routine does not point to it, so that it can be collected while the routine waits.
type coroutine struct {
	lua.LState
	*routine
}

// routine is the running part of a coroutine.
type routine struct {
	fn     *lua.LFunction
	thread *lua.LState // nil before the first resume and after the end
	status string      // suspended, running, normal, dead
	values []lua.LValue
	failed bool // values is an error
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
}

func openCoroutine(L *lua.LState, lim *limits) *coroutines {
	cs := &coroutines{lim: lim, live: map[*routine]struct{}{}}
	setFuncs(L, libTable(L, "coroutine"), map[string]lua.LGFunction{
		"create": func(L *lua.LState) int { L.Push(&cs.create(L).LState); return 1 },
		"resume": cs.luaResume,
		"yield":  cs.luaYield,
		"wrap":   cs.wrap,
		"status": func(L *lua.LState) int { L.Push(lua.LString(checkCoroutine(L).status)); return 1 },
		"running": func(L *lua.LState) int {
			if cs.current == nil {
				L.Push(lua.LNil)
			} else {
				L.Push(&cs.current.LState)
			}
			return 1
		},
		"isyieldable": func(L *lua.LState) int { L.Push(lua.LBool(cs.current != nil)); return 1 },
	})
	return cs
}

// coroutineOf returns the coroutine that a script knows as v, or nil.
func coroutineOf(v lua.LValue) *coroutine {
	if th, ok := v.(*lua.LState); ok && th.Parent == th {
		return (*coroutine)(unsafe.Pointer(th))
	}
	return nil
}

func checkCoroutine(L *lua.LState) *coroutine {
	co := coroutineOf(L.Get(1))
	if co == nil {
		L.ArgError(1, "coroutine expected")
	}
	return co
}

func (cs *coroutines) create(L *lua.LState) *coroutine {
	fn := L.CheckFunction(1)
	co := &coroutine{routine: &routine{fn: fn, status: "suspended"}}
	co.Parent, co.Env, co.G = &co.LState, L.Env, L.G
	return co
}

// begin gives co a thread and a goroutine.
func (cs *coroutines) begin(L *lua.LState, co *coroutine) {
	cs.bury()
	if len(cs.live) >= maxCoroutines {
		runtime.GC() // perhaps many are only waiting for it
		runtime.Gosched()
		if cs.bury(); len(cs.live) >= maxCoroutines {
			L.RaiseError("too many coroutines that have not ended (%d): run them to their end, or drop all references to them", maxCoroutines)
		}
	}
	cs.lim.room(L, coroutineCost)
	options := L.Options
	L.Options.RegistrySize = 256
	th, _ := L.NewThread()
	L.Options = options
	th.SetContext(cs.lim)
	r := co.routine
	r.thread = th
	r.next, r.stop = iter.Pull(r.run)
	cs.live[r] = struct{}{}
	runtime.AddCleanup(co, cs.orphan, r)
}

// run is what a routine's goroutine does.
func (r *routine) run(yield func(struct{}) bool) {
	r.yield = yield
	th := r.thread
	th.Push(r.fn)
	for _, v := range r.values {
		th.Push(v)
	}
	r.fn = nil
	err := th.PCall(len(r.values), lua.MultRet, nil)
	r.values = r.values[:0]
	if err != nil {
		r.failed = true
		v := lua.LValue(lua.LString(friendlyError(err.Error())))
		if api, ok := err.(*lua.ApiError); ok && api.Object != nil {
			v = friendlyValue(api.Object)
		}
		r.values = append(r.values, v)
		return
	}
	r.take(th, 1)
}

// take hands over the values of L's stack from position first on.
func (r *routine) take(L *lua.LState, first int) {
	r.values = r.values[:0]
	for i := first; i <= L.GetTop(); i++ {
		r.values = append(r.values, L.Get(i))
	}
}

// resume runs co, which must be suspended, with the values of L's stack from position first on, until it yields, ends or fails. What it hands over
// is in co.values, valid until the next resume.
func (cs *coroutines) resume(L *lua.LState, co *coroutine, first int) (ok bool) {
	r := co.routine
	if r.next == nil {
		cs.begin(L, co)
	}
	r.take(L, first)
	before := cs.current
	if before != nil {
		before.status = "normal"
	}
	cs.current, r.status = co, "running"
	_, yielded := r.next()
	cs.current = before
	if before != nil {
		before.status = "running"
	}
	if r.status = "suspended"; !yielded {
		r.status, r.thread = "dead", nil
		delete(cs.live, r)
	}
	runtime.KeepAlive(co)
	cs.lim.check(L)
	return !r.failed
}

func (cs *coroutines) luaResume(L *lua.LState) int {
	co := checkCoroutine(L)
	if co.status != "suspended" {
		L.Push(lua.LFalse)
		L.Push(lua.LString(co.refusal()))
		return 2
	}
	L.Push(lua.LBool(cs.resume(L, co, 2)))
	return 1 + pushAll(L, co.values)
}

func pushAll(L *lua.LState, values []lua.LValue) int {
	for i, v := range values {
		L.Push(v)
		values[i] = nil
	}
	return len(values)
}

func (r *routine) refusal() string {
	if r.status == "dead" {
		return "cannot resume dead coroutine"
	}
	return "cannot resume running coroutine"
}

func (cs *coroutines) luaYield(L *lua.LState) int {
	co := cs.current
	if co == nil || co.thread != L { // the latter: a routine that is being ended, below another
		L.RaiseError("attempt to yield outside a coroutine")
	}
	r := co.routine
	co = nil // the goroutine must not keep it from being collected
	r.take(L, 1)
	if !r.yield(struct{}{}) {
		L.RaiseError("coroutine closed")
	}
	L.SetTop(0)
	return pushAll(L, r.values)
}

func (cs *coroutines) wrap(L *lua.LState) int {
	co := cs.create(L)
	L.Push(L.NewFunction(func(L *lua.LState) int {
		if co.status != "suspended" {
			raise(L, lua.LString(co.refusal()), 1)
		}
		if !cs.resume(L, co, 1) {
			raise(L, co.values[0], 1)
		}
		return pushAll(L, co.values)
	}))
	return 1
}

func (cs *coroutines) orphan(r *routine) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.orphans = append(cs.orphans, r)
}

// bury ends the routines that nobody can resume.
func (cs *coroutines) bury() {
	cs.mu.Lock()
	orphans := cs.orphans
	cs.orphans = nil
	cs.mu.Unlock()
	for _, r := range orphans {
		cs.end(r)
	}
}

// end ends a routine that waits: its yield raises an error, and so does every Lua instruction after that.
func (cs *coroutines) end(r *routine) {
	if _, ok := cs.live[r]; !ok {
		return
	}
	delete(cs.live, r)
	r.thread.SetContext(closed{})
	r.stop()
	r.status, r.thread = "dead", nil
}

// close ends all routines. It must be called by the interpreter's worker, outside a callback.
func (cs *coroutines) close() {
	for r := range cs.live {
		cs.end(r)
	}
}
