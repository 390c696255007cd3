package splunk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

var guidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

type hecEvent struct {
	Time                            json.Number
	Index, Source, Sourcetype, Host string
	Event                           json.RawMessage
}

// collector is an event collector that checks what it gets.
type collector struct {
	t      *testing.T
	events []hecEvent
	lines  []string
	ack    bool
	polls  int
	acks   map[string]int // ackId: how often it is asked for before it is there; -1 never
	lost   []int          // fates of the next ackIds
	next   int
}

func (c *collector) serve(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Splunk tok" {
		w.WriteHeader(401)
		fmt.Fprint(w, `{"text":"Invalid authorization","code":3}`)
		return
	}
	channel := r.Header.Get("X-Splunk-Request-Channel")
	if (c.ack || r.URL.Path == "/services/collector/raw") && !guidPattern.MatchString(channel) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"text":"Data channel is missing","code":10}`)
		return
	}
	switch r.URL.Path {
	case "/services/collector/ack":
		var q struct{ Acks []int }
		if json.Unmarshal(b, &q) != nil || len(q.Acks) != 1 || r.URL.Query().Get("channel") != channel {
			c.t.Errorf("got %s?%s", b, r.URL.RawQuery)
		}
		id := fmt.Sprint(q.Acks[0])
		c.polls++
		if c.acks[id] > 0 {
			c.acks[id]--
		}
		fmt.Fprintf(w, `{"acks":{"%s":%v}}`, id, c.acks[id] == 0)
		return
	case "/services/collector/raw":
		c.lines = append(c.lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	case "/services/collector/event":
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		var list []hecEvent
		for d.More() {
			var e hecEvent
			if err := d.Decode(&e); err != nil || len(e.Event) == 0 {
				c.t.Errorf("%v in %s", err, b)
				return
			}
			if strings.Contains(string(e.Event), "bad") {
				w.WriteHeader(400)
				fmt.Fprintf(w, `{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, len(list))
				return
			}
			list = append(list, e)
		}
		c.events = append(c.events, list...)
	default:
		w.WriteHeader(404)
		return
	}
	if !c.ack {
		fmt.Fprint(w, `{"text":"Success","code":0}`)
		return
	}
	fate := 2
	if len(c.lost) > 0 {
		fate, c.lost = c.lost[0], c.lost[1:]
	}
	c.acks[fmt.Sprint(c.next)] = fate
	fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, c.next)
	c.next++
}

func newCollector(t *testing.T) (*collector, *sinktest.Server) {
	c := &collector{t: t, acks: map[string]int{}}
	return c, sinktest.Serve(t, c.serve)
}

func row(more engine.Values) engine.Values {
	v := engine.Values{"auth_token": "tok"}
	for key, value := range more {
		v[key] = value
	}
	return v
}

func TestEvents(t *testing.T) {
	c, s := newCollector(t)
	out := sinktest.New(t, Kind, "splunk://"+s.Address(), row(engine.Values{"index": "ids_{event_type}", "sourcetype": "suricata:{event_type}", "host": "{host}", "gzip": true}), nil)
	o := sinktest.Deliver(t, out, sinktest.Events(t, `{"timestamp":"2026-11-20T18:31:59.886695+0000","event_type":"a\"b","host":"h"}`, `{"x":1}`, `"text"`))
	if len(o.Delivered) != 3 || len(c.events) != 3 {
		t.Fatal(o, c.events)
	}
	if got := c.events[0]; got.Time != "1795199519.886695" || got.Index != `ids_a"b` || got.Sourcetype != `suricata:a"b` || got.Host != "h" || got.Source != "dragonfly" {
		t.Errorf("got %+v", got)
	}
	if got := c.events[1]; got.Time != "" || string(got.Event) != `{"x":1}` || got.Index != "ids_unknown" {
		t.Errorf("got %+v", got)
	}
	if r := s.Requests(); len(r) != 1 || !r[0].Packed || r[0].Header.Get("X-Splunk-Request-Channel") != "" {
		t.Errorf("got %+v", r)
	}
}

func TestRaw(t *testing.T) {
	c, s := newCollector(t)
	out := sinktest.New(t, Kind, "splunk://"+s.Address(), row(engine.Values{"endpoint": "raw", "index": "main"}), nil)
	sinktest.Deliver(t, out, sinktest.Events(t, `{"x":1}`, `{"x":2}`))
	if r := s.Requests()[0]; strings.Join(c.lines, " ") != `{"x":1} {"x":2}` || r.Query.Encode() != "index=main&source=dragonfly&sourcetype=suricata" {
		t.Errorf("got %v, %+v", c.lines, r)
	}
}

