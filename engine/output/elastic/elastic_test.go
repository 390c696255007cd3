package elastic

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// cluster is an Elasticsearch that checks what it gets, and keeps it.
type cluster struct {
	t       *testing.T
	docs    map[string]string // by index/id
	order   []string          // n of the documents in the order of their creation
	busy    map[string]int    // n: how often its document is not taken
	created int
	next    int
}

func (c *cluster) bulk(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	text := string(b)
	if r.Method != "POST" || r.URL.Path != "/es/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" || !strings.HasSuffix(text, "\n") || strings.Contains(text, "\n\n") {
		c.t.Errorf("got %s %s %q", r.Method, r.URL, text)
		http.Error(w, "The bulk request must be terminated by a newline", 400)
		return
	}
	if len(text) > 20_000 {
		w.WriteHeader(413)
		return
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var items []string
	errors := false
	for i := 0; i+1 < len(lines); i += 2 {
		var action map[string]struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
		d := json.NewDecoder(strings.NewReader(lines[i]))
		d.DisallowUnknownFields()
		if err := d.Decode(&action); err != nil || len(action) != 1 {
			c.t.Errorf("action %s: %v", lines[i], err)
		}
		for name, a := range action {
			status, fault := c.write(name, a.Index, a.ID, lines[i+1])
			errors = errors || status > 299
			items = append(items, fmt.Sprintf(`{%q:{"status":%d%s}}`, name, status, fault))
		}
	}
	if len(lines)%2 > 0 {
		c.t.Error("odd number of lines")
	}
	fmt.Fprintf(w, `{"errors":%v,"items":[%s]}`, errors, strings.Join(items, ","))
}

func (c *cluster) write(action, index, id, doc string) (int, string) {
	var d struct {
		N    json.Number `json:"n"`
		Bad  bool        `json:"bad"`
		Time string      `json:"@timestamp"`
	}
	if err := json.Unmarshal([]byte(doc), &d); err != nil || d.Bad {
		return 400, `,"error":{"type":"document_parsing_exception","reason":"[1:9] failed to parse field [bad]"}`
	}
	if index != indexName(index) {
		return 400, `,"error":{"type":"invalid_index_name_exception","reason":"Invalid index name"}`
	}
	if index == "closed" {
		return 403, `,"error":{"type":"security_exception","reason":"action is unauthorized"}`
	}
	if c.busy[d.N.String()] > 0 {
		c.busy[d.N.String()]--
		return 429, `,"error":{"type":"es_rejected_execution_exception","reason":"queue is full"}`
	}
	if c.next++; id == "" {
		id = fmt.Sprint("auto", c.next)
	}
	if _, there := c.docs[index+"/"+id]; there && action == "create" {
		return 409, `,"error":{"type":"version_conflict_engine_exception","reason":"document already exists"}`
	}
	c.docs[index+"/"+id] = doc
	c.order = append(c.order, d.N.String())
	c.created++
	return 201, ""
}

func newCluster(t *testing.T) (*cluster, *sinktest.Server) {
	c := &cluster{t: t, docs: map[string]string{}, busy: map[string]int{}}
	return c, sinktest.Serve(t, c.bulk)
}

func numbered(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"timestamp":"2026-11-20T18:31:59.%06d+0100","event_type":"dns","n":%d}`, i, i))
	}
	return list
}

func TestDocuments(t *testing.T) {
	c, s := newCluster(t)
	counters := engine.NewCounters()
	out := sinktest.New(t, Kind, "elasticsearch://"+s.Address()+"/es/", engine.Values{"index": "eve-{event_type}-%Y.%m.%d", "gzip": true, "pipeline": "geo ip", "auth": "api_key", "auth_token": "k"}, counters)
	events := sinktest.Events(t, `{"timestamp":"2026-11-20T00:31:59.886695+0100","event_type":"DNS, TCP","n":1}`, `{"n":2,"@timestamp":"x"}`, ` {"timestamp":1607337893.205884,"n":3} `)
	for range 2 {
		if o := sinktest.Deliver(t, out, events); len(o.Delivered) != 3 || len(o.Errors) > 0 {
			t.Fatal(o)
		}
	}
	r := s.Requests()[0]
	if !r.Packed || r.Query.Get("pipeline") != "geo ip" || r.Header.Get("Authorization") != "ApiKey k" || !strings.Contains(r.Query.Get("filter_path"), "items.*.status") {
		t.Errorf("got %+v", r)
	}
	want := map[string]string{
		"eve-dns__tcp-2026.11.19":                              `{"@timestamp":"2026-11-19T23:31:59.886695000Z","timestamp":"2026-11-20T00:31:59.886695+0100","event_type":"DNS, TCP","n":1}`,
		"eve-unknown-" + time.Now().UTC().Format("2006.01.02"): `{"n":2,"@timestamp":"x"}`,
		"eve-unknown-2020.12.07":                               `{"@timestamp":"2020-12-07T10:44:53.205884000Z","timestamp":1607337893.205884,"n":3} `,
	}
	for id, doc := range c.docs {
		index, hash, _ := strings.Cut(id, "/")
		if want[index] != doc || len(hash) != 22 {
			t.Errorf("%s: got %s, want %s", id, doc, want[index])
		}
	}
	if c.created != 3 || counters.NonZero()[0].N != 3 {
		t.Errorf("%d created, %v", c.created, counters.NonZero())
	}
}

// TestEachDocumentByItself: what the server does not take is sent again, what the mapping refuses goes to the dead letter, and
// nothing is written twice, though the server chooses the ids.
func TestEachDocumentByItself(t *testing.T) {
	for _, id := range []string{"none", "hash", "{n}"} {
		c, s := newCluster(t)
		out := sinktest.New(t, Kind, "opensearch://"+s.Address()+"/es", engine.Values{"id": id}, nil)
		bodies := numbered(1000)
		for _, i := range []int{0, 17, 500, 999} {
			c.busy[fmt.Sprint(i)] = 3
		}
		bodies[20], bodies[600] = `{"n":20,"bad":true}`, `{"n":600,"bad":true}`
		bodies = append(bodies, `[1]`)
		o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
		if len(o.Delivered) != 998 || strings.Join(o.Rejected, " ") != `{"n":20,"bad":true} {"n":600,"bad":true} [1]` || c.created != 998 {
			t.Errorf("%s: %d delivered, %d created, rejected %v", id, len(o.Delivered), c.created, o.Reasons)
		}
		if text := fmt.Sprint(o.Errors, o.Reasons); !strings.Contains(text, "queue is full") || !strings.Contains(text, "failed to parse field [bad]") {
			t.Error(text)
		}
		seen := map[string]int{}
		for _, n := range c.order {
			seen[n]++
		}
		for n, times := range seen {
			if times != 1 {
				t.Errorf("%s: document %s was written %d times", id, n, times)
			}
		}
	}
}

// TestOutages: with ids nothing is there twice, whatever answer was lost.
func TestOutages(t *testing.T) {
	c, s := newCluster(t)
	out := sinktest.New(t, Kind, "elasticsearch://"+s.Address()+"/es", engine.Values{"bulk_size": int64(100), "timeout": 10 * time.Second}, nil)
	late := func(f sinktest.Fault) sinktest.Fault { // the documents are written, but the answer does not come
		return func(w http.ResponseWriter, r *http.Request) {
			list := s.Requests()
			last := list[len(list)-1]
			q, _ := http.NewRequest("POST", "http://x"+last.Path, strings.NewReader(last.Body))
			q.Header = last.Header
			c.bulk(&nowhere{}, q)
			f(w, r)
		}
	}
	s.Next(sinktest.Reset, nil, late(sinktest.Half), late(sinktest.Reset), sinktest.Status(200, "<html>welcome</html>"), sinktest.Status(200, `{"errors":false,"items":[]}`),
		sinktest.Status(502, ""), nil, sinktest.Silence, sinktest.Status(429, "", "Retry-After", "0.01"), sinktest.Status(401, `{"error":"missing authentication credentials"}`))
	o := sinktest.Deliver(t, out, sinktest.Events(t, numbered(1000)...))
	if len(o.Delivered) != 1000 || len(o.Rejected) > 0 || c.created != 1000 || len(c.docs) != 1000 {
		t.Errorf("%d delivered, %v rejected, %d created", len(o.Delivered), o.Reasons, c.created)
	}
	for _, want := range []string{"not complete", "not what Elasticsearch says", "has 0 items, want 100", "does not let us in"} {
		if text := fmt.Sprint(o.Errors); !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

type nowhere struct{}

func (*nowhere) Header() http.Header         { return http.Header{} }
func (*nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (*nowhere) WriteHeader(int)             {}

func TestFaultsOfTheRowRejectNothing(t *testing.T) {
	_, s := newCluster(t)
	out := sinktest.New(t, Kind, "elasticsearch://"+s.Address()+"/es", engine.Values{"index": "closed"}, nil)
	for _, tc := range []struct {
		fault sinktest.Fault
		want  string
	}{
		{nil, "may not write there"},
		{oneItem(404, "index_not_found_exception", "no such index"), "make the index"},
		{oneItem(400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams"), "correct index, action"},
		{oneItem(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), "correct index, action"},
		{oneItem(503, "unavailable_shards_exception", "primary shard is not active"), "503"},
	} {
		s.Next(tc.fault)
		n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":1}`))
		if _, rejected := err.(*engine.RejectError); n != 0 || rejected || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %d, %v, want %q", n, err, tc.want)
		}
	}
}

func oneItem(status int, kind, reason string) sinktest.Fault {
	return sinktest.Status(200, fmt.Sprintf(`{"errors":true,"items":[{"create":{"status":%d,"error":{"type":%q,"reason":%q}}}]}`, status, kind, reason))
}

func TestRowsThatAreWrong(t *testing.T) {
	for _, index := range []string{"Big", "a b", "-x", "", "a/b", "x-{", "x-%q"} {
		sinktest.Refused(t, Kind, "elasticsearch://a", engine.Values{"index": index}, "index", "")
	}
	sinktest.Refused(t, Kind, "elasticsearch://a", engine.Values{"id": "one"}, "id", "same for all")
	sinktest.Refused(t, Kind, "elasticsearch://", nil, "uri", "no host")
	for text, want := range map[string]string{"../../x": ".._.._x", "_a": "x_a", "..": "unknown", strings.Repeat("é", 200): strings.Repeat("é", 127), "A\x00\xff": "a__"} {
		if got := indexName(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	out := sinktest.New(t, Kind, "elasticsearch://a", nil, nil)
	if got := fmt.Sprint(out.(engine.PortUser).Ports()); got != "[{9200 false}] false" {
		t.Error(got)
	}
}
