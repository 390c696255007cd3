package loki

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// server is a Loki that checks what it gets. It takes no line that is older than the last of its stream by more than window.
type server struct {
	t      *testing.T
	lines  map[string][]string // stream: "ns line metadata", each once
	last   map[string]int64
	window time.Duration // -1: all are taken
	tenant string
}

func (l *server) push(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/loki/api/v1/push" || r.Header.Get("Content-Type") != "application/json" {
		l.t.Errorf("got %s, %v", r.URL, r.Header)
	}
	l.tenant = r.Header.Get("X-Scope-OrgID")
	var p struct {
		Streams []struct {
			Stream map[string]string   `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"streams"`
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || len(p.Streams) == 0 {
		l.t.Errorf("%v in %s", err, b)
	}
	refused := ""
	for _, s := range p.Streams {
		if len(s.Stream) == 0 || len(s.Values) == 0 {
			l.t.Errorf("no labels, or no lines, in %s", b)
		}
		name := fmt.Sprint(s.Stream)
		before := int64(0)
		for _, v := range s.Values {
			var at, line string
			meta := map[string]string{}
			if json.Unmarshal(v[0], &at) != nil || json.Unmarshal(v[1], &line) != nil || len(v) > 3 || len(v) == 3 && json.Unmarshal(v[2], &meta) != nil {
				l.t.Errorf("got %s", v)
			}
			ns, err := strconv.ParseInt(at, 10, 64)
			if err != nil || ns < before {
				l.t.Errorf("%s is no time, or before %d", at, before)
			}
			before = ns
			if strings.Contains(line, "too long") || l.window >= 0 && ns < l.last[name]-int64(l.window) {
				refused = "entry with timestamp " + at + " ignored, reason: 'entry out of order',"
				continue
			}
			l.last[name] = max(l.last[name], ns)
			text := fmt.Sprint(ns, " ", line)
			if len(meta) > 0 {
				text += fmt.Sprint(" ", meta)
			}
			if n := len(l.lines[name]); n == 0 || !strings.Contains("\n"+strings.Join(l.lines[name], "\n")+"\n", "\n"+text+"\n") {
				l.lines[name] = append(l.lines[name], text)
			}
		}
	}
	if refused != "" {
		http.Error(w, refused, 400)
		return
	}
	w.WriteHeader(204)
}

func newServer(t *testing.T) (*server, *sinktest.Server) {
	l := &server{t: t, lines: map[string][]string{}, last: map[string]int64{}, window: -1}
	return l, sinktest.Serve(t, l.push)
}

func at(us int, rest string) string {
	return fmt.Sprintf(`{"timestamp":"2026-11-20T18:31:59.%06d+0000"%s}`, us, rest)
}

func TestStreams(t *testing.T) {
	l, s := newServer(t)
	out := sinktest.New(t, Kind, "loki://"+s.Address(), engine.Values{"label_fields": []string{"event_type", "alert.severity"}, "metadata": []string{"src_ip", "n"}, "tenant": "soc", "gzip": true}, nil)
	bodies := []string{at(5, `,"event_type":"dns","n":1`), at(3, `,"event_type":"dns","src_ip":"10.0.0.1"`), at(4, `,"event_type":"alert","alert":{"severity":2}`), at(6, ",\"x\":\"\xff\"")}
	if o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...)); len(o.Delivered) != 4 || len(o.Errors) > 0 {
		t.Fatal(o)
	}
	base := "1795199519000000000"[:10]
	want := map[string][]string{
		"map[event_type:dns job:dragonfly]":                    {base + "000003000 " + bodies[1] + " map[src_ip:10.0.0.1]", base + "000005000 " + bodies[0] + " map[n:1]"},
		"map[alert_severity:2 event_type:alert job:dragonfly]": {base + "000004000 " + bodies[2]},
		"map[job:dragonfly]":                                   {base + "000006000 " + strings.ToValidUTF8(bodies[3], "\uFFFD")},
	}
	if fmt.Sprint(l.lines) != fmt.Sprint(want) || l.tenant != "soc" || !s.Requests()[0].Packed {
		t.Errorf("got  %v\nwant %v", l.lines, want)
	}
}

