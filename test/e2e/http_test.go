package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// example returns the first block of Lua below a heading of README.md.
func example(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(readme), "\n### "+heading)
	_, rest, ok2 := strings.Cut(rest, "```lua\n")
	text, _, ok3 := strings.Cut(rest, "```\n")
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("README.md has no example below %q", heading)
	}
	return text
}

// sinks is a web server that plays Elasticsearch, Splunk, Loki, a webhook and Discord, and can be stopped and started.
type sinks struct {
	t       *testing.T
	address string
	mu      sync.Mutex
	server  *http.Server
	got     map[string]map[string]int // by sink: n of an event, how often
	acks    int
}

func (s *sinks) start() {
	s.t.Helper()
	var l net.Listener
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if l, err = net.Listen("tcp", s.address); err == nil {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.server = &http.Server{Handler: s}
	go s.server.Serve(l)
}

func (s *sinks) stop() { s.server.Close() }

var numberPattern = regexp.MustCompile(`\\?"n\\?":(\d+)`)

func (s *sinks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var src io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(400)
			return
		}
		src = z
	}
	b, err := io.ReadAll(src)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("User-Agent"), "Dragonfly/") {
		s.t.Errorf("got %v", r.Header)
	}
	note := func(sink string) (n int) {
		for _, m := range numberPattern.FindAllStringSubmatch(string(b), -1) {
			s.got[sink][m[1]]++
			n++
		}
		return n
	}
	switch r.URL.Path {
	case "/_bulk":
		items := strings.Repeat(`{"create":{"status":201}},`, note("siem"))
		fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, strings.TrimSuffix(items, ","))
	case "/services/collector/event":
		if r.Header.Get("Authorization") != "Splunk hec-secret" {
			w.WriteHeader(403)
			return
		}
		note("hec")
		s.acks++
		fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, s.acks)
	case "/services/collector/ack":
		var q struct{ Acks []int }
		json.Unmarshal(b, &q)
		fmt.Fprintf(w, `{"acks":{"%d":true}}`, q.Acks[0])
	case "/loki/api/v1/push":
		note("loki")
		w.WriteHeader(204)
	case "/hook":
		note("hook")
	case "/api/webhooks/1/secret":
		note("chat")
		for _, m := range regexp.MustCompile(`"name":"n","value":"(\d+)"`).FindAllStringSubmatch(string(b), -1) {
			s.got["chat"][m[1]]++
		}
	default:
		s.t.Errorf("got %s", r.URL.Path)
		w.WriteHeader(404)
	}
}

// has reports whether a sink has n events.
func (s *sinks) has(sink string, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got[sink]) >= n
}

var listens = regexp.MustCompile(`listens .*address=(\S+)`)

// TestHTTPExample runs the example of the README: clients POST, the sinks go away in between and come back, and everything comes.
func TestHTTPExample(t *testing.T) {
	s := &sinks{t: t, address: "127.0.0.1:" + freePort(t), got: map[string]map[string]int{"siem": {}, "hec": {}, "loki": {}, "hook": {}, "chat": {}}}
	s.start()
	defer func() { s.stop() }()
	for name, value := range map[string]string{"LISTEN": "127.0.0.1:0", "TOKEN": "tok", "SIEM": s.address, "HEC": s.address, "LOKI": s.address, "HOOK": s.address + "/hook", "CHAT": "http://" + s.address} {
		t.Setenv(name, value)
	}
	r := newRoot(t, `
-- scripts/filter.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/spread.lua --
function loop(e)
  for _, tag in ipairs({"siem", "hec", "loki", "hook", "chat"}) do dragonfly.output_event(tag, e) end
end
-- secrets/hec --
hec-secret
-- secrets/discord --
/api/webhooks/1/secret
-- scripts/config.lua --
listen = ""
`+example(t, "HTTP"))
	p := r.start()
	p.until("the address", func() bool { return listens.MatchString(p.text()) })
	url := "http://" + listens.FindStringSubmatch(p.text())[1] + "/events"
	post := func(from, to int) {
		t.Helper()
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, `{"timestamp":"2026-11-20T18:31:59.%06d+0000","event_type":"alert","src_ip":"10.0.0.1","alert":{"severity":%d},"n":%d}`+"\n", i, 1+i%100, i)
		}
		req, _ := http.NewRequest("POST", url, strings.NewReader(b.String()))
		req.Header.Set("Authorization", "Bearer tok")
		resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(text) != fmt.Sprintf("{\"events\":%d}\n", to-from) {
			t.Fatalf("got %d %s", resp.StatusCode, text)
		}
	}
	post(0, 1000)
	if !s.has("hook", 1000) || !s.has("loki", 1000) || !s.has("hec", 1000) { // siem may have it in its spool
		t.Error("an answer came before the events were delivered")
	}
	s.stop()
	answered := make(chan bool)
	go func() { defer close(answered); post(1000, 2000) }()
	p.until("an outage", func() bool { return strings.Count(p.text(), "output does not work") >= 4 })
	select {
	case <-answered:
		t.Error("answered during the outage")
	default:
	}
	s.start()
	<-answered
	for sink, want := range map[string]int{"siem": 2000, "hec": 2000, "loki": 2000, "hook": 2000, "chat": 40} {
		p.until(fmt.Sprintf("%d events in %s", want, sink), func() bool { return s.has(sink, want) })
	}
	text := p.stop()
	if !strings.Contains(text, "ledger: post: read 2000 = delivered 2000 + dropped 0 + dead-lettered 0 + in flight 0") {
		t.Errorf("no ledger in %s", text)
	}
	if strings.Contains(text, "webhooks/1") || strings.Contains(text, "hec-secret") {
		t.Errorf("a secret is in the log: %s", text)
	}
}
