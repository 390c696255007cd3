package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// webSink is a web server that is strict about what it is sent. When it goes, connections are cut in the midst of requests.
type webSink struct {
	tally
	t       *testing.T
	address string
	server  *http.Server

	mu      sync.Mutex
	waiting map[int][]int // Splunk: events that were taken, by ackId, and are not on a disk yet
	acks    int
}

// webKind is a kind of web server: the row for it, and what it answers to a body.
type webKind struct {
	row    string // ADDRESS stands for the server's
	twice  int
	rate   int
	answer func(s *webSink, r *http.Request, body []byte) (code int, text string)
}

func webAway(t *testing.T, kind webKind) *outageSink {
	s := &webSink{t: t, address: "127.0.0.1:" + freePort(t), waiting: map[int][]int{}}
	start := func() {
		l := listenAgain(t, "tcp", s.address)
		s.address = l.Addr().String()
		s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil { // it was cut
				return
			}
			code, text := kind.answer(s, r, body)
			if code >= 400 && code != 429 {
				t.Errorf("%s %s: %d %s: %.300s", r.Method, r.URL, code, text, body)
			}
			w.WriteHeader(code)
			io.WriteString(w, text)
		})}
		go s.server.Serve(l)
	}
	start()
	t.Cleanup(func() { s.server.Close() })
	return &outageSink{row: string(bytes.ReplaceAll([]byte(kind.row), []byte("ADDRESS"), []byte(s.address))), twice: kind.twice, rate: kind.rate, seen: s.seen,
		start: start,
		stop: func() {
			s.server.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			clear(s.waiting) // what no disk has is gone
		}}
}

var bulkHook = webKind{
	row: `{tag = "out", uri = "http://ADDRESS/hook", mode = "bulk", format = "ndjson"}`, twice: 100,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		if r.Method != "POST" || r.URL.Path != "/hook" || !bytes.HasSuffix(body, []byte("\n")) {
			return 400, "want NDJSON"
		}
		for line := range bytes.Lines(body) {
			if !json.Valid(line) {
				return 400, "want NDJSON"
			}
		}
		s.add(idsIn(string(body))...)
		return 200, ""
	}}

var singleHook = webKind{
	row: `{tag = "out", uri = "http://ADDRESS/hook"}`, twice: 1, rate: 300,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		if r.Header.Get("Content-Type") != "application/json" || !json.Valid(body) {
			return 400, "want JSON"
		}
		s.add(idsIn(string(body))...)
		return 204, ""
	}}

var discordHook = webKind{
	row: `{tag = "out", uri = "http://ADDRESS", path = "/api/webhooks/1/secret", mode = "bulk", format = "discord", template = "id={id};"}`, twice: 10, rate: 300,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		var m struct {
			Embeds []struct{ Title, Description string }
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Embeds) == 0 || len(m.Embeds) > 10 || r.URL.Path != "/api/webhooks/1/secret" {
			return 400, fmt.Sprint("want 1 to 10 embeds: ", err)
		}
		for _, e := range m.Embeds {
			s.add(idsIn(e.Description)...)
		}
		return 204, ""
	}}

var slackHook = webKind{
	row: `{tag = "out", uri = "http://ADDRESS", path = "/services/T/B/X", mode = "bulk", format = "slack", template = "id={id};"}`, twice: 12, rate: 300,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		var m struct {
			Text   string
			Blocks []any
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Blocks) == 0 || len(m.Blocks) > 50 {
			return 400, fmt.Sprint("want 1 to 50 blocks: ", err)
		}
		seen := map[int]bool{} // the text repeats what is in the blocks
		for _, id := range idsIn(string(body)) {
			seen[id] = true
		}
		for id := range maps.Keys(seen) {
			s.add(id)
		}
		return 200, "ok"
	}}