// TestOldEvents: they keep their time, and those that are too old go to the dead letter; or they take the time of the one before,
// for a Loki that takes none that is older.
func TestOldEvents(t *testing.T) {
	for _, order := range []string{"keep", "raise"} {
		l, s := newServer(t)
		if l.window = 0; order == "keep" {
			l.window = 300 * time.Microsecond
		}
		out := sinktest.New(t, Kind, "loki://"+s.Address(), engine.Values{"order": order}, nil)
		sinktest.Deliver(t, out, sinktest.Events(t, at(500, "")))
		s.Next(sinktest.Status(503, ""), sinktest.Status(429, "", "Retry-After", "0.01"))
		o := sinktest.Deliver(t, out, sinktest.Events(t, at(600, ""), at(100, `,"n":1`), at(700, ""), at(650, `,"n":2`)))
		n := 0
		for _, lines := range l.lines {
			n += len(lines)
		}
		if order == "raise" && (len(o.Rejected) > 0 || n != 5) || order == "keep" && (strings.Join(o.Rejected, " ") != at(100, `,"n":1`) || n != 4) {
			t.Errorf("%s: rejected %v, %v", order, o.Reasons, l.lines)
		}
		if len(o.Errors) != 2 {
			t.Error(o.Errors)
		}
	}
}

func TestLineThatIsRefused(t *testing.T) {
	l, s := newServer(t)
	out := sinktest.New(t, Kind, "loki://"+s.Address(), nil, nil)
	var bodies []string
	for i := range 100 {
		bodies = append(bodies, at(i, ""))
	}
	bodies[40] = at(40, `,"x":"too long"`)
	o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
	if len(o.Rejected) != 1 || o.Rejected[0] != bodies[40] || len(o.Delivered) != 99 || len(l.lines["map[job:dragonfly]"]) != 99 {
		t.Errorf("rejected %v, %d there", o.Rejected, len(l.lines["map[job:dragonfly]"]))
	}
}

func TestNumberOfStreamsIsBounded(t *testing.T) {
	l, s := newServer(t)
	counters := engine.NewCounters()
	out := sinktest.New(t, Kind, "loki://"+s.Address(), engine.Values{"label_fields": []string{"ip"}, "max_streams": int64(10), "bulk_size": int64(7)}, counters)
	var bodies []string
	for i := range 100 {
		bodies = append(bodies, at(i, fmt.Sprintf(`,"ip":"%d"`, i%50)))
	}
	sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
	if n := len(l.lines["map[ip:other job:dragonfly]"]); len(l.lines) != 11 || n != 80 || counters.NonZero()[0].N != 80 {
		t.Errorf("%d streams, %d other, %v", len(l.lines), n, counters.NonZero())
	}
}

func TestOutages(t *testing.T) {
	l, s := newServer(t)
	out := sinktest.New(t, Kind, "loki://"+s.Address(), engine.Values{"bulk_size": int64(10), "timeout": 10 * time.Second}, nil)
	s.Next(sinktest.Reset, nil, sinktest.Silence, sinktest.Status(500, ""), nil, sinktest.Garbage, sinktest.Status(401, "no org id"))
	var bodies []string
	for i := range 100 {
		bodies = append(bodies, at(i, ""))
	}
	o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
	if len(o.Delivered) != 100 || len(l.lines["map[job:dragonfly]"]) != 100 || len(o.Rejected) > 0 || len(o.Errors) < 5 {
		t.Errorf("%d delivered, %v, %v", len(o.Delivered), o.Reasons, o.Errors)
	}
}

func TestRowsThatAreWrong(t *testing.T) {
	for _, tc := range []struct {
		v         engine.Values
		key, want string
	}{
		{engine.Values{"labels": `{}`}, "labels", "empty"},
		{engine.Values{"labels": `{"a-b":"x"}`}, "labels", "no name"},
		{engine.Values{"labels": `["a"]`}, "labels", "no table"},
		{engine.Values{"label_fields": []string{"job"}}, "label_fields", "already"},
		{engine.Values{"label_fields": []string{"a.b", "a_b"}}, "label_fields", "twice"},
		{engine.Values{"tenant": "a b"}, "tenant", "no name"},
	} {
		sinktest.Refused(t, Kind, "loki://a", tc.v, tc.key, tc.want)
	}
}
