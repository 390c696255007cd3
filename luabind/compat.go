package luabind

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// dragonflyModule is the API of dragonfly-mle, under its names.
func (s *script) dragonflyModule() module {
	return module{
		Name: "dragonfly",
		Doc:  "Sends events on and asks the engine for things. Tags compare without case.",
		Funcs: []hostFunc{
			{"analyze_event", "analyze_event(tag, event)",
				"Sends event to the analyzer `tag` as it is now; later changes do not show there. An unknown tag is counted in /metrics and warned about once. Raises an error if event cannot be JSON (a function, NaN).",
				`dragonfly.analyze_event("scores", {score = 1})`, s.analyzeEvent},
			{"output_event", "output_event(tag, event)",
				"Writes event to the output `tag`, one JSON document per event. Otherwise like analyze_event.",
				`dragonfly.output_event("alerts", {severity = 1})`, s.outputEvent("output_event")},
			{"forward_event", "forward_event(tag, event)", "The same as output_event.",
				`dragonfly.forward_event("alerts", {severity = 1})`, s.outputEvent("forward_event")},
			{"log_event", "log_event(value)", "Writes any value as a JSON line to dragonfly-mle.log in the log directory.",
				`dragonfly.log_event("cache is warm")`, s.internalEvent("log_event", engine.RouteLog)},
			{"stats_event", "stats_event(value)", "Writes any value as a JSON line to dragonfly-mle-stats.log in the log directory.",
				`dragonfly.stats_event({cache = 12})`, s.internalEvent("stats_event", engine.RouteStats)},
			{"timer_event", "timer_event(tag, seconds, event)",
				"Delivers event to the analyzer `tag` once, after `seconds` (fractions allowed). Every call adds a timer. Timers still pending when the engine drains are delivered then, early; a kill loses them.",
				`dragonfly.timer_event("scores", 60, {flush = true})`, s.timerEvent("timer_event", false)},
			{"timer_every", "timer_every(tag, seconds, event)",
				"Delivers event to the analyzer `tag` every `seconds` (at least 0.001) until the engine stops. Best set in setup().",
				`dragonfly.timer_every("scores", 60, {flush = true})`, s.timerEvent("timer_every", true)},
			{"date2epoch", "date2epoch(text) -> seconds | nil, message",
				"Seconds since 1970 of a time such as `2026-11-20T18:31:59.886695+0000`. A zone suffix (Z, +0000, +00:00) and fractions count; without a zone the time is local.",
				`assert(dragonfly.date2epoch("1970-01-02T00:00:00Z") == 86400)`, dateToEpoch},
			{"dnslookup", "dnslookup(host) -> {address, ...}",
				"Addresses (IPv4 and IPv6) of a host, as strings. Waits up to 5 s; raises an error if there are none. It blocks the worker: cache what it returns.",
				`assert(#dragonfly.dnslookup("127.0.0.1") == 1)`, s.dnsLookup},
			{"http_get", "http_get(url, filename)",
				"Saves the body behind url in a file below ROOT, atomically: any but Lua files, hidden and executable files, and those in config, state, log and bin. Verifies TLS, follows at most 10 redirects, waits up to 30 s, takes at most 256 MiB; raises an error on failure or a status other than 2xx.",
				`assert(dragonfly.http_get)`, s.httpGetFile},
			{"echo", "echo(text)", "Writes text and a line end to stderr.", `dragonfly.echo("here")`, echo},
		},
	}
}

// arity raises the original's error unless the script passed exactly n arguments.
func arity(L *lua.LState, n int) {
	if L.GetTop() != n {
		L.RaiseError("expecting exactly %d arguments", n)
	}
}

// tag returns argument n as a tag; nil is "".
func tagArg(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	case *lua.LNilType:
		return ""
	}
	L.ArgError(n, "string expected, got "+L.Get(n).Type().String())
	return ""
}

func (s *script) analyzer(tag string) engine.Route {
	r, ok := s.routes.analyzers[tag]
	if !ok {
		r = s.env.Router.Analyzer(tag)
		s.routes.analyzers[tag] = r
	}
	return r
}