var elasticServer = webKind{
	row: `{tag = "out", uri = "elasticsearch://ADDRESS", index = "eve-{event_type}"}`,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		if r.URL.Path != "/_bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" || !bytes.HasSuffix(body, []byte("\n")) {
			return 400, "no bulk request"
		}
		type item struct {
			Index  string `json:"_index"`
			ID     string `json:"_id"`
			Status int    `json:"status"`
		}
		var items []map[string]*item
		lines := bufio.NewScanner(bytes.NewReader(body))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var action map[string]*item
			d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
			d.DisallowUnknownFields()
			if err := d.Decode(&action); err != nil || len(action) != 1 || action["create"] == nil || action["create"].Index != "eve-alert" || action["create"].ID == "" {
				return 400, fmt.Sprintf("no action: %q, %v", lines.Text(), err)
			}
			if !lines.Scan() || !json.Valid(lines.Bytes()) {
				return 400, "no document"
			}
			ids := idsIn(lines.Text())
			if len(ids) != 1 {
				return 400, "no id in the document"
			}
			it := action["create"]
			s.tally.mu.Lock()
			known := s.ids[ids[0]] > 0
			s.tally.mu.Unlock()
			if it.Status = 201; known { // the same event has the same id, and each id is there once
				it.Status = 409
			} else {
				s.add(ids[0])
			}
			items = append(items, action)
		}
		text, _ := json.Marshal(map[string]any{"took": 1, "errors": false, "items": items})
		return 200, string(text)
	}}

// splunkServer takes events into its memory, and onto a disk when it is asked for the acknowledgement.
var splunkServer = webKind{
	row: `{tag = "out", uri = "splunk://ADDRESS", auth_token = "t", ack = true, ack_timeout = "4s"}`, twice: batchSize,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		if r.Header.Get("Authorization") != "Splunk t" || r.Header.Get("X-Splunk-Request-Channel") == "" {
			return 401, `{"text":"Token is required","code":2}`
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		switch r.URL.Path {
		case "/services/collector/event":
			d := json.NewDecoder(bytes.NewReader(body))
			var ids []int
			for d.More() {
				var e struct {
					Event struct{ ID *int }
					Time  float64
				}
				if err := d.Decode(&e); err != nil || e.Event.ID == nil || e.Time == 0 {
					return 400, `{"text":"Invalid data format","code":6}`
				}
				ids = append(ids, *e.Event.ID)
			}
			s.acks++
			s.waiting[s.acks] = ids
			return 200, fmt.Sprintf(`{"text":"Success","code":0,"ackId":%d}`, s.acks)
		case "/services/collector/ack":
			var q struct{ Acks []int }
			if err := json.Unmarshal(body, &q); err != nil {
				return 400, err.Error()
			}
			answer := map[string]bool{}
			for _, ack := range q.Acks {
				ids, ok := s.waiting[ack]
				answer[strconv.Itoa(ack)] = ok
				s.add(ids...)
				delete(s.waiting, ack)
			}
			text, _ := json.Marshal(map[string]any{"acks": answer})
			return 200, string(text)
		}
		return 404, ""
	}}

// lokiServer drops, as Loki does, a line that its stream has with the same time.
var lokiServer = webKind{
	row: `{tag = "out", uri = "loki://ADDRESS", label_fields = {"event_type"}}`,
	answer: func(s *webSink, r *http.Request, body []byte) (int, string) {
		var m struct {
			Streams []struct {
				Stream map[string]string
				Values [][2]string
			}
		}
		if err := json.Unmarshal(body, &m); err != nil || len(m.Streams) != 1 || m.Streams[0].Stream["event_type"] != "alert" {
			return 400, fmt.Sprint("no push: ", err)
		}
		for _, v := range m.Streams[0].Values {
			ns, err := strconv.ParseInt(v[0], 10, 64)
			ids := idsIn(v[1])
			if err != nil || len(ids) != 1 || time.Unix(0, ns).UTC().Format("2006-01-02") != "2026-11-21" {
				return 400, "a line without time or id"
			}
			s.tally.mu.Lock()
			known := s.ids[ids[0]] > 0
			s.tally.mu.Unlock()
			if !known {
				s.add(ids[0])
			}
		}
		return 204, ""
	}}
