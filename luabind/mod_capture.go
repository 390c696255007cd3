package luabind

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// captureModule tells scripts what the inputs of the process have counted.
func (s *script) captureModule() module {
	return module{
		Name: "dragonfly.capture",
		Doc: "What the inputs of this process have counted since it began: to report a capture that loses packets. Every input is there, not only those that capture. " +
			"A table `stats` of one input has its counters of /metrics, without _total: frames, packets, kernel_dropped ...; those called flows_x are in `stats.flows.x`, flows itself in `stats.flows.total`, and what the packet decoder counts is in `stats.decoder.x`: malformed, ipv4_trunc_pkt ... " +
			"`stats.events` is its ledger: {read, delivered, dropped, in_flight, dead_lettered = {reason = n}}, since config.lua was last changed. What an input does not count is nil.",
		Funcs: []hostFunc{
			{"stats", "stats([tag]) -> stats | nil", "The statistics of the input `tag`, nil if there is none; without tag the sums over all inputs. Tags compare without case.",
				`assert(dragonfly.capture.stats("no such input") == nil and dragonfly.capture.stats())`, s.captureStats},
			{"inputs", "inputs() -> {tag = stats, ...}", "The statistics of all inputs, by tag. It reads every counter: call it from a timer, not for each event.",
				`for tag, stats in pairs(dragonfly.capture.inputs()) do assert(stats.events.read >= 0) end`, s.captureInputs},
		},
	}
}

func (s *script) statistics() []engine.InputStatistics {
	if s.env.Statistics == nil {
		return nil
	}
	return s.env.Statistics()
}

func (s *script) captureStats(L *lua.LState) int {
	list := s.statistics()
	if L.Get(1) == lua.LNil {
		t := L.CreateTable(0, 16)
		for i := range list {
			addStats(L, t, &list[i])
		}
		L.Push(t)
		return 1
	}
	tag := str(L, 1)
	for i := range list {
		if strings.EqualFold(list[i].Tag, tag) {
			L.Push(statsTable(L, &list[i]))
			return 1
		}
	}
	L.Push(lua.LNil)
	return 1
}

func (s *script) captureInputs(L *lua.LState) int {
	list := s.statistics()
	t := L.CreateTable(0, len(list))
	for i := range list {
		if tag := list[i].Tag; t.RawGetString(tag) == lua.LNil {
			t.RawSetString(tag, statsTable(L, &list[i]))
		}
	}
	L.Push(t)
	return 1
}

// statsGroups are the counters that have a table of their own, by the beginning of their names.
var statsGroups = [...]string{"decoder", "flows"}

func statsTable(L *lua.LState, in *engine.InputStatistics) *lua.LTable {
	t := L.CreateTable(0, len(in.Counters)+1)
	addStats(L, t, in)
	return t
}

// addStats adds the numbers of an input to those in t.
func addStats(L *lua.LState, t *lua.LTable, in *engine.InputStatistics) {
	for _, c := range in.Counters {
		place, name := t, strings.TrimSuffix(c.Name, "_total")
		for _, group := range statsGroups {
			if name == group {
				place, name = tableAt(L, t, group), "total"
			} else if rest, ok := strings.CutPrefix(name, group+"_"); ok {
				place, name = tableAt(L, t, group), rest
			}
		}
		addNumber(place, name, c.N)
	}
	events, a := tableAt(L, t, "events"), &in.Account
	addNumber(events, "read", a.Read)
	addNumber(events, "delivered", a.Delivered)
	addNumber(events, "dropped", a.Dropped)
	addNumber(events, "in_flight", a.InFlight)
	dead := tableAt(L, events, "dead_lettered")
	for reason, n := range a.DeadLettered {
		addNumber(dead, reason, n)
	}
}

func addNumber(t *lua.LTable, key string, n int64) {
	before, _ := t.RawGetString(key).(lua.LNumber)
	t.RawSetString(key, before+lua.LNumber(n))
}

// tableAt returns the table at t[key], which is made if missing.
func tableAt(L *lua.LState, t *lua.LTable, key string) *lua.LTable {
	if sub, ok := t.RawGetString(key).(*lua.LTable); ok {
		return sub
	}
	sub := L.CreateTable(0, 8)
	t.RawSetString(key, sub)
	return sub
}
