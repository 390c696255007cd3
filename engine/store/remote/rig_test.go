package remote

import (
	"crypto/x509"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/store"
	"dragonfly/test/parts"
)

// server is a redis-server of one test.
type server struct {
	*parts.Redis
	addr string // what a Client dials: the path of its socket, unless it listens to TCP
}

// newServer starts a redis-server on a unix socket, with more arguments.
func newServer(t testing.TB, args ...string) *server {
	s := parts.NewRedis(t, args...)
	return &server{s, s.Socket()}
}

// newTCP starts a redis-server on a free port of 127.0.0.1.
func newTCP(t testing.TB, args ...string) *server {
	port := parts.FreePort(t)
	s := newServer(t, append([]string{"--port", port, "--bind", "127.0.0.1"}, args...)...)
	s.addr = "127.0.0.1:" + port
	return s
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// client returns a Client of s that waits for it.
func (s *server) client(t testing.TB, wait time.Duration) *Client {
	return newClient(t, Options{Addrs: []string{s.addr}, Wait: wait, Timeout: 2 * time.Second})
}

// show returns a reply as text, with its kind.
func show(r store.Reply, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	switch r.Kind {
	case store.Nil:
		return "nil"
	case store.Status:
		return "+" + r.Str
	case store.Error:
		return "-" + r.Str
	case store.Int:
		return fmt.Sprintf(":%d", r.Int)
	case store.Bulk:
		return strconv.Quote(r.Str)
	}
	var parts []string
	for _, e := range r.Elems {
		parts = append(parts, show(e, nil))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func do(s store.Session, args ...string) string { return show(s.Do(args)) }

// steps carries out command lines and compares the replies.
func steps(t testing.TB, s store.Session, list ...string) {
	t.Helper()
	for i := 0; i < len(list); i += 2 {
		if got := do(s, strings.Fields(list[i])...); got != list[i+1] {
			t.Fatalf("%s: got %s, want %s", list[i], got, list[i+1])
		}
	}
}

// within fails the test if f takes longer than limit, and returns how long it took.
func within(t testing.TB, limit time.Duration, what string, f func()) time.Duration {
	t.Helper()
	start := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit + 20*time.Second):
		t.Fatalf("%s does not end", what)
	}
	took := time.Since(start)
	const slack = 10 * time.Second // what a busy machine takes; the waits that must not happen are longer
	if took > limit+slack {
		t.Errorf("%s took %v, want %v, and at most %v more", what, took, limit, slack)
	}
	return took
}

// certificates writes an authority's certificate ca.pem, and cert.pem and cert.key for a server of the given names, into dir.
func certificates(t testing.TB, dir string, names ...string) *x509.CertPool {
	t.Helper()
	ca := parts.Certify(t, nil)
	ca.Write(t, dir, "ca")
	parts.Certify(t, ca, names...).Write(t, dir, "cert")
	return ca.Pool()
}
