package store

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// listen returns a store that answers at a unix socket, and the socket's path.
func listen(t testing.TB) (*Store, *Server, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := open(t, Options{})
	path := filepath.Join(dir, "s")
	srv, err := s.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return s, srv, path
}

func dial(t testing.TB, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// talk sends text and returns what comes back until the server closes or want is there.
func talk(t testing.TB, path, text, want string) string {
	t.Helper()
	c := dial(t, path)
	defer c.Close()
	go io.WriteString(c, text)
	var got strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(got.String(), want) || want == "" {
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			break
		}
	}
	return got.String()
}

func TestListenerAnswers(t *testing.T) {
	_, _, path := listen(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	for _, tc := range []struct{ send, want string }{
		{"PING\r\n", "+PONG\r\n"}, {"PING\nECHO 'a b'\n", "+PONG\r\n$3\r\na b\r\n"}, {"*1\r\n$4\r\nPING\r\n", "+PONG\r\n"}, {"\r\n\r\nPING\r\n", "+PONG\r\n"},
		{"*0\r\nPING\r\n", "+PONG\r\n"}, {"*-1\r\nPING\r\n", "+PONG\r\n"}, {"ECHO \"\\x00\\n\"\r\n", "$2\r\n\x00\n\r\n"},
		{"NOSUCH\r\n", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n"},
		{"*2\r\n$9\r\nno\r\nsuch\n\r\n$1\r\nx\r\nPING\r\n", "-ERR unknown command 'no  such ', with args beginning with: 'x' \r\n+PONG\r\n"},
	} {
		if got := talk(t, path, tc.send, tc.want); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.send, got, tc.want)
		}
	}
}

func TestListenerEndsNonsense(t *testing.T) {
	_, _, path := listen(t)
	for _, send := range []string{"*x\r\n", "*1048577\r\n", "*99999999999999999999\r\n", "*1\r\n+PING\r\n", "*1\r\n$x\r\n", "*1\r\n$-1\r\n", "*1\r\n$536870913\r\n", "*2\r\n$536870912\r\n",
		"*1\r\n$4\r\nPINGxx\r\n", "ECHO \"open\r\n", "ECHO 'a'b\r\n", strings.Repeat("x", 200_000), "*" + strings.Repeat("1", 200_000), "*1\r\n$" + strings.Repeat("1", 200_000), "*1\r\n\r\n"} {
		if strings.Contains(send, "536870912") {
			continue // allowed until it is there
		}
		if got := talk(t, path, send, ""); !strings.HasPrefix(got, "-ERR Protocol error: ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%.40q: got %q", send, got)
		}
	}
	for range 50 { // half a request, then nothing
		c := dial(t, path)
		io.WriteString(c, "*3\r\n$3\r\nSET\r\n$1")
		c.Close()
	}
	if got := talk(t, path, "PING\r\n", "\n"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestListenerBoundsMemory claims more than it sends, a thousand times.
func TestListenerBoundsMemory(t *testing.T) {
	_, srv, path := listen(t)
	before := heap()
	var held []net.Conn
	for range maxClients {
		c := dial(t, path)
		io.WriteString(c, "*1048576\r\n$536870912\r\nabc")
		held = append(held, c)
	}
	for n := 0; n < maxClients; time.Sleep(time.Millisecond) {
		srv.mu.Lock()
		n = len(srv.conns)
		srv.mu.Unlock()
	}
	if got := talk(t, path, "PING\r\n", ""); got != "-ERR max number of clients reached\r\n" {
		t.Errorf("one more: got %q", got)
	}
	if used := int64(heap()) - int64(before); used > 300<<20 {
		t.Errorf("a thousand clients hold %d MB", used>>20)
	} else {
		t.Logf("a thousand clients hold %d kB each", used/maxClients/1024)
	}
	for _, c := range held {
		c.Close()
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := talk(t, path, "PING\r\n", "\n"); got == "+PONG\r\n" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the places of clients that went are not free")
		}
	}
}

// TestSlowReaders ask for much and read nothing: others go on, and they are cut off.
func TestSlowReaders(t *testing.T) {
	s, srv, path := listen(t)
	srv.mu.Lock()
	srv.patience = 500 * time.Millisecond
	srv.mu.Unlock()
	c := s.Conn()
	c.Do([]string{"SET", "big", strings.Repeat("x", 8<<20)})
	for range 20 {
		conn := dial(t, path)
		io.WriteString(conn, strings.Repeat("GET big\r\n", 20))
	}
	sub := dial(t, path)
	io.WriteString(sub, "SUBSCRIBE news\r\n")
	for do(c, "PUBLISH news x") == "0" {
		time.Sleep(time.Millisecond)
	}
	before := heap()
	message := strings.Repeat("y", 1<<20)
	for range 500 {
		text := fmt.Sprint(message, time.Now().UnixNano())
		start := time.Now()
		c.Do([]string{"PUBLISH", "news", text})
		if took := time.Since(start); took > 30*time.Second {
			t.Fatalf("PUBLISH waited %v for one that does not read", took)
		}
	}
	if used := int64(heap()) - int64(before); used > 150<<20 {
		t.Errorf("a subscriber that does not read holds %d MB", used>>20)
	}
	if got := talk(t, path, "PING\r\n", "\n"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		srv.mu.Lock()
		n := len(srv.conns)
		srv.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients that do not read are still there", n)
		}
	}
	if got := do(c, "PUBLISH news x"); got != "0" {
		t.Errorf("%s subscribers are left", got)
	}
}

