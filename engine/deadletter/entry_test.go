package deadletter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 21, 13, 0, 0, 123456000, time.UTC)

func entry(event string) *Entry {
	return &Entry{Time: at, Origin: "eve file:///eve.json offset 12", Stage: "analyzer a", Reason: "script_error", Error: "a.lua:2: \"x\"\n", Event: event}
}

func line(e *Entry) string { return string(e.Append(nil)) }

func TestEntryKeepsTheExactBytes(t *testing.T) {
	deep := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	for _, event := range []string{
		`{"a":1}`, ` { "a" : 1 } `, "{\t}\r", `[1]`, `1`, `null`, `"text"`, ` "text" `, ``, ` `, `{`, "\x00\xff junk", "{\"latin\":\"caf\xe9\"}", "caf\xe9",
		"{\"a\":\n1}", "{\"a\":1}\n", `{"event":{"event":1},"x":"`, `{"s":",\"event\":"}`, `","event":{}`, deep, `{"a":` + deep[1:999+1000] + `}`, `\u0041"\`,
	} {
		for _, known := range []bool{false, true} {
			e := entry(event)
			if known && !strings.HasPrefix(event, "{") {
				continue
			}
			if known {
				if p, err := Parse(line(e)); err != nil || !p.JSON {
					continue
				}
			}
			e.JSON = known
			text := line(e)
			if strings.Contains(text, "\n") {
				t.Errorf("%.60q: more than a line: %.200q", event, text)
			}
			got, err := Parse(text)
			if err != nil {
				t.Errorf("%.60q: %v", event, err)
				continue
			}
			if got.Event != event || got.Stage != e.Stage || got.Reason != e.Reason || got.Error != e.Error || got.Origin != e.Origin || !got.Time.Equal(at) || got.ID != IDOf(text) {
				t.Errorf("%.60q: got %+v", event, got)
			}
		}
	}
}

func TestEntryShapeIsThatOfTheDocumentation(t *testing.T) {
	e := entry(`{"n":1}`)
	if got, want := line(e), `{"time":"2026-11-21T13:00:00.123456Z","origin":"eve file:///eve.json offset 12","stage":"analyzer a","reason":"script_error","error":"a.lua:2: \"x\"\n","event":{"n":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.ReplayOf, e.Event = "0123456789ab", "no json"
	if got, want := line(e), `"replay_of":"0123456789ab","event":"no json"}`; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseReadsWhatOtherProgramsWroteAnew(t *testing.T) {
	for _, text := range []string{
		`{"error":"e","event":{"n":1},"origin":"eve x","reason":"malformed","stage":"filter eve","time":"2026-11-21T13:00:00Z"}`,
		`{ "time": "2026-11-21T13:00:00+00:00", "origin": "eve x", "stage": "filter eve", "reason": "malformed", "error": "e", "event": {"n":1} }`,
		`{"time":"2026-11-21T13:00:00Z","origin":"eve x","extra":{"a":1,"event":2},"stage":"filter eve","reason":"malformed","error":"e","event":{"n":1}}`,
	} {
		e, err := Parse(text)
		if err != nil || e.Event != `{"n":1}` || e.Stage != "filter eve" || e.Error != "e" || !e.From("EVE") || e.From("ev") || e.Kind() != "filter" {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
	}
}

func TestParseRefusesWhatIsNoDeadLetter(t *testing.T) {
	whole := line(entry(`{"n":1,"s":"text"}`))
	for i := range whole {
		if i > 0 {
			if e, err := Parse(whole[:i]); err == nil {
				t.Errorf("%q was taken: %+v", whole[:i], e)
			}
		}
	}
	for _, text := range []string{`{}`, `[]`, `1`, `{"event":1}`, whole + whole, whole[:100] + whole, strings.Replace(whole, "2026-", "x", 1),
		strings.Replace(whole, `"analyzer a"`, `7`, 1), strings.Replace(whole, `"stage"`, `"stagf"`, 1)} {
		if e, err := Parse(text); err == nil {
			t.Errorf("%q was taken: %+v", text, e)
		}
	}
}

func TestIDs(t *testing.T) {
	id := IDOf("x")
	if id == IDOf("y") || len(id.String()) != 12 || !strings.HasPrefix(id.Full(), id.String()) {
		t.Errorf("got %s, %s", id, id.Full())
	}
	if back, err := ParseID(id.Full()); err != nil || back != id {
		t.Errorf("got %v, %v", back, err)
	}
	for _, bad := range []string{"", id.String(), strings.Repeat("x", 32)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("a.lua:2: boom", `{"a":1}`, "analyzer a")
	f.Add("", "\"\n\xff", `","event":`)
	f.Fuzz(func(t *testing.T, msg, event, stage string) {
		e := entry(event)
		e.Error, e.Stage, e.Origin, e.ReplayOf = msg, stage+"x", stage, msg
		got, err := Parse(line(e))
		if err != nil {
			t.Fatal(err)
		}
		if got.Event != event || got.Error != msg || got.Stage != stage+"x" || got.Origin != stage || got.ReplayOf != msg {
			t.Fatalf("got %+v, want %+v", got, e)
		}
		var any json.RawMessage
		if json.Unmarshal([]byte(event), &any) == nil && !got.JSON {
			t.Fatalf("%q is JSON", event)
		}
	})
}
