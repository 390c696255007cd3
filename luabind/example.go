package luabind

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"dragonfly/engine"
)

// Example is the example in a script's header: what goes in, and what the script must make of it.
type Example struct {
	Doc    string            // first sentence of the header
	Takes  string            // what stands behind "Takes:"
	Emits  string            // what stands behind "Emits:"
	Config map[string]string // default_analyzer and default_output; both "out" if the header names none
	Input  []string          // events
	Output []Expected
	Line   int // of "Example input:"
}

// Expected is one event that the script must emit.
type Expected struct {
	Tag  string // of the output or analyzer; "" is any
	JSON string // "*" as a value matches any value
	Line int
}

// ParseExample reads the header of a script: the comment lines at its beginning.
//
//	-- One sentence.
//	-- Takes: ...
//	-- Emits: ...
//	-- Example config:
//	-- default_output = "alerts"
//	-- Example input:
//	-- {"event_type":"alert"}
//	-- Example output:
//	-- alerts {"event_type":"alert","seen":1}
//
// A long line may go on in the next after a "\". ok is false if there is no example.
func ParseExample(source string) (ex Example, ok bool, err error) {
	ex.Config = map[string]string{}
	section, carried := "", ""
	n := 0
	for line := range strings.Lines(source) {
		n++
		text, comment := strings.CutPrefix(strings.TrimSpace(line), "--")
		if !comment {
			break
		}
		text = strings.TrimSpace(text)
		if rest, more := strings.CutSuffix(text, `\`); more {
			carried += rest
			continue
		}
		text, carried = carried+text, ""
		switch lower := strings.ToLower(text); {
		case strings.HasPrefix(lower, "example config:"), strings.HasPrefix(lower, "example input:"), strings.HasPrefix(lower, "example output:"):
			section = strings.TrimSuffix(strings.Fields(lower)[1], ":")
			if section == "input" {
				ex.Line = n
			}
			continue
		case strings.HasPrefix(lower, "takes:"):
			ex.Takes = strings.TrimSpace(text[len("takes:"):])
			continue
		case strings.HasPrefix(lower, "emits:"):
			ex.Emits = strings.TrimSpace(text[len("emits:"):])
			continue
		}
		switch {
		case text == "":
		case section == "config":
			key, value, found := strings.Cut(text, "=")
			if !found {
				return ex, true, fmt.Errorf("line %d: want name = \"value\"", n)
			}
			ex.Config[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
		case section == "input":
			if !json.Valid([]byte(text)) {
				return ex, true, fmt.Errorf("line %d: the example input is not JSON: %.60s", n, text)
			}
			ex.Input = append(ex.Input, text)
		case section == "output":
			tag, body, found := strings.Cut(text, " ")
			if !found || strings.ContainsAny(tag, `{["`) {
				tag, body = "", text
			}
			if !json.Valid([]byte(body)) {
				return ex, true, fmt.Errorf("line %d: the example output is not JSON: %.60s", n, body)
			}
			ex.Output = append(ex.Output, Expected{tag, body, n})
		case ex.Doc == "":
			ex.Doc = text
		}
	}
	return ex, ex.Line > 0, nil
}

// emitted is an event with the tag that it was sent to.
type emitted struct{ tag, body string }

// tags is a Router that knows every tag: for examples.
type tags struct {
	byRoute map[engine.Route]string
	routes  map[string]engine.Route
}

func (t *tags) route(tag string) engine.Route {
	if tag == "" {
		return engine.NoRoute
	}
	if r, ok := t.routes[tag]; ok {
		return r
	}
	r := engine.Route(len(t.routes) + 10)
	t.routes[tag], t.byRoute[r] = r, tag
	return r
}

func (t *tags) Analyzer(tag string) engine.Route { return t.route(tag) }
func (t *tags) Output(tag string) engine.Route   { return t.route(tag) }
func (t *tags) Unknown(string, string)           {}

// RunExample runs the example in the header of the script at path and returns what is wrong, one line a finding.
func (l *Loader) RunExample(path string) (findings []string, err error) {
	source, err := l.Read(path)
	if err != nil {
		return nil, err
	}
	ex, ok, err := ParseExample(string(source))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !ok {
		return []string{"there is no `Example input:` in its header"}, nil
	}
	prog, err := l.Program(path)
	if err != nil {
		return nil, err
	}
	t := &tags{byRoute: map[engine.Route]string{engine.RouteLog: "log", engine.RouteStats: "stats"}, routes: map[string]engine.Route{}}
	env := engine.ScriptEnv{Stage: "example", DefaultAnalyzer: "out", DefaultOutput: "out", Timeout: 10 * time.Second, Router: t}
	if len(ex.Config) > 0 {
		env.DefaultAnalyzer, env.DefaultOutput = ex.Config["default_analyzer"], ex.Config["default_output"]
	}
	var out engine.Results
	var got []emitted
	collect := func() {
		for _, em := range out.Emitted {
			got = append(got, emitted{t.byRoute[em.Route], em.Body})
		}
		out.Reset()
	}
	sc, err := prog.Load(env, &out)
	if err != nil {
		return nil, err
	}
	defer sc.Close()
	collect()
	for i, in := range ex.Input {
		ev, err := engine.NewEvent(in)
		if err != nil {
			return nil, err
		}
		if err := sc.Handle(&ev, &out); err != nil {
			out.Reset()
			findings = append(findings, fmt.Sprintf("input %d: %v", i+1, err))
		}
		collect()
	}
	if err := sc.Finish(&out); err != nil {
		findings = append(findings, fmt.Sprintf("finish(): %v", err))
	}
	collect()
	return append(findings, compare(got, ex.Output)...), nil
}

func compare(got []emitted, want []Expected) (findings []string) {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			findings = append(findings, fmt.Sprintf("line %d: missing: %s %s", want[i].Line, want[i].Tag, want[i].JSON))
		case i >= len(want):
			findings = append(findings, fmt.Sprintf("not expected: %s %s", got[i].tag, got[i].body))
		case want[i].Tag != "" && want[i].Tag != got[i].tag || !matchJSON(decodeAny(got[i].body), decodeAny(want[i].JSON)):
			findings = append(findings, fmt.Sprintf("line %d:\n  got  %s %s\n  want %s %s", want[i].Line, got[i].tag, got[i].body, want[i].Tag, want[i].JSON))
		}
	}
	return findings
}

func decodeAny(s string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return s
	}
	return v
}

// matchJSON compares decoded values; "*" in want matches anything.
func matchJSON(got, want any) bool {
	if want == "*" {
		return true
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for k := range w {
			v, ok := g[k]
			if !ok || !matchJSON(v, w[k]) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !matchJSON(g[i], w[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(got, want)
}