func TestSubscribers(t *testing.T) {
	s, _, path := listen(t)
	var wg sync.WaitGroup
	const clients, messages = 50, 200
	ready := make(chan struct{}, clients)
	for range clients {
		wg.Go(func() {
			c := dial(t, path)
			io.WriteString(c, "SUBSCRIBE a\r\n")
			r := bufio.NewReader(c)
			want := "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
			got := make([]byte, len(want))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
				t.Errorf("got %q, %v", got, err)
			}
			ready <- struct{}{}
			for i := range messages {
				want := fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\n%03d\r\n", i)
				got := make([]byte, len(want))
				if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
					return
				}
			}
		})
	}
	for range clients {
		<-ready
	}
	c := s.Conn()
	for i := range messages {
		if got := do(c, fmt.Sprintf("PUBLISH a %03d", i)); got != fmt.Sprint(clients) {
			t.Fatalf("got %s", got)
		}
	}
	wg.Wait()
}

func TestListenRefuses(t *testing.T) {
	s, _, path := listen(t)
	file := filepath.Join(filepath.Dir(path), "file")
	os.WriteFile(file, nil, 0o600)
	for address, want := range map[string]string{path: "already", file: "not a socket", "0.0.0.0:0": "loopback", "x": "neither", "192.0.2.1:1": "loopback", "example.com:1": "loopback",
		"/nowhere/s": "no such"} {
		if _, err := s.Listen(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", address, err, want)
		}
	}
	srv, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	// a socket that a killed process left
	dead := filepath.Join(filepath.Dir(path), "dead")
	l, _ := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	l.SetUnlinkOnClose(false)
	l.Close()
	if srv, err = s.Listen(dead); err != nil {
		t.Fatal(err)
	}
	srv.Close()
}

// FuzzCommand checks that a request reads the same in one piece and byte by byte, that what was read can be written as an
// array and read again, and that its reply is one line or more that end well.
func FuzzCommand(f *testing.F) {
	for _, in := range []string{"PING\r\n", "*1\r\n$4\r\nPING\r\n", "ECHO \"a\\x00\\n\" 'b\\'c'\n", "*-1\r\n", "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "*1048577\r\n", "*1\r\n$536870912\r\nx", "\r\nPING\r\n", "SET \"\" ''\r\n"} {
		f.Add([]byte(in))
	}
	s := open(f, Options{})
	f.Fuzz(func(t *testing.T, in []byte) {
		args, err := readCommand(bufio.NewReader(bytes.NewReader(in)))
		slow, slowErr := readCommand(bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(in)), 16))
		if len(in) < 16 && (fmt.Sprintf("%q", args) != fmt.Sprintf("%q", slow) || (err == nil) != (slowErr == nil)) {
			t.Fatalf("%q: %q, %v; in pieces %q, %v", in, args, err, slow, slowErr)
		}
		if err != nil || len(args) == 0 {
			return
		}
		b := fmt.Appendf(nil, "*%d\r\n", len(args))
		for _, a := range args {
			b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
		}
		again, err := readCommand(bufio.NewReader(bytes.NewReader(b)))
		if err != nil || fmt.Sprintf("%q", again) != fmt.Sprintf("%q", args) {
			t.Fatalf("%q became %q, %v", args, again, err)
		}
		if len(args) > 100 || len(in) > 1000 {
			return
		}
		out := AppendReply(nil, s.Conn().Do(args))
		if n := lines(out); n != len(out) {
			t.Fatalf("%q: of the reply %q the first %d bytes are one", args, out, n)
		}
	})
}

// lines returns the length of the reply at the beginning of b, -1 if there is none.
func lines(b []byte) int {
	i := bytes.Index(b, []byte("\r\n"))
	if i < 1 || bytes.ContainsAny(b[:i], "\r\n") {
		return -1
	}
	n, at := 0, i+2
	fmt.Sscan(string(b[1:i]), &n)
	switch b[0] {
	case '+', '-', ':':
		return at
	case '$':
		if n < 0 {
			return at
		}
		return at + n + 2
	case '*':
		for range n {
			m := lines(b[min(at, len(b)):])
			if m < 0 {
				return -1
			}
			at += m
		}
		return at
	}
	return -1
}
