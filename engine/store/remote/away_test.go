package remote

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine/store"
	"dragonfly/test/parts"
)

// TestServerThatIsKilled counts with 8 goroutines while the server is killed and started again.
func TestServerThatIsKilled(t *testing.T) {
	s := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	var j parts.Log
	client := newClient(t, Options{Addrs: []string{s.addr}, Wait: 30 * time.Second, Timeout: 2 * time.Second, Log: j.Logger()})
	var issued, most atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 8 {
		wg.Go(func() {
			c := client.Session()
			for {
				select {
				case <-stop:
					return
				default:
				}
				start := time.Now()
				n := int64(1)
				var err error
				if g%2 == 0 {
					_, err = c.Do([]string{"INCR", "n"})
				} else {
					n = 5
					_, err = c.Pipeline([][]string{{"INCR", "n"}, {"INCR", "n"}, {"INCR", "n"}, {"INCR", "n"}, {"INCR", "n"}})
				}
				if err != nil {
					t.Error(err)
					return
				}
				issued.Add(n)
				most.Store(max(most.Load(), int64(time.Since(start))))
			}
		})
	}
	for range 3 {
		time.Sleep(500 * time.Millisecond)
		s.Kill()
		time.Sleep(300 * time.Millisecond)
		s.Start()
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	wg.Wait()
	n, _ := strconv.ParseInt(s.CLI("GET", "n"), 10, 64)
	// at each kill each goroutine may have had a call of 5 in flight
	if n < issued.Load() || n > issued.Load()+3*8*5 {
		t.Errorf("the counter is %d after %d", n, issued.Load())
	}
	t.Logf("issued %d, counted %d, longest %v, %d retries", issued.Load(), n, time.Duration(most.Load()), client.Stats().Retries)
	if d := time.Duration(most.Load()); d > 20*time.Second { // below Wait
		t.Errorf("a command took %v", d)
	}
	text := j.String()
	if away, again := strings.Count(text, "redis does not answer"), strings.Count(text, "redis answers again"); away < 3 || away > 6 || again != away {
		t.Errorf("log:\n%s", text)
	}
	if st := client.Stats(); st.Away || st.Failures != 0 || st.Retries == 0 {
		t.Errorf("got %+v", st)
	}
	// exact when nothing was in flight
	c := client.Session()
	steps(t, c, "SET exact 0", "+OK")
	for i := range 3 {
		s.Kill()
		s.Start()
		if got := do(c, "INCR", "exact"); got != fmt.Sprint(":", i+1) {
			t.Errorf("got %s after %d", got, i)
		}
	}
}

func TestServerThatStays(t *testing.T) {
	s := newServer(t)
	client := newClient(t, Options{Addrs: []string{s.addr}, Wait: time.Second, Timeout: 300 * time.Millisecond})
	c := client.Session()
	steps(t, c, "SET k v", "+OK")
	s.Kill()
	if took := within(t, 1500*time.Millisecond, "a command", func() {
		if got := do(c, "GET", "k"); !strings.Contains(got, "error: redis "+s.addr) {
			t.Errorf("got %s", got)
		}
	}); took < 900*time.Millisecond {
		t.Errorf("it took %v, want redis_wait", took)
	}
	if !client.Stats().Away {
		t.Error("not away")
	}
	within(t, 200*time.Millisecond, "a hundred commands after Wait", func() {
		for range 100 {
			do(c, "GET", "k")
		}
	})
	s.Start()
	within(t, 500*time.Millisecond, "coming back", func() {
		steps(t, c, "GET k", "nil")
	})
	if client.Stats().Away {
		t.Error("away")
	}
}

// TestServerThatHangs stops the server with SIGSTOP: connections open, nothing answers.
func TestServerThatHangs(t *testing.T) {
	s := newServer(t)
	client := newClient(t, Options{Addrs: []string{s.addr}, Wait: time.Second, Timeout: 300 * time.Millisecond})
	c := client.Session()
	steps(t, c, "SET k v", "+OK")
	s.Signal(syscall.SIGSTOP)
	within(t, 2*time.Second, "a command", func() { // one timeout, then Wait, then what a try takes
		if got := do(c, "GET", "k"); !strings.Contains(got, "error: redis "+s.addr) {
			t.Errorf("got %s", got)
		}
	})
	within(t, 1500*time.Millisecond, "a thousand commands after Wait", func() {
		for range 1000 {
			do(c, "GET", "k")
		}
	})
	s.Signal(syscall.SIGCONT)
	deadline := time.Now().Add(parts.Deadline)
	for do(c, "GET", "k") != `"v"` {
		if time.Now().After(deadline) {
			t.Fatal("does not come back")
		}
	}
	// a short stop is waited for
	c = s.client(t, time.Minute).Session()
	steps(t, c, "GET k", `"v"`)
	s.Signal(syscall.SIGSTOP)
	time.AfterFunc(600*time.Millisecond, func() { s.Signal(syscall.SIGCONT) })
	steps(t, c, "GET k", `"v"`)
}

func TestCloseEndsWaits(t *testing.T) {
	s := newServer(t)
	gone := filepath.Join(s.Dir, "nobody")
	hung := newServer(t)
	for name, f := range map[string]func() (*Client, []string){
		"a server that is away": func() (*Client, []string) {
			return newClient(t, Options{Addrs: []string{gone}, Wait: time.Hour}), []string{"PING"}
		},
		"a blocking command": func() (*Client, []string) {
			return newClient(t, Options{Addrs: []string{s.addr}, Wait: time.Hour, Timeout: time.Minute}), []string{"BLPOP", "k", "50"}
		},
		"a server that hangs": func() (*Client, []string) {
			return newClient(t, Options{Addrs: []string{hung.addr}, Wait: time.Hour, Timeout: time.Minute}), []string{"PING"}
		},
		"an address that does not answer": func() (*Client, []string) {
			return newClient(t, Options{Addrs: []string{"192.0.2.1:6379"}, Wait: time.Hour, Timeout: time.Minute}), []string{"PING"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "hangs") {
				hung.Signal(syscall.SIGSTOP)
			}
			client, args := f()
			got := make(chan string, 3)
			for range 2 {
				go func() { got <- do(client.Session(), args...) }()
			}
			go func() { _, err := client.Session().Pipeline([][]string{args, args}); got <- show(store.Reply{}, err) }()
			time.Sleep(200 * time.Millisecond)
			within(t, time.Second, "Close", func() { client.Close() })
			within(t, time.Second, "the commands", func() {
				for range 3 {
					if text := <-got; !strings.HasSuffix(text, "the connection is closed") {
						t.Errorf("got %s", text)
					}
				}
			})
			if got := do(client.Session(), "PING"); !strings.HasSuffix(got, "the connection is closed") {
				t.Errorf("after Close: got %s", got)
			}
			client.Close()
		})
	}
}

