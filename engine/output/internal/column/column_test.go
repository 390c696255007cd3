package column

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
)

func reader(t testing.TB, body string) *Reader {
	ev, err := engine.NewEvent(body)
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	r.Reset(ev)
	return &r
}

func TestReaderTakesValues(t *testing.T) {
	r := reader(t, `{"timestamp":"2026-11-21T23:30:00.123456-0130","n":9007199254740993,"big":18446744073709551616,"f":1.5,"b":true,"o":{"x":{"y":"a\"b"},"z":7},"l":[1, 2],"nil":null,"s":"12","e":1e3}`)
	at := time.Date(2026, 11, 22, 1, 0, 0, 123456000, time.UTC)
	for _, c := range []struct {
		path string
		typ  Type
		want any
		ok   bool
	}{
		{"n", Any, int64(9007199254740993), true}, {"big", Any, "18446744073709551616", true}, {"f", Any, 1.5, true}, {"b", Any, true, true},
		{"o.x.y", Any, `a"b`, true}, {"o.z", Int, int64(7), true}, {"o", Any, `{"x":{"y":"a\"b"},"z":7}`, true}, {"l", Text, "[1, 2]", true},
		{"nil", Int, nil, true}, {"none", Int, nil, true}, {"o.none.x", Any, nil, true}, {"n.x", Any, nil, true},
		{"s", Int, int64(12), true}, {"big", Int, nil, false}, {"f", Int, nil, false}, {"b", Int, nil, false}, {"s", Bool, nil, false},
		{"n", Text, "9007199254740993", true}, {"e", Any, 1000.0, true}, {"timestamp", Time, at, true}, {"s", Time, nil, false},
	} {
		got, ok := r.Value(&Column{Path: strings.Split(c.path, "."), Type: c.typ})
		if got != c.want || ok != c.ok {
			t.Errorf("%s as %d: got %v, %v, want %v, %v", c.path, c.typ, got, ok, c.want, c.ok)
		}
	}
	if got, ok := r.Timestamp(); !ok || !got.Equal(at) {
		t.Errorf("timestamp: got %v, %v", got, ok)
	}
	r.Reset(engine.Event{Body: `[1]`})
	if v, ok := r.Value(&Column{Path: []string{"n"}}); v != nil || !ok {
		t.Errorf("of an array: got %v, %v", v, ok)
	}
}

func TestParseTimeRefusesWhatIsNone(t *testing.T) {
	for _, s := range []string{"", "now", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "2026-11-21", "+0000", strings.Repeat("2", 100)} {
		if at, ok := ParseTime(s); ok {
			t.Errorf("%q: got %v", s, at)
		}
	}
	for _, s := range []string{"2026-11-21T16:53:57.123456+0000", "2026-11-21T16:53:57.123456Z", "2026-11-21T17:53:57.123456+01:00"} {
		if at, ok := ParseTime(s); !ok || at.UnixMicro() != 1795280037123456 {
			t.Errorf("%q: got %v (%d), %v", s, at, at.UnixMicro(), ok)
		}
	}
}

func TestParseChecksColumns(t *testing.T) {
	got, err := Parse(`{"b":"x.y:int","a":"z"}`, Text)
	if err != nil || len(got) != 2 || got[0].Name != "a" || got[0].Type != Text || got[1].Type != Int || got[1].Path[1] != "y" {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		`5`: "want a list", `[1]`: "want a list", `["a:float32"]`: "has the type", `["a..b"]`: "is not a path", `[""]`: "is not a path",
		`["a","A"]`: "twice", `["event"]`: "output makes itself", `{"x\u0000":"a"}`: "not a name", `["` + strings.Repeat("x", 200) + `"]`: "not a name",
	} {
		if _, err := Parse(text, Any, "event"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	r := reader(b, `{"timestamp":"2026-11-21T16:53:57.123456+0000","flow_id":1,"event_type":"dns","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","dns":{"rrname":"a.example","rcode":"NOERROR"}}`)
	paths := []Column{{Path: []string{"event_type"}}, {Path: []string{"src_ip"}}, {Path: []string{"dns", "rrname"}}, {Path: []string{"dns", "rcode"}}}
	ev := engine.Event{Body: r.Body()}
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(ev)
		r.Value(&paths[rand.IntN(4)])
		r.Timestamp()
	}
}

func TestTimestampInSeconds(t *testing.T) {
	f := func(number, want string) {
		t.Helper()
		at, ok := reader(t, `{"timestamp":`+number+`}`).Timestamp()
		if got := at.Format(time.RFC3339Nano); ok != (want != "") || ok && got != want {
			t.Errorf("%s: got %s, %v, want %q", number, got, ok, want)
		}
	}
	f("1607618046", "2020-12-10T16:34:06Z")
	f("1607337893.205884", "2020-12-07T10:44:53.205884Z")
	f("1607337893.2058841234567", "2020-12-07T10:44:53.205884123Z")
	f("1.607337893e9", "2020-12-07T10:44:53Z")
	f("0", "1970-01-01T00:00:00Z")
	f("9214646399", "2261-12-31T23:59:59Z")
	for _, none := range []string{"9214646400", "-1", "1e300", "1607618046000", "null", "true", "[1607618046]", `{"a":1}`} {
		f(none, "")
	}
}
