package http

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine"
	test "dragonfly/test/rig"
)

// rig is an input that runs, and the engine behind it.
type rig struct {
	t        *testing.T
	in       engine.Input
	url      string
	counters *engine.Counters
	cancel   func()
	stop     func() // ends Run and waits for it

	mu      sync.Mutex
	bodies  []string
	origins []string
	open    []func() // Done of batches that are not finished
	hold    bool     // batches are not finished by themselves
	full    bool     // nothing is taken
	came    chan bool
}

func params(v engine.Values, scheme, address string, counters *engine.Counters) engine.Params {
	return engine.Params{Tag: "in", URI: scheme + "://" + address, Scheme: scheme, Address: address, Options: test.Values(Kind.Options, v), Log: slog.New(slog.DiscardHandler), Counter: counters.Of("input", "in")}
}

func start(t *testing.T, v engine.Values) *rig {
	t.Helper()
	r := &rig{t: t, counters: engine.NewCounters(), came: make(chan bool, 1000)}
	in, err := New(params(v, "http", "127.0.0.1:0/events", r.counters))
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + in.(*input).listener.Addr().String()
	r.run()
	t.Cleanup(func() {
		r.release()
		r.stop()
		in.(engine.Closer).Close()
	})
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.in.Run(ctx, r.emit) }()
	r.cancel = cancel
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		done <- nil
	}
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	r.mu.Lock()
	full := r.full
	r.mu.Unlock()
	if full {
		r.came <- true
		<-ctx.Done()
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range b.Records {
		r.bodies = append(r.bodies, rec.Body)
	}
	r.origins = append(r.origins, b.Origin)
	if r.hold {
		r.open = append(r.open, b.Done)
	} else {
		b.Done()
	}
	r.came <- true
	return nil
}

func (r *rig) set(hold, full bool) {
	r.mu.Lock()
	r.hold, r.full = hold, full
	r.mu.Unlock()
}

// release finishes what is held.
func (r *rig) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, done := range r.open {
		done()
	}
	r.open = nil
}

func (r *rig) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.bodies
	r.bodies = nil
	return list
}

// post sends a body and returns status and text of the answer.
func (r *rig) post(body string, headers ...string) (int, string, http.Header) {
	status, text, h, err := r.try(body, headers...)
	if err != nil {
		r.t.Error(err)
	}
	return status, text, h
}