// TestIdleConnections has the server close the connections of the pool; without patience nobody may notice.
func TestIdleConnections(t *testing.T) {
	for name, s := range map[string]*server{"unix": newServer(t), "tcp": newTCP(t)} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, Options{Addrs: []string{s.addr}, Pool: 16})
			fill := func() {
				var wg sync.WaitGroup
				for range 16 {
					wg.Go(func() { do(client.Session(), "BLPOP", "none", "0.1") })
				}
				wg.Wait()
			}
			use := func(what string) {
				t.Helper()
				c := client.Session()
				for range 20 {
					if got := do(c, "ECHO", "x"); got != `"x"` {
						t.Fatalf("%s: got %s", what, got)
					}
				}
				steps(t, c, "MULTI", "+OK", "PING", "+QUEUED", "EXEC", "[+PONG]")
			}
			for range 5 {
				fill()
				s.CLI("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
				use("CLIENT KILL")
			}
			fill()
			s.CLI("CONFIG", "SET", "timeout", "1")
			time.Sleep(2500 * time.Millisecond)
			use("timeout 1")
			s.CLI("CONFIG", "SET", "timeout", "0")
			fill()
			s.Kill()
			s.Start()
			use("restart")
		})
	}
}

// TestReadOnly makes the server a replica, as after a failover behind one address: its connections are given up.
func TestReadOnly(t *testing.T) {
	s, master := newServer(t), newTCP(t)
	c := s.client(t, 10*time.Second).Session()
	steps(t, c, "SET k v", "+OK")
	host, port, _ := net.SplitHostPort(master.addr)
	s.CLI("REPLICAOF", host, port)
	time.AfterFunc(300*time.Millisecond, func() { s.CLI("REPLICAOF", "NO", "ONE") })
	steps(t, c, "SET k v", "+OK")
}

// TestServerThatTalksNonsense answers everything with something else than RESP2: an error, never a panic or a wait.
func TestServerThatTalksNonsense(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "$9223372036854775807\r\n", "$-5\r\n", "*9223372036854775807\r\n", "\r\n", ":\r\n", "\x00\x00\x00", "$3\r\nabcde\r\n", "+"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					defer c.Close()
					b := make([]byte, 4096)
					hello := true
					for {
						n, err := c.Read(b)
						if err != nil {
							return
						}
						text := answer
						if hello && strings.Contains(strings.ToLower(string(b[:n])), "hello") {
							text = "-ERR unknown command\r\n"
						}
						hello = false
						c.Write([]byte(text))
					}
				})
			}
		})
		client := newClient(t, Options{Addrs: []string{l.Addr().String()}, Timeout: 200 * time.Millisecond, Wait: 300 * time.Millisecond})
		within(t, 2*time.Second, answer, func() {
			for range 3 {
				if got := do(client.Session(), "GET", "k"); !strings.HasPrefix(got, "error: ") {
					t.Errorf("%.20q: got %s", answer, got)
				}
			}
			if r, err := client.Session().Pipeline([][]string{{"GET", "k"}, {"GET", "k"}}); err == nil {
				t.Errorf("%.20q: got %v", answer, r)
			}
		})
		client.Close()
		l.Close()
		wg.Wait()
	}
}

// TestPoolIsUsedUp has all connections bound by transactions: the next command says which setting is short.
func TestPoolIsUsedUp(t *testing.T) {
	s := newServer(t)
	client := newClient(t, Options{Addrs: []string{s.addr}, Pool: 2, Timeout: 300 * time.Millisecond, Wait: 300 * time.Millisecond})
	a, b := client.Session(), client.Session()
	steps(t, a, "MULTI", "+OK")
	steps(t, b, "WATCH k", "+OK")
	within(t, 2*time.Second, "a third command", func() {
		if got := do(client.Session(), "PING"); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "redis_pool") {
			t.Errorf("got %s", got)
		}
	})
	b.Close()
	steps(t, client.Session(), "PING", "+PONG")
}
