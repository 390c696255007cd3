package http

import (
	"context"
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

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }

func numbered(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"n":%d}`, i))
	}
	return list
}

func TestImmediate(t *testing.T) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address()+"/hook?a=1", engine.Values{"headers": `{"X-Sensor":"one"}`, "auth": "header", "auth_token": "secret"}, nil)
	if o := sinktest.Deliver(t, out, sinktest.Events(t, `{"n":1}`, `[2]`)); len(o.Delivered) != 2 || len(o.Errors) > 0 {
		t.Error(o)
	}
	list := s.Requests()
	if len(list) != 2 || list[0].Body != `{"n":1}` || list[1].Body != `[2]` {
		t.Fatalf("got %+v", list)
	}
	r := list[0]
	for name, want := range map[string]string{"User-Agent": "Dragonfly/1.2", "Content-Type": "application/json", "X-Sensor": "one", "X-Api-Key": "secret", "Authorization": ""} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if r.Method != "POST" || r.Path != "/hook" || r.Query.Get("a") != "1" || r.Packed {
		t.Errorf("got %+v", r)
	}
}

func TestAuthorization(t *testing.T) {
	s := sinktest.Serve(t, ok)
	for kind, want := range map[string]string{"basic": "Basic dTpwOnE=", "bearer": "Bearer u:p:q", "api_key": "ApiKey u:p:q"} {
		out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"auth": kind, "auth_token": "u:p:q"}, nil)
		sinktest.Deliver(t, out, sinktest.Events(t, `{}`))
		if got := s.Requests()[0].Header.Get("Authorization"); got != want {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
}

func TestBulkFormats(t *testing.T) {
	s := sinktest.Serve(t, ok)
	for format, want := range map[string][2]string{
		"":       {`[{"n":0},{"n":1}]`, "application/json"},
		"array":  {`[{"n":0},{"n":1}]`, "application/json"},
		"ndjson": {"{\"n\":0}\n{\"n\":1}\n", "application/x-ndjson"},
		"text":   {"n is 0, -\nn is 1, -\n", "text/plain; charset=utf-8"},
	} {
		v := engine.Values{"mode": "bulk", "format": format, "bulk_size": int64(2), "gzip": true}
		if format == "text" {
			v["template"] = "n is {n}, {none}"
		}
		out := sinktest.New(t, Kind, "http://"+s.Address(), v, nil)
		sinktest.Deliver(t, out, sinktest.Events(t, numbered(5)...))
		list := s.Requests()
		if len(list) != 3 || list[0].Body != want[0] || list[0].Header.Get("Content-Type") != want[1] || !list[0].Packed {
			t.Errorf("%s: got %+v", format, list)
		}
	}
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "bulk", "bulk_bytes": int64(15)}, nil)
	sinktest.Deliver(t, out, sinktest.Events(t, `{"n":1}`, `{"n":2}`, `{"long":"`+strings.Repeat("x", 50)+`"}`, `{"n":3}`))
	var sizes []int
	for _, r := range s.Requests() {
		sizes = append(sizes, len(r.Body))
	}
	if fmt.Sprint(sizes) != "[17 63 9]" {
		t.Errorf("got requests of %v bytes", sizes)
	}
}

// TestOutages: whatever the server does, every event comes, in order, and nothing goes to the dead letter.
func TestOutages(t *testing.T) {
	for _, mode := range []string{"immediate", "bulk"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			testOutages(t, mode)
		})
	}
}

func testOutages(t *testing.T, mode string) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": mode, "bulk_size": int64(3), "timeout": 10 * time.Second}, nil) // silence lasts so long, a busy server must not
	s.Next(nil, sinktest.Reset, sinktest.Status(503, "busy"), sinktest.Garbage, sinktest.Status(429, "", "Retry-After", "0.01"), nil, sinktest.Silence,
		sinktest.Status(401, "who?"), sinktest.Status(404, ""), sinktest.Status(408, ""), sinktest.Status(425, ""), sinktest.Status(302, "", "Location", "http://169.254.169.254/latest"), sinktest.Status(500, ""))
	o := sinktest.Deliver(t, out, sinktest.Events(t, numbered(10)...))
	if strings.Join(o.Delivered, "") != strings.Join(numbered(10), "") || len(o.Rejected) > 0 {
		t.Errorf("got %v", o)
	}
	text := fmt.Sprint(o.Errors)
	for _, want := range []string{"503", "takes no more at the moment", "within 10s", "does not let us in", "correct the path", "408", "425", "sends us elsewhere to http://169.254.169.254", "500", "does not talk HTTP"} {
		if !strings.Contains(text, want) {
			t.Errorf("no error with %q in %s", want, text)
		}
	}
	if strings.Contains(text, "latest") {
		t.Error("a path is in an error: it may be a secret", text)
	}
}

func TestServerThatIsAwayAndComesBack(t *testing.T) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address(), nil, nil)
	sinktest.Deliver(t, out, sinktest.Events(t, `{"n":1}`))
	address := s.Listener.Addr().String()
	s.Close()
	if n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":2}`)); n != 0 || err == nil {
		t.Fatal(n, err)
	}
	again := &http.Server{Addr: address, Handler: http.HandlerFunc(ok)}
	defer again.Close()
	go again.ListenAndServe()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":2}`)); n == 1 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestOneWrongEvent: of a request that is refused only the wrong events go to the dead letter.
