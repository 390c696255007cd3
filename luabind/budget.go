package luabind

import (
	"fmt"
	"math"
	"runtime/metrics"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua keeps integer keys below MaxArrayIndex in a slice without holes, so that one assignment to t[2^26-1] takes
// 1 GB, beyond anybody's control. Up to this key it takes 128 MB; a list of more elements is hardly within script_memory's
// default. Keys above it are kept as any other key, and # does not see them.
var _ = func() int { lua.MaxArrayIndex = 1 << 23; return 0 }()

// budget is the memory and the instructions that one interpreter may use. Only its worker touches it.
//
// Nothing counts what an interpreter allocates, so it is measured (meter.go) when there is reason to: when the heap of the
// process has grown since the last time by a good part of the budget, or host functions have made so much, and now and
// then. One measurement costs time in proportion to what the script holds (BenchmarkMeter: 40 us for an empty interpreter, 0.5 us per small table); it is repeated after thirty
// times its own cost at the earliest, unless the whole budget was allocated meanwhile.
type budget struct {
	memory       int64  // bytes; 0 is none
	instructions uint64 // of one call; 0 is none

	measure func(most int64) int64 // bytes that the interpreter holds; may end when it has found more than most
	warn    func(held int64)       // called once, when it holds more than 80 %
	cause   cause                  // why the current call was stopped, if not for its time
	held    int64                  // as measured last

	steps uint64 // instructions of the interpreter, where gopher-lua asks Done
	look  uint64 // count of steps at which atStep is called
	later uint64 // count of steps at which that looks at the heap though the watchdog does not ask for it
	first uint64 // steps at the beginning of the call

	heap     int64 // least heap of the process since the last measurement; 0: none yet
	made     int64 // bytes made by host functions since then
	step     int64 // growth that is reason to measure
	earliest int64 // time of the next measurement unless there is much growth, ns
	next     int64 // time of the next measurement without growth, ns
	warned   bool

	sample []metrics.Sample
}

// cause is why a call was stopped.
type cause uint8

const (
	causeTime cause = iota
	causeMemory
	causeInstructions
)

const (
	stepEvery   = 64                 // instructions between two calls of atStep: some host functions make megabytes
	lookEvery   = 4096               // instructions between two looks at the heap (240 ns, 0.3 % of the time)
	measureCost = 30                 // pause behind a measurement, as a multiple of its duration
	idleCost    = 200                // the same where nothing has grown
	idlePause   = int64(time.Second) // at least
)

// newBudget returns the budget of a script; measure is called by its worker.
func newBudget(memory int64, instructions uint64, measure func(most int64) int64, warn func(held int64)) budget {
	b := budget{memory: memory, instructions: instructions, measure: measure, warn: warn, look: math.MaxUint64}
	if memory > 0 {
		b.step = memory / 4
		b.look = stepEvery
		b.sample = heapSample()
	}
	return b
}

// begin starts a call.
func (b *budget) begin() {
	b.cause = causeTime
	b.first = b.steps
	b.schedule()
}

// schedule sets when atStep is called next.
func (b *budget) schedule() {
	b.look = math.MaxUint64
	if b.memory > 0 {
		b.look = b.steps + stepEvery
	}
	if b.instructions > 0 {
		b.look = min(b.look, b.first+b.instructions+1)
	}
}

// now is the time for pauses between measurements, ns.
func (b *budget) now() int64 { return int64(time.Since(processStart)) }

var processStart = time.Now()

// grown returns by how much the heap has grown since the last measurement. A collection lowers what it starts from.
func (b *budget) grown() int64 {
	heap := readHeap(b.sample)
	if b.heap == 0 || heap < b.heap {
		b.heap = heap
	}
	return heap - b.heap
}

func heapSample() []metrics.Sample {
	return []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
}

// readHeap returns the bytes of the process's objects, those that are garbage included, and of its stacks.
func readHeap(sample []metrics.Sample) int64 {
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() + sample[1].Value.Uint64())
}

// due reports whether the interpreter must be measured now that so many bytes may have come.
func (b *budget) due(growth int64) bool {
	return growth >= b.step && (growth >= b.memory || b.now() >= b.earliest)
}