func (s *script) output(tag string) engine.Route {
	r, ok := s.routes.outputs[tag]
	if !ok {
		r = s.env.Router.Output(tag)
		s.routes.outputs[tag] = r
	}
	return r
}

// send encodes argument n and emits it to route. An analyzer is spared a second scan: it gets the index.
func (s *script) send(L *lua.LState, what string, n int, route engine.Route, toAnalyzer bool) {
	body, index, err := s.views.encode(L.Get(n), toAnalyzer)
	if err != nil {
		L.RaiseError("%s: %s", what, err.Error())
	}
	s.out.Emit(route, body, index)
}

func (s *script) analyzeEvent(L *lua.LState) int {
	arity(L, 2)
	tag := tagArg(L, 1)
	route := s.analyzer(tag)
	if route == engine.NoRoute {
		s.env.Router.Unknown(s.env.Stage, tag)
		return 0
	}
	s.send(L, "analyze_event", 2, route, true)
	return 0
}

func (s *script) outputEvent(name string) lua.LGFunction {
	return func(L *lua.LState) int {
		arity(L, 2)
		tag := tagArg(L, 1)
		route := s.output(tag)
		if route == engine.NoRoute {
			s.env.Router.Unknown(s.env.Stage, tag)
			return 0
		}
		s.send(L, name, 2, route, false)
		return 0
	}
}

func (s *script) internalEvent(name string, route engine.Route) lua.LGFunction {
	return func(L *lua.LState) int {
		arity(L, 1)
		s.send(L, name, 1, route, false)
		return 0
	}
}

func (s *script) timerEvent(name string, every bool) lua.LGFunction {
	return func(L *lua.LState) int {
		arity(L, 3)
		tag := tagArg(L, 1)
		seconds := float64(L.CheckNumber(2))
		if !(seconds >= 0) || seconds > 1e9 {
			L.ArgError(2, "seconds from 0 to 1e9 expected")
		}
		if every && seconds < 0.001 {
			L.ArgError(2, "at least 0.001 seconds expected")
		}
		route := s.analyzer(tag)
		if route == engine.NoRoute {
			s.env.Router.Unknown(s.env.Stage, tag)
			return 0
		}
		body, _, err := s.views.encode(L.Get(3), false)
		if err != nil {
			L.RaiseError("%s: %s", name, err.Error())
		}
		s.out.Timers = append(s.out.Timers, engine.Timer{Route: route, After: time.Duration(seconds * float64(time.Second)), Every: every, Body: body})
		return 0
	}
}

// layouts of date2epoch; Go accepts a fraction behind the seconds of each.
var layouts = []string{"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05"}

func dateToEpoch(L *lua.LState) int {
	arity(L, 1)
	text := strings.TrimSpace(L.CheckString(1))
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			L.Push(lua.LNumber(float64(t.Unix()) + float64(t.Nanosecond()/1000)/1e6))
			return 1
		}
	}
	L.Push(lua.LNil)
	L.Push(lua.LString(fmt.Sprintf("%q is not a time like 2026-11-20T18:31:59.886695+0000", text)))
	return 2
}

func (s *script) dnsLookup(L *lua.LState) int {
	arity(L, 1)
	host := L.CheckString(1)
	addrs, err := s.program.loader.hosts[strings.ToLower(host)], error(nil)
	s.lim.waiting(func() {
		if addrs != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		addrs, err = net.DefaultResolver.LookupHost(ctx, host)
	})
	if err != nil {
		L.RaiseError("getaddrinfo: %s - %s", host, err.Error())
	}
	t := L.CreateTable(len(addrs), 0)
	for _, a := range addrs {
		t.Append(lua.LString(a))
	}
	L.Push(t)
	return 1
}

func echo(L *lua.LState) int {
	arity(L, 1)
	fmt.Fprintln(os.Stderr, L.CheckString(1))
	return 0
}