func TestOneWrongEvent(t *testing.T) {
	got := map[string]int{}
	s := sinktest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var list []json.RawMessage
		if json.Unmarshal(b, &list) != nil || len(list) > 50 {
			w.WriteHeader(413)
			return
		}
		if strings.Contains(string(b), `"n":7}`) || strings.Contains(string(b), `"n":99}`) {
			http.Error(w, "n must not end in seven", http.StatusUnprocessableEntity)
			return
		}
		for _, e := range list {
			got[string(e)]++
		}
	})
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "bulk"}, nil)
	o := sinktest.Deliver(t, out, sinktest.Events(t, numbered(300)...))
	if strings.Join(o.Rejected, " ") != `{"n":7} {"n":99}` || len(o.Delivered) != 298 || len(o.Errors) > 0 {
		t.Errorf("rejected %v, errors %v, %d delivered", o.Rejected, o.Errors, len(o.Delivered))
	}
	for _, e := range o.Delivered {
		if got[e] != 1 {
			t.Errorf("%s came %d times", e, got[e])
		}
	}
	if !strings.Contains(o.Reasons[0].Error(), "n must not end in seven") {
		t.Error(o.Reasons)
	}
}

func TestRetryAfter(t *testing.T) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"retry_after_max": 10 * time.Minute}, nil)
	s.Next(sinktest.Status(429, "", "Retry-After", "3600"))
	events := sinktest.Events(t, `{}`)
	if _, err := out.Write(t.Context(), events); err == nil {
		t.Fatal("no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := out.Write(ctx, events); done <- err }()
	cancel() // the pause is interrupted
	if err := <-done; err == nil || len(s.Requests()) != 1 {
		t.Error("it did not wait", err)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	s := sinktest.Serve(t, ok)
	for _, v := range []engine.Values{{}, {"mode": "periodic", "interval": time.Hour}} {
		out := sinktest.New(t, Kind, "http://"+s.Address(), v, nil)
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan bool, 1)
		if len(v) == 0 {
			s.Next(func(w http.ResponseWriter, r *http.Request) { asked <- true; sinktest.Silence(w, r) })
		} else {
			sinktest.Deliver(t, out, sinktest.Events(t, `{}`)) // the next is in an hour
			asked <- true
		}
		done := make(chan error, 1)
		go func() { _, err := out.Write(ctx, sinktest.Events(t, `{}`)); done <- err }()
		<-asked
		cancel()
		if err := <-done; err == nil {
			t.Error("no error")
		}
	}
}

func TestPeriodic(t *testing.T) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "periodic", "interval": 50 * time.Millisecond, "rate": int64(4)}, nil)
	began := time.Now()
	sinktest.Deliver(t, out, sinktest.Events(t, numbered(10)...))
	list := s.Requests()
	if len(list) != 3 || list[2].Body != `[{"n":8},{"n":9}]` || time.Since(began) < 100*time.Millisecond {
		t.Errorf("got %+v after %v", list, time.Since(began))
	}
}

func TestFilters(t *testing.T) {
	s := sinktest.Serve(t, ok)
	counters := engine.NewCounters()
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "bulk", "format": "ndjson",
		"filters": `[{"attribute":"alert.severity","values":[1,2.5]},{"attribute":"event_type","values":["dns"]},{"attribute":"on","values":[true]},{"attribute":"text","values":["7"]}]`}, counters)
	pass := []string{`{"alert":{"severity":1}}`, `{"alert":{"severity":2.50}}`, `{"event_type":"dns","x":1}`, `{"alert.severity":"1"}`, `{"on":true}`, `{"text":7}`}
	stay := []string{`{"alert":{"severity":3}}`, `{"event_type":"DNS"}`, `{"event_type":null}`, `[1]`, `{"on":"yes"}`, `{}`, `{"alert":1}`}
	var all []string
	for i := range max(len(pass), len(stay)) {
		all = append(all, stay[i:min(i+1, len(stay))]...)
		if i < len(pass) {
			all = append(all, pass[i])
		}
	}
	if o := sinktest.Deliver(t, out, sinktest.Events(t, all...)); len(o.Delivered) != len(all) {
		t.Error(o)
	}
	got := ""
	for _, r := range s.Requests() {
		got += r.Body
	}
	if got != strings.Join(pass, "\n")+"\n" {
		t.Errorf("got %s", got)
	}
	if c := counters.NonZero(); len(c) != 1 || c[0].N != int64(len(stay)) {
		t.Error(c)
	}
}

