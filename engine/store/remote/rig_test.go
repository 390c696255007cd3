package remote

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine/store"
)

// server is a redis-server of one test.
type server struct {
	t    testing.TB
	dir  string
	args []string
	addr string // what a Client dials: the path of its socket, unless it listens to TCP
	cmd  *exec.Cmd
	done chan struct{}
}

// needs skips the test, by name of the part, where a program that it uses is missing.
func needs(t testing.TB, program string) {
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", program)
		}
		t.Skipf("%s is missing", program)
	}
}

// newServer starts a redis-server on a unix socket, with more arguments.
func newServer(t testing.TB, args ...string) *server {
	needs(t, "redis-server")
	s := &server{t: t, dir: shortDir(t)}
	s.addr = filepath.Join(s.dir, "s")
	s.args = append([]string{"--port", "0", "--unixsocket", s.addr, "--unixsocketperm", "700", "--dir", s.dir, "--save", "", "--daemonize", "no"}, args...)
	s.start()
	return s
}

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "rr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newTCP starts a redis-server on a free port of 127.0.0.1.
func newTCP(t testing.TB, args ...string) *server {
	port := freePort(t)
	s := newServer(t, append([]string{"--port", port, "--bind", "127.0.0.1"}, args...)...)
	s.addr = "127.0.0.1:" + port
	return s
}

func freePort(t testing.TB) string {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port < 50000 { // a cluster's bus is 10000 above
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts it (again) and waits for its own answer: the socket lies in its own directory.
func (s *server) start(more ...string) {
	s.t.Helper()
	name := "redis-server"
	args := append(s.args[:len(s.args):len(s.args)], more...)
	s.cmd = exec.Command(name, args...)
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	os.Remove(filepath.Join(s.dir, "s"))
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	cmd := s.cmd
	go func() { cmd.Wait(); close(done) }()
	s.done = done
	s.t.Cleanup(func() { cmd.Process.Kill(); <-done })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", filepath.Join(s.dir, "s")); err == nil {
			c.Close()
			return
		}
		select {
		case <-done:
			s.t.Fatalf("redis-server ended: %s", out.String())
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatal("redis-server does not start")
		}
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

func (s *server) signal(sig syscall.Signal) { s.cmd.Process.Signal(sig) }

// cli carries out a command through a connection of its own. When the connection breaks (Sentinel ends those of a server whose
// part it changes), the command is tried again.
func (s *server) cli(args ...string) string {
	s.t.Helper()
	for try := 0; ; try++ {
		out, err := exec.Command("redis-cli", append([]string{"-s", filepath.Join(s.dir, "s")}, args...)...).CombinedOutput()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
		broken := strings.Contains(err.Error(), "broken pipe") || strings.Contains(string(out), "Server closed the connection") || strings.Contains(string(out), "reset by peer")
		if !broken || try == 20 {
			s.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
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
func (s *server) client(wait time.Duration) *Client {
	return newClient(s.t, Options{Addrs: []string{s.addr}, Wait: wait, Timeout: 2 * time.Second})
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
	if took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
	return took
}

// journal collects what a Client logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) log() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// certificates writes an authority's certificate ca.pem, and cert.pem and key.pem for a server of the given names, into dir.
func certificates(t testing.TB, dir string, names []string, ips []net.IP) *x509.CertPool {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(name, kind string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey, srvKey := key(), key()
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, _ = x509.ParseCertificate(caDER)
	srv := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "test server"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, DNSNames: names, IPAddresses: ips}
	srvDER, err := x509.CreateCertificate(rand.Reader, srv, ca, &srvKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(srvKey)
	if err != nil {
		t.Fatal(err)
	}
	write("ca.pem", "CERTIFICATE", caDER)
	write("cert.pem", "CERTIFICATE", srvDER)
	write("key.pem", "PRIVATE KEY", keyDER)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}
