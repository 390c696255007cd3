// Package sinktest is what the tests of outputs over HTTP have in common: a row, a server with faults, the engine's side.
package sinktest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"dragonfly/engine"
	"dragonfly/test/rig"
)

// Params is a row with the defaults of its kind. counters may be nil.
func Params(kind engine.OutputKind, uri string, options engine.Values, counters *engine.Counters) engine.Params {
	v := engine.Values{}
	for _, o := range kind.Options {
		v[o.Key] = o.Default
	}
	for key, value := range options {
		if _, ok := v[key]; !ok {
			panic("BUG: the kind has no option " + key)
		}
		v[key] = value
	}
	if counters == nil {
		counters = engine.NewCounters()
	}
	scheme, address, _ := engine.SplitURI(uri)
	return engine.Params{Tag: "out", Version: "1.2", Roots: x509.NewCertPool(), URI: uri, Scheme: scheme, Address: address, Options: v, Log: slog.New(slog.DiscardHandler),
		Counter: counters.Of("output", "out"), Dial: (&net.Dialer{}).DialContext}
}

// New makes an output, with a timeout that is good for tests.
func New(t *testing.T, kind engine.OutputKind, uri string, options engine.Values, counters *engine.Counters) engine.Output {
	t.Helper()
	v := engine.Values{"timeout": 30 * time.Second}
	for key, value := range options {
		v[key] = value
	}
	out, err := kind.New(Params(kind, uri, v, counters))
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

// Refused wants New to refuse a row with these words at this key.
func Refused(t *testing.T, kind engine.OutputKind, uri string, options engine.Values, key, want string) {
	t.Helper()
	_, err := kind.New(Params(kind, uri, options, nil))
	for _, ce := range engine.ConfigErrors(err) {
		if ce.Key == key && strings.Contains(ce.Msg, want) {
			return
		}
	}
	t.Errorf("%s %v: got %v, want %s: %q", uri, options, err, key, want)
}

// Events makes events of bodies.
func Events(t *testing.T, bodies ...string) []engine.Event {
	t.Helper()
	return rig.Events(t, bodies...)
}

// Outcome is what became of events.
type Outcome struct {
	Delivered, Rejected []string // bodies, in order
	Reasons, Errors     []error
}

// Deliver writes events as the engine does, without its pauses, until all have a fate.
func Deliver(t *testing.T, out engine.Output, events []engine.Event) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var o Outcome
	for len(events) > 0 {
		n, err := out.Write(ctx, events)
		for _, ev := range events[:n] {
			o.Delivered = append(o.Delivered, ev.Body)
		}
		events = events[n:]
		var rejected *engine.RejectError
		switch {
		case err == nil && n == 0:
			t.Fatal("nothing was written, and there was no error")
		case errors.As(err, &rejected):
			o.Rejected, o.Reasons = append(o.Rejected, events[0].Body), append(o.Reasons, rejected)
			events = events[1:]
		case err != nil:
			o.Errors = append(o.Errors, err)
		}
		if ctx.Err() != nil || len(o.Errors) > 1000 {
			t.Fatalf("no end: %v", o.Errors[max(0, len(o.Errors)-3):])
		}
	}
	return o
}

// Request is what the server got, its body unpacked.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         string
	Packed       bool
}

// Server answers requests with a function, or with a fault.
type Server struct {
	*httptest.Server
	answer   http.HandlerFunc
	mu       sync.Mutex
	requests []Request
	faults   []Fault
}

// Fault is done instead of an answer.
type Fault func(w http.ResponseWriter, r *http.Request)

// Serve starts a server. answer reads the unpacked body.
func Serve(t *testing.T, answer http.HandlerFunc) *Server {
	s := &Server{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	packed := r.Header.Get("Content-Encoding") == "gzip"
	if packed && err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(strings.NewReader(string(b))); err == nil {
			b, err = io.ReadAll(z)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.Query(), r.Header, string(b), packed})
	var f Fault
	if len(s.faults) > 0 {
		f, s.faults = s.faults[0], s.faults[1:]
	}
	s.mu.Unlock()
	if f != nil {
		f(w, r)
		return
	}
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	s.answer(w, r)
}

// Next makes the server answer the next requests with faults.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Requests returns what the server got since the last call.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.requests
	s.requests = nil
	return list
}

// Address is what follows "scheme://" in a uri.
func (s *Server) Address() string { return strings.TrimPrefix(s.URL, "http://") }

// Status answers with a status, headers (name and value by turns) and the last of more as the body.
func Status(code int, body string, headers ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// Reset ends the connection without an answer.
func Reset(w http.ResponseWriter, _ *http.Request) {
	conn := hijack(w)
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// Half answers 200 with less than it promises.
func Half(w http.ResponseWriter, _ *http.Request) {
	conn := hijack(w)
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"items\":[")
	conn.Close()
}

// Garbage answers something that is not HTTP.
func Garbage(w http.ResponseWriter, _ *http.Request) {
	conn := hijack(w)
	fmt.Fprint(conn, "SSH-2.0-OpenSSH\r\n")
	conn.Close()
}

// Silence does not answer before the client goes.
func Silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	return conn
}
