package remote

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"dragonfly/test/parts"
)

func TestUnixSocketAndTCP(t *testing.T) {
	for _, s := range []*server{newServer(t), newTCP(t)} {
		c := s.client(t, 0).Session()
		steps(t, c, "SET k v", "+OK", "GET k", `"v"`, "INCR n", ":1", "GET missing", "nil")
		if got := s.CLI("GET", "k"); got != "v" {
			t.Errorf("%s: redis-cli got %q", s.addr, got)
		}
	}
}

func TestUserAndPassword(t *testing.T) {
	s := newTCP(t, words("--user default off --user ann on >secret ~* +@all --user bob on >hop ~* +get --user eve off >x")...)
	c := newClient(t, Options{Addrs: []string{s.addr}, User: "ann", Password: "secret"})
	steps(t, c.Session(), "SET k v", "+OK", "GET k", `"v"`)
	for _, o := range []Options{{User: "ann", Password: "wrong"}, {User: "nobody", Password: "secret"}, {Password: "secret"}, {User: "eve", Password: "x"}, {}} {
		o.Addrs, o.Wait = []string{s.addr}, time.Minute
		c := newClient(t, o)
		within(t, time.Second, "a wrong password", func() {
			got := do(c.Session(), "GET", "k")
			if !strings.HasPrefix(got, "error: redis "+s.addr) || !strings.Contains(got, "redis_password") || strings.Contains(got, "secret") {
				t.Errorf("%s %s: got %s", o.User, o.Password, got)
			}
		})
		within(t, time.Second, "a wrong password in a pipeline", func() {
			if _, err := c.Session().Pipeline([][]string{{"GET", "k"}, {"GET", "k"}}); err == nil || !strings.Contains(err.Error(), "redis_password") {
				t.Errorf("%s %s: got %v", o.User, o.Password, err)
			}
		})
	}
	bob := newClient(t, Options{Addrs: []string{s.addr}, User: "bob", Password: "hop", Wait: time.Minute}).Session()
	if got := do(bob, "GET", "k"); got != `"v"` {
		t.Errorf("bob: got %s", got)
	}
	if got := do(bob, "SET", "k", "v"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("bob: got %s", got)
	}
	plain := newTCP(t, "--requirepass", "secret")
	steps(t, newClient(t, Options{Addrs: []string{plain.addr}, Password: "secret"}).Session(), "PING", "+PONG")
	open := newTCP(t)
	within(t, time.Second, "a password that the server does not want", func() {
		got := do(newClient(t, Options{Addrs: []string{open.addr}, User: "ann", Password: "x", Wait: time.Minute}).Session(), "PING")
		if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "redis_password") {
			t.Errorf("got %s", got)
		}
	})
}

func TestDatabase(t *testing.T) {
	s := newServer(t, "--databases", "4")
	two := newClient(t, Options{Addrs: []string{s.addr}, DB: 2})
	steps(t, two.Session(), "SET k two", "+OK")
	if got := s.CLI("-n", "2", "GET", "k") + s.CLI("EXISTS", "k"); got != "two0" {
		t.Errorf("got %s", got)
	}
	within(t, time.Second, "a wrong database", func() {
		if got := do(newClient(t, Options{Addrs: []string{s.addr}, DB: 9, Wait: time.Minute}).Session(), "PING"); !strings.Contains(got, "redis_database") {
			t.Errorf("got %s", got)
		}
	})
	if got := do(two.Session(), "SELECT", "1"); !strings.Contains(got, "redis_database") {
		t.Errorf("SELECT: got %s", got)
	}
	steps(t, two.Session(), "GET k", `"two"`)
}

func TestTLS(t *testing.T) {
	dir := parts.ShortDir(t)
	pool := certificates(t, dir, "localhost", "127.0.0.1")
	port := parts.FreePort(t)
	s := newServer(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", dir+"/cert.pem", "--tls-key-file", dir+"/cert.key",
		"--tls-ca-cert-file", dir+"/ca.pem", "--tls-auth-clients", "no")
	addr := "127.0.0.1:" + port
	c := newClient(t, Options{Addrs: []string{addr}, TLS: &tls.Config{RootCAs: pool}})
	steps(t, c.Session(), "SET k v", "+OK", "GET k", `"v"`)
	steps(t, newClient(t, Options{Addrs: []string{"localhost:" + port}, TLS: &tls.Config{RootCAs: pool}}).Session(), "GET k", `"v"`)

	other := certificates(t, parts.ShortDir(t), "localhost")
	elsewhere := certificates(t, parts.ShortDir(t), "redis.example")
	for name, o := range map[string]Options{
		"another authority": {TLS: &tls.Config{RootCAs: other}},
		"no authority":      {TLS: &tls.Config{RootCAs: x509.NewCertPool()}},
		"wrong name":        {TLS: &tls.Config{RootCAs: pool, ServerName: "redis.example"}},
		"wrong both":        {TLS: &tls.Config{RootCAs: elsewhere}},
	} {
		o.Addrs, o.Wait = []string{addr}, time.Minute
		within(t, time.Second, name, func() {
			got := do(newClient(t, o).Session(), "PING")
			if !strings.Contains(got, "certificate") || !strings.Contains(got, "redis_ca") {
				t.Errorf("%s: got %s", name, got)
			}
		})
	}
	plain := newTCP(t)
	within(t, time.Second, "TLS to a server without", func() { // which waits for more
		got := do(newClient(t, Options{Addrs: []string{plain.addr}, TLS: &tls.Config{RootCAs: pool}, Timeout: 300 * time.Millisecond}).Session(), "PING")
		if !strings.Contains(got, "TLS handshake") {
			t.Errorf("got %s", got)
		}
	})
	// idle connections that the server closed are not seen, even without patience
	s.CLI("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	steps(t, c.Session(), "GET k", `"v"`)
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"h", "[h:6379] 0  false"}, {"h:1", "[h:1] 0  false"}, {"/run/r.sock", "[/run/r.sock] 0  false"}, {"::1", "[[::1]:6379] 0  false"}, {"[::1]:5", "[[::1]:5] 0  false"},
		{"a:1, b ,c:3", "[a:1 b:6379 c:3] 0  false"}, {"redis://h/3", "[h:6379] 3  false"}, {"redis://ann:p%40ss@h:7/0", "[h:7] 0 ann/p@ss false"},
		{"rediss://:pw@h", "[h:6379] 0 /pw true"}, {"unix:///x/y?db=4", "[/x/y] 4  false"}, {"redis://a:1,b:2", "[a:1 b:2] 0  false"},
	} {
		var o Options
		err := ParseAddress(tc.in, &o)
		auth := ""
		if o.User+o.Password != "" {
			auth = o.User + "/" + o.Password
		}
		if got := fmt.Sprintf("%v %d %s %v", o.Addrs, o.DB, auth, o.TLS != nil); err != nil || got != tc.want {
			t.Errorf("%s: got %s, %v; want %s", tc.in, got, err, tc.want)
		}
	}
	for _, in := range []string{"", "a,,b", "http://h", "redis://h/x", "redis://h/-1", "redis://", "unix://", "redis://u:geheim@h:%zz", "unix:///x?db=a"} {
		if err := ParseAddress(in, &Options{}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: got %v", in, err)
		}
	}
}