func TestRowsThatAreWrong(t *testing.T) {
	for _, tc := range []struct {
		uri       string
		v         engine.Values
		key, want string
	}{
		{"http://", nil, "uri", "names no host"},
		{"http://:80", nil, "uri", "names no host"},
		{"http://a:0/", nil, "uri", "port"},
		{"http://a:70000/", nil, "uri", "port"},
		{"http://u:p@a/", nil, "uri", "auth_token"},
		{"http://a/#x", nil, "uri", "#"},
		{"http://a b/", nil, "uri", "no address"},
		{"http://a", engine.Values{"tls_insecure": true}, "uri", "want https://"},
		{"http://a", engine.Values{"auth": "basic", "auth_token": "x"}, "auth_token", "user:password"},
		{"http://a", engine.Values{"auth": "bearer"}, "auth_token", "missing"},
		{"http://a", engine.Values{"auth_token": "x"}, "auth", "missing"},
		{"http://a", engine.Values{"auth": "bearer", "auth_token": "a\nb"}, "auth_token", "line end"},
		{"http://a", engine.Values{"auth": "header", "auth_token": "a", "auth_header": "a b"}, "auth_header", "no name"},
		{"http://a", engine.Values{"headers": `{"a b":"c"}`}, "headers", "no header"},
		{"http://a", engine.Values{"headers": `{"a":["c"]}`}, "headers", "no table"},
		{"http://a", engine.Values{"headers": `{"content-length":"1"}`}, "headers", "itself"},
		{"http://a", engine.Values{"proxy": "a:b"}, "proxy", "no address"},
		{"http://a", engine.Values{"mode": "bulk", "format": "json"}, "format", "one event"},
		{"http://a", engine.Values{"format": "text"}, "template", "missing"},
		{"http://a", engine.Values{"template": "x"}, "template", "format is"},
		{"http://a", engine.Values{"format": "text", "template": "{x"}, "template", "not closed"},
		{"http://a", engine.Values{"filters": `{"attribute":"x"}`}, "filters", "no list"},
		{"http://a", engine.Values{"filters": `[{"attribute":"x"}]`}, "filters", "values"},
		{"http://a", engine.Values{"filters": `[{"values":["x"]}]`}, "filters", "attribute"},
		{"http://a", engine.Values{"filters": `[{"attribute":"x","values":["x"],"not":1}]`}, "filters", "other keys"},
		{"http://a", engine.Values{"filters": `[{"attribute":"x","values":[["x"]]}]`}, "filters", "no text"},
	} {
		kind := Kind
		sinktest.Refused(t, kind, tc.uri, tc.v, tc.key, tc.want)
	}
}

func TestSecretPathIsNotShown(t *testing.T) {
	s := sinktest.Serve(t, ok)
	out := sinktest.New(t, Kind, "http://"+s.Address()+"/api", engine.Values{"path": "/webhooks/1/s3cr3t?x=y"}, nil)
	s.Next(sinktest.Reset, sinktest.Status(404, "no"))
	o := sinktest.Deliver(t, out, sinktest.Events(t, `{}`))
	if strings.Contains(fmt.Sprint(o.Errors), "s3cr3t") || len(o.Errors) != 2 {
		t.Error(o.Errors)
	}
	if r := s.Requests()[0]; r.Path != "/api/webhooks/1/s3cr3t" || r.Query.Get("x") != "y" {
		t.Errorf("got %+v", r)
	}
}

func TestPorts(t *testing.T) {
	for uri, want := range map[string]string{"http://a": "[{80 false}] false", "https://a/x": "[{443 false}] false", "http://[::1]:8080": "[{8080 false}] false"} {
		kind := Kind
		if strings.HasPrefix(uri, "https") {
			kind = SecureKind
		}
		out := sinktest.New(t, kind, uri, nil, nil)
		if got := fmt.Sprint(out.(engine.PortUser).Ports()); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
	out := sinktest.New(t, Kind, "http://a", engine.Values{"proxy": "http://p:3128"}, nil)
	if got := fmt.Sprint(out.(engine.PortUser).Ports()); got != "[{3128 false}] false" {
		t.Error(got)
	}
}