// TestAcknowledgement: a request that no indexer acknowledges is sent again, one that it does is not.
func TestAcknowledgement(t *testing.T) {
	c, s := newCollector(t)
	c.ack, c.lost = true, []int{0, -1, 3}
	out := sinktest.New(t, Kind, "splunk://"+s.Address(), row(engine.Values{"ack": true, "bulk_size": int64(1), "ack_timeout": 10 * time.Second}), nil)
	o := sinktest.Deliver(t, out, sinktest.Events(t, `{"n":1}`, `{"n":2}`, `{"n":3}`))
	var got []string
	for _, e := range c.events {
		got = append(got, string(e.Event))
	}
	if strings.Join(got, " ") != `{"n":1} {"n":2} {"n":2} {"n":3}` || len(o.Errors) != 1 || !strings.Contains(o.Errors[0].Error(), "no acknowledgement") || c.polls < 5 {
		t.Errorf("got %v, %v, %d polls", got, o.Errors, c.polls)
	}
	c.ack = false
	if n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":4}`)); n != 0 || err == nil || !strings.Contains(err.Error(), "switch indexer acknowledgement on") {
		t.Error(n, err)
	}
}

func TestOneWrongEvent(t *testing.T) {
	c, s := newCollector(t)
	out := sinktest.New(t, Kind, "splunk://"+s.Address(), row(nil), nil)
	var bodies []string
	for i := range 200 {
		bodies = append(bodies, fmt.Sprintf(`{"n":%d}`, i))
	}
	bodies[3], bodies[150] = `"bad1"`, `"bad2"`
	o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
	if strings.Join(o.Rejected, " ") != `"bad1" "bad2"` || len(o.Delivered) != 198 || len(c.events) != 198 || len(o.Errors) > 0 {
		t.Errorf("rejected %v, %d delivered, %d there, %v", o.Rejected, len(o.Delivered), len(c.events), o.Errors)
	}
}

func TestCodes(t *testing.T) {
	_, s := newCollector(t)
	out := sinktest.New(t, Kind, "splunk://"+s.Address(), row(nil), nil)
	for _, tc := range []struct {
		fault  sinktest.Fault
		want   string
		reject bool
	}{
		{sinktest.Status(403, `{"text":"Invalid token","code":4}`), "correct auth_token", false},
		{sinktest.Status(403, `{"text":"Token disabled","code":1}`), "enable it", false},
		{sinktest.Status(400, `{"text":"Incorrect index","code":7,"invalid-event-number":0}`), "correct index", false},
		{sinktest.Status(400, `{"text":"Data channel is missing","code":10}`), "set ack = true", false},
		{sinktest.Status(400, `{"text":"ACK is disabled","code":14}`), "set ack = false", false},
		{sinktest.Status(503, `{"text":"Server is busy","code":9}`), "503", false},
		{sinktest.Status(500, `{"text":"Internal server error","code":8}`), "500", false},
		{sinktest.Status(429, `{"text":"queue at capacity","code":26}`), "takes no more", false},
		{sinktest.Status(200, `{"text":"odd","code":99}`), "code 99", false},
		{sinktest.Status(200, `hello`), "not what an event collector says", false},
		{sinktest.Half, "not complete", false},
		{sinktest.Reset, "reset", false},
		{sinktest.Status(400, `{"text":"Event field cannot be blank","code":13}`), "cannot be blank", true},
		{sinktest.Status(400, `{"text":"x","code":6,"invalid-event-number":77}`), "code", true},
	} {
		s.Next(tc.fault)
		n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":1}`))
		if _, rejected := err.(*engine.RejectError); n != 0 || err == nil || rejected != tc.reject || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %d, %v, want %q, reject %v", n, err, tc.want, tc.reject)
		}
	}
}

func TestRowsThatAreWrong(t *testing.T) {
	sinktest.Refused(t, Kind, "splunk://a", nil, "auth_token", "missing")
	sinktest.Refused(t, Kind, "splunk://a", row(engine.Values{"endpoint": "raw", "index": "{x}"}), "index", "endpoint")
	sinktest.Refused(t, Kind, "splunk://a", row(engine.Values{"source": "{x"}), "source", "closed")
}