func (r *rig) try(body string, headers ...string) (int, string, http.Header, error) {
	method, path := "POST", "/events"
	req, _ := http.NewRequest(method, r.url+path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		switch headers[i] {
		case "method":
			req.Method = headers[i+1]
		case "path":
			req.URL.Path = headers[i+1]
		default:
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, err
}

func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func TestBodies(t *testing.T) {
	r := start(t, engine.Values{"paths": []string{"/more"}})
	for _, tc := range []struct {
		body string
		want []string
	}{
		{`{"a":1}`, []string{`{"a":1}`}},
		{"{\"a\":1}\r\n\n {\"b\":2} \n", []string{`{"a":1}`, `{"b":2}`}},
		{`[{"a":1}, {"b":[1,{"c":2}]} ]`, []string{`{"a":1}`, `{"b":[1,{"c":2}]}`}},
		{"\uFEFF [\n{\n\"a\":\n1}]\n", []string{"{ \"a\": 1}"}},
		{"{\n  \"a\": 1,\n  \"b\": \"x\\ny\"\n}\n", []string{`{   "a": 1,   "b": "x\ny" }`}},
		{"", nil}, {" \n ", nil}, {"[]", nil},
	} {
		for _, packed := range []bool{false, true} {
			body, headers := tc.body, []string{"path", "/more"}
			if packed {
				body, headers = zip(body), []string{"Content-Encoding", "gzip"}
			}
			status, text, _ := r.post(body, headers...)
			if got := r.taken(); status != 200 || !slices.Equal(got, tc.want) || text != fmt.Sprintf("{\"events\":%d}\n", len(tc.want)) {
				t.Errorf("%q: %d %s %q", tc.body, status, text, got)
			}
		}
	}
	if r.origins[0] != "http://127.0.0.1/more" {
		t.Error(r.origins[0])
	}
}

// TestRefused: what is refused says why, and no event of it is taken.
func TestRefused(t *testing.T) {
	r := start(t, engine.Values{"max_body": int64(1024)})
	long := `{"a":"` + strings.Repeat("x", 1100) + `"}`
	for _, tc := range []struct {
		name, body string
		headers    []string
		status     int
		want       string
	}{
		{"line 3", "{}\n{\"a\":1}\n{\"a\":}\n{}", nil, 400, "line 3: invalid JSON at byte 5"},
		{"cut", "{}\n{\"a\":", nil, 400, "line 2: invalid JSON"},
		{"no object", "{}\n[1]\n", nil, 400, "line 2: it is JSON, but no object"},
		{"array", "[\n{},\n{]\n", nil, 400, "line 3: invalid JSON"},
		{"array of numbers", "[{},\n1]", nil, 400, "line 2: element 2 of the array is no object"},
		{"text", "hello", nil, 400, "line 1: invalid JSON"},
		{"too long", long, nil, 413, "longer than 1024 bytes"},
		{"bomb", zip(strings.Repeat(" ", 10<<20)), []string{"Content-Encoding", "gzip"}, 413, "longer than 1024 bytes"},
		{"no gzip", "{}", []string{"Content-Encoding", "gzip"}, 400, "no gzip"},
		{"half a gzip", zip(`{"a":1}`)[:20], []string{"Content-Encoding", "gzip"}, 400, "could not be read"},
		{"deflate", "{}", []string{"Content-Encoding", "deflate"}, 415, "want gzip"},
		{"path", "{}", []string{"path", "/other"}, 404, "no events"},
		{"method", "", []string{"method", "GET"}, 405, "POST"},
		{"a page in a browser", "{}", []string{"Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, ""},
	} {
		status, text, _ := r.post(tc.body, tc.headers...)
		if got := r.taken(); status != tc.status || !strings.Contains(text, tc.want) || len(got) > 0 {
			t.Errorf("%s: got %d %s, taken %q, want %d %s", tc.name, status, text, got, tc.status, tc.want)
		}
	}
	if status, _, _ := r.post(`{"a":"` + strings.Repeat("x", 1016) + `"}`); status != 200 {
		t.Errorf("1024 bytes: %d", status)
	}
	chunked, _ := http.NewRequest("POST", r.url+"/events", io.MultiReader(strings.NewReader(long)))
	resp, err := http.DefaultClient.Do(chunked)
	if err != nil || resp.StatusCode != 413 {
		t.Error(resp, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if n := r.counters.NonZero(); len(n) != 1 || n[0].N != 14 {
		t.Error(n)
	}
}

func TestAuthorization(t *testing.T) {
	for kind, right := range map[string][]string{"basic": {"Authorization", "Basic dTpwOnE="}, "bearer": {"Authorization", "Bearer u:p:q"}, "header": {"X-API-Key", "u:p:q"}} {
		r := start(t, engine.Values{"auth": kind, "auth_token": "u:p:q"})
		for _, headers := range [][]string{nil, {"Authorization", "Basic dTpw"}, {"Authorization", "Bearer x"}, {"X-API-Key", "U:p:q"}, {"Authorization", "u:p:q"}} {
			if status, _, h := r.post("{}", headers...); status != 401 || h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s, %v: got %d", kind, headers, status)
			}
		}
		if status, _, _ := r.post("{}", right...); status != 200 || len(r.taken()) != 1 {
			t.Errorf("%s: got %d", kind, status)
		}
	}
}

// TestAnswerComesWhenEventsAreFinished: not before all batches of the request are.
func TestAnswerComesWhenEventsAreFinished(t *testing.T) {
	r := start(t, nil)
	r.set(true, false)
	answer := make(chan int, 1)
	go func() { status, _, _ := r.post(strings.Repeat("{}\n", part+1)); answer <- status }()
	<-r.came
	<-r.came
	r.mu.Lock()
	first, last := r.open[0], r.open[1]
	r.open = nil
	r.mu.Unlock()
	last()
	select {
	case status := <-answer:
		t.Fatalf("answered %d before the first batch was finished", status)
	case <-time.After(50 * time.Millisecond):
	}
	first()
	if status := <-answer; status != 200 || len(r.taken()) != part+1 {
		t.Error(status)
	}
}

func TestAckReceived(t *testing.T) {
	r := start(t, engine.Values{"ack": "received"})
	r.set(true, false)
	if status, _, _ := r.post("{}"); status != 200 {
		t.Error(status)
	}
}

func TestEventsThatAreNotDelivered(t *testing.T) {
	r := start(t, engine.Values{"ack_timeout": 100 * time.Millisecond})
	r.set(true, false)
	if status, text, h := r.post("{}"); status != 503 || h.Get("Retry-After") == "" || !strings.Contains(text, "not delivered yet") {
		t.Error(status, text)
	}
	r.release() // late: nobody is there any more
}

func TestNoRoom(t *testing.T) {
	r := start(t, engine.Values{"wait": 500 * time.Millisecond})
	r.set(false, true)
	if status, text, h := r.post("{}"); status != 429 || h.Get("Retry-After") != "1" {
		t.Error(status, text, h)
	}
	r.set(false, false)
	if status, _, _ := r.post("{}"); status != 200 {
		t.Error(status)
	}
}

// TestMemoryIsBounded: bodies above max_held wait, and are taken when there is room again.
func TestMemoryIsBounded(t *testing.T) {
	r := start(t, engine.Values{"max_body": int64(4096), "max_held": int64(4096), "wait": 500 * time.Millisecond})
	r.set(true, false)
	large := `{"a":"` + strings.Repeat("x", 3000) + `"}`
	answer := make(chan int, 1)
	go func() { status, _, _ := r.post(large); answer <- status }()
	<-r.came
	if status, _, _ := r.post(large); status != 429 {
		t.Error(status)
	}
	r.release()
	if status := <-answer; status != 200 {
		t.Error(status)
	}
	r.set(false, false)
	if status, _, _ := r.post(large); status != 200 {
		t.Error(status)
	}
}

// TestEnd: requests whose events are taken are answered, others are told to come again; then the same socket serves the next Run.
func TestEnd(t *testing.T) {
	r := start(t, nil)
	r.set(true, false)
	answer := make(chan int, 1)
	go func() { status, _, _ := r.post("{}"); answer <- status }()
	<-r.came
	r.cancel()
	r.release()
	if status := <-answer; status != 200 {
		t.Error(status)
	}
	r.stop()
	r.set(false, false)
	r.run()
	if status, _, _ := r.post("{}"); status != 200 {
		t.Error(status)
	}
}

func TestEndWhileThePipelineIsFull(t *testing.T) {
	r := start(t, engine.Values{"wait": time.Minute})
	r.set(false, true)
	answer := make(chan int, 1)
	go func() { status, _, _ := r.post("{}"); answer <- status }()
	<-r.came
	r.stop()
	if status := <-answer; status != 503 {
		t.Error(status)
	}
}

// TestClientsThatMisbehave: they cost their connection only.
func TestClientsThatMisbehave(t *testing.T) {
	r := start(t, engine.Values{"read_timeout": time.Second, "max_clients": int64(2)})
	for _, text := range []string{"", "GET", "POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"a\":1}", "\x16\x03\x01", "POST /events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		answer, err := io.ReadAll(bufio.NewReader(conn))
		if err != nil || strings.Contains(string(answer), "200 OK") {
			t.Errorf("%q: got %q, %v", text, answer, err)
		}
		conn.Close()
	}
	if got := r.taken(); len(got) > 0 {
		t.Errorf("taken %q", got)
	}
	if status, _, _ := r.post("{}"); status != 200 {
		t.Error(status)
	}
}

// TestUnwantedBodies: a client that is refused and does not send its body does not keep its connection.
func TestUnwantedBodies(t *testing.T) {
	r := start(t, engine.Values{"read_timeout": time.Second, "auth": "bearer", "auth_token": "x"})
	for _, text := range []string{"POST /events", "POST /none", "GET /events"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 40") {
			t.Errorf("%s: got %q, %v", text, answer, err)
		}
		conn.Close()
	}
}

func TestManyClients(t *testing.T) {
	r := start(t, engine.Values{"max_clients": int64(8)})
	var wg sync.WaitGroup
	for c := range 20 {
		wg.Go(func() {
			for i := range 10 {
				if status, _, _ := r.post(fmt.Sprintf("{\"c\":%d,\"i\":%d}\n{}", c, i)); status != 200 {
					t.Error(status)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.taken()); n != 400 {
		t.Errorf("got %d events", n)
	}
}

func TestRowsThatAreWrong(t *testing.T) {
	for _, tc := range []struct {
		address   string
		v         engine.Values
		key, want string
	}{
		{"", nil, "uri", "no address"},
		{"127.0.0.1/x", nil, "uri", "no address"},
		{":99999", nil, "uri", "no address"},
		{":80/a?b", nil, "uri", "no path"},
		{":80/a", engine.Values{"paths": []string{"b"}}, "paths", "no path"},
		{":80/a", engine.Values{"auth_token": "x"}, "auth", "missing"},
		{":80/a", engine.Values{"auth": "bearer"}, "auth_token", "missing"},
		{":80/a", engine.Values{"auth": "basic", "auth_token": "x"}, "auth_token", "user:password"},
		{":80/a", engine.Values{"tls_client_ca": "x"}, "tls_client_ca", "tls_cert"},
	} {
		_, err := New(params(tc.v, "http", tc.address, engine.NewCounters()))
		list := engine.ConfigErrors(err)
		if len(list) != 1 || list[0].Key != tc.key || !strings.Contains(list[0].Msg, tc.want) {
			t.Errorf("%s %v: got %v, want %s: %s", tc.address, tc.v, err, tc.key, tc.want)
		}
	}
	_, err := New(params(nil, "https", ":443/a", engine.NewCounters()))
	if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != "tls_cert" {
		t.Error(err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "{}", "[{}]", "{}\n{}", "[\n{\"a\":\n1}]", "{\n\"a\":1}", "[1]", "\uFEFF[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		records, err := split(s)
		if err != nil && records != nil {
			t.Fatal("records and an error")
		}
		for _, r := range records {
			if _, err := engine.NewEvent(r.Body); err != nil || strings.ContainsAny(r.Body, "\r\n") || r.Body[0] != '{' {
				t.Fatalf("%q is a record of %q: %v", r.Body, s, err)
			}
		}
	})
}