// over measures and reports whether the interpreter, with more bytes that are about to be made, is above its budget.
func (b *budget) over(more int64) bool {
	start := b.now()
	b.held = b.measure(b.memory - more)
	end := b.now()
	b.earliest, b.next = end+measureCost*(end-start), end+max(idlePause, idleCost*(end-start))
	b.made, b.heap = more, 0
	b.grown()
	b.step = max((b.memory-b.held)/4, b.memory/16)
	if b.held+more > b.memory {
		return true
	}
	if b.held > b.memory/5*4 && !b.warned {
		b.warned = true
		b.warn(b.held)
	}
	return false
}

// atStep looks at the budgets while a script runs.
func (l *limits) atStep() {
	b := &l.budget
	if b.instructions > 0 && b.steps-b.first > b.instructions {
		l.exceed(causeInstructions)
	} else if b.memory > 0 && (b.steps >= b.later || l.peek.Load()) && !l.stopped() {
		l.peek.Store(false)
		b.later = b.steps + lookEvery
		if b.due(b.grown()) && b.over(0) {
			l.exceed(causeMemory)
		}
	}
	b.schedule()
}

// between measures between two calls if there is reason to, and reports whether the interpreter is above its budget. now
// is the time and heap the heap of the process, as the watchdog last saw them.
func (l *limits) between(now, heap int64) bool {
	b := &l.budget
	if b.memory <= 0 {
		return false
	}
	if heap < b.heap {
		b.heap = heap
	}
	if now < b.next && (now < b.earliest || b.made < b.step && heap-b.heap < b.step) {
		return false
	}
	return b.over(0)
}

// exceed stops the current call.
func (l *limits) exceed(why cause) {
	if !l.stopped() {
		l.budget.cause = why
		l.stop.Store(l.now)
	}
}

// stopText is what a stopped call fails with.
func (l *limits) stopText() string {
	switch l.budget.cause {
	case causeMemory:
		return errMemory
	case causeInstructions:
		return errInstructions
	}
	return errStopped
}

// Messages of stopped calls; script.fault words them for the operator.
const (
	errMemory       = "script_memory reached"
	errInstructions = "script_instructions reached"
)

// bigString is the length in bytes from which on functions that are called often look at the budget.
const bigString = 4 << 10

// longString is the length in bytes of arguments that are worth a look at the time: host functions go through them.
const longString = 16 << 10

// room says that a host function is about to make n bytes. It raises if they are more than script_memory leaves, or than
// a string may have. A nil limits has no budget.
func (l *limits) room(L *lua.LState, n int) { l.grow(L, n, n) }

// grow is room for a result that is made part by part: n bytes more, total together. Nobody else sees it before it is
// ready.
func (l *limits) grow(L *lua.LState, n, total int) {
	if err := l.take(n, total); err != nil {
		L.RaiseError("%s", err.Error())
	}
}

// take is grow for those who pass errors on. It also fails when the call has been stopped.
func (l *limits) take(n, total int) error {
	if l != nil && l.stopped() {
		return stopError{l.stopText()}
	}
	if total > maxString && (l == nil || l.budget.memory <= 0 || int64(total) <= l.budget.memory) {
		return fmt.Errorf("resulting string too large (limit %d bytes)", maxString)
	}
	if l == nil || l.budget.memory <= 0 {
		return nil
	}
	b := &l.budget
	b.made += int64(n)
	if int64(total) <= b.memory && (b.made < b.step || !b.due(b.made)) {
		return nil
	}
	if int64(total) > b.memory || b.over(int64(total)) {
		l.exceed(causeMemory)
		return stopError{errMemory}
	}
	return nil
}

// slots says that a host function is about to set t[index], which may fill the array below it.
func (l *limits) slots(L *lua.LState, t *lua.LTable, index float64) {
	const worth = 1 << 12
	if index < worth || index >= float64(lua.MaxArrayIndex) {
		return
	}
	if gap := int(index) - t.MaxN(); gap > worth {
		l.room(L, 16*gap)
	}
}

// limitsOf returns the limits of a host function that was not made for one interpreter; nil if there are none.
func limitsOf(L *lua.LState) *limits {
	if l, ok := L.Context().(*limits); ok {
		return l
	}
	if u, ok := L.G.Registry.RawGetString(limitsKey).(*lua.LUserData); ok {
		l, _ := u.Value.(*limits)
		return l
	}
	return nil
}

const limitsKey = "dragonfly.limits"

// bytesText shows a size to people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
