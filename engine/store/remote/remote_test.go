package remote

import (
	"crypto/tls"
	"crypto/x509"
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
)

func words(s string) []string { return strings.Fields(s) }

func TestUnixSocketAndTCP(t *testing.T) {
	for _, s := range []*server{newServer(t), newTCP(t)} {
		c := s.client(0).Session()
		steps(t, c, "SET k v", "+OK", "GET k", `"v"`, "INCR n", ":1", "GET missing", "nil")
		if got := s.cli("GET", "k"); got != "v" {
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
	if got := s.cli("-n", "2", "GET", "k") + s.cli("EXISTS", "k"); got != "two0" {
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
	dir := shortDir(t)
	pool := certificates(t, dir, []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)})
	port := freePort(t)
	s := newServer(t, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", dir+"/cert.pem", "--tls-key-file", dir+"/key.pem",
		"--tls-ca-cert-file", dir+"/ca.pem", "--tls-auth-clients", "no")
	addr := "127.0.0.1:" + port
	c := newClient(t, Options{Addrs: []string{addr}, TLS: &tls.Config{RootCAs: pool}})
	steps(t, c.Session(), "SET k v", "+OK", "GET k", `"v"`)
	steps(t, newClient(t, Options{Addrs: []string{"localhost:" + port}, TLS: &tls.Config{RootCAs: pool}}).Session(), "GET k", `"v"`)

	other := certificates(t, shortDir(t), []string{"localhost"}, nil)
	elsewhere := certificates(t, shortDir(t), []string{"redis.example"}, nil)
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
	s.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	steps(t, c.Session(), "GET k", `"v"`)
}

func TestReplies(t *testing.T) {
	s := newServer(t)
	c := s.client(0).Session()
	big := strings.Repeat("0123456789", 1<<20)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"PING"}, "+PONG"},
		{[]string{"SET", "bin", "a\r\nb\x00\xff"}, "+OK"},
		{[]string{"GET", "bin"}, strconv.Quote("a\r\nb\x00\xff")},
		{[]string{"SET", "", ""}, "+OK"},
		{[]string{"GET", ""}, `""`},
		{[]string{"EVAL", "return {1,{2,{3,'x',{}}},false,redis.error_reply('BAD inside'),redis.status_reply('FINE')}", "0"}, `[:1 [:2 [:3 "x" []]] nil -BAD inside +FINE]`},
		{[]string{"EVAL", "return {}", "0"}, "[]"},
		{[]string{"EVAL", "return redis.error_reply('MY own error')", "0"}, "-MY own error"},
		{[]string{"MGET", "bin", "none"}, `["a\r\nb\x00\xff" nil]`},
		{[]string{"LPUSH", "bin", "x"}, "-WRONGTYPE Operation against a key holding the wrong kind of value"},
		{[]string{"NOSUCH"}, "-ERR unknown command 'NOSUCH', with args beginning with: "},
		{[]string{"BLPOP", "none", "0.01"}, "nil"}, // a nil array
		{[]string{"XREAD", "COUNT", "1", "STREAMS", "none", "0"}, "nil"},
		{[]string{"INCRBY", "max", "9223372036854775807"}, ":9223372036854775807"},
		{[]string{"DECRBY", "min", "9223372036854775807"}, ":-9223372036854775807"},
		{[]string{"INCRBYFLOAT", "f", "1.5"}, `"1.5"`},
		{[]string{"LRANGE", "none", "0", "-1"}, "[]"},
		{[]string{"SET", "big", big}, "+OK"},
		{[]string{"GET", "big"}, strconv.Quote(big)},
		{[]string{"MGET", "big", "none", "big"}, `[` + strconv.Quote(big) + " nil " + strconv.Quote(big) + "]"},
	} {
		if got := do(c, tc.args...); got != tc.want {
			t.Errorf("%.80q: got %.200s, want %.200s", tc.args, got, tc.want)
		}
	}
	if got := do(c); got != "-ERR empty command" {
		t.Errorf("empty: got %s", got)
	}
}

func TestPipelines(t *testing.T) {
	s := newServer(t)
	c := s.client(0).Session()
	for _, n := range []int{0, 1, 2, 10_000, 20_001} {
		commands := make([][]string, n)
		for i := range commands {
			commands[i] = []string{"INCR", fmt.Sprint("p", n)}
		}
		replies, err := c.Pipeline(commands)
		if err != nil || len(replies) != n {
			t.Fatalf("%d: got %d, %v", n, len(replies), err)
		}
		for i, r := range replies {
			if show(r, nil) != fmt.Sprint(":", i+1) {
				t.Fatalf("%d: reply %d is %s", n, i, show(r, nil))
			}
		}
	}
	big := strings.Repeat("x", 3<<20)
	replies, err := c.Pipeline([][]string{{"SET", "a", big}, {"LPUSH", "a", "x"}, {"GET", "a"}, {"SUBSCRIBE", "x"}, {"SET", "b", big}, {"STRLEN", "b"}})
	if err != nil || len(replies) != 6 || replies[1].Kind != store.Error || replies[2].Str != big || replies[3].Kind != store.Error || replies[5].Int != 3<<20 {
		t.Errorf("got %.300v, %v", replies, err)
	}
	// MULTI in a pipeline
	replies, err = c.Pipeline([][]string{{"MULTI"}, {"INCR", "m"}, {"INCR", "m"}, {"EXEC"}, {"GET", "m"}})
	if got := show(store.Reply{Kind: store.Array, Elems: replies}, err); got != `[+OK +QUEUED +QUEUED [:1 :2] "2"]` {
		t.Errorf("got %s", got)
	}
}

// TestTransactionsStayOnTheirConnection opens MULTI and WATCH in every way that could leave one in the pool, while others use it.
func TestTransactionsStayOnTheirConnection(t *testing.T) {
	s := newServer(t)
	client := newClient(t, Options{Addrs: []string{s.addr}, Pool: 2})
	a, other := client.Session(), client.Session()
	clean := func(what string) {
		t.Helper()
		for range 4 {
			if got := do(other, "ECHO", "x"); got != `"x"` {
				t.Fatalf("%s: another session got %s", what, got)
			}
			tx := client.Session()
			steps(t, tx, "MULTI", "+OK", "SET clean 1", "+QUEUED")
			s.cli("INCR", "w")
			if got := do(tx, "EXEC"); got != "[+OK]" {
				t.Fatalf("%s: a transaction got %s: somebody's WATCH is still there", what, got)
			}
		}
	}
	steps(t, a, "MULTI", "+OK", "INCR n", "+QUEUED")
	steps(t, other, "GET n", "nil")
	steps(t, a, "EXEC", "[:1]", "GET n", `"1"`)
	clean("EXEC")
	steps(t, a, "WATCH w", "+OK")
	s.cli("INCR", "w")
	steps(t, a, "MULTI", "+OK", "INCR n", "+QUEUED", "EXEC", "nil", "GET n", `"1"`)
	clean("EXEC that failed")
	steps(t, a, "WATCH w", "+OK", "UNWATCH", "+OK")
	clean("UNWATCH")
	steps(t, a, "MULTI", "+OK", "UNWATCH", "+QUEUED", "INCR n", "+QUEUED", "EXEC", "[+OK :2]")
	clean("UNWATCH inside MULTI")
	steps(t, a, "MULTI", "+OK", "INCR n", "+QUEUED", "DISCARD", "+OK", "GET n", `"2"`)
	clean("DISCARD")
	steps(t, a, "MULTI", "+OK", "MULTI", "-ERR MULTI calls can not be nested", "WATCH w", "-ERR WATCH inside MULTI is not allowed")
	a.Close()
	clean("Close inside MULTI")
	a = client.Session()
	steps(t, a, "WATCH w", "+OK")
	a.Close()
	clean("Close after WATCH")
	a = client.Session()
	steps(t, a, "MULTI", "+OK", "NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: ")
	if got := do(a, "EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("got %s", got)
	}
	clean("EXECABORT")
	steps(t, a, "MULTI", "+OK", "EXEC more", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
	a.Close()
	clean("EXEC with an argument")
	a = client.Session()
	for _, open := range [][][]string{
		{{"MULTI"}, {"INCR", "n"}}, {{"WATCH", "w"}, {"GET", "w"}}, {{"GET", "n"}, {"MULTI"}}, {{"MULTI"}, {"EXEC"}, {"WATCH", "w"}},
		{{"MULTI"}, {"DISCARD", "x"}}, {{"WATCH", "w"}, {"MULTI"}, {"SELECT", "1"}},
	} {
		if _, err := a.Pipeline(open); err != nil {
			t.Errorf("%v: %v", open, err)
		}
		if got := do(other, "ECHO", "x"); got != `"x"` {
			t.Fatalf("%v: another session got %s", open, got)
		}
		a.Close()
		clean(fmt.Sprint(open))
		a = client.Session()
	}
	if got := s.cli("GET", "n"); got != "2" {
		t.Errorf("n is %s, want 2", got)
	}
	// eight sessions that watch and change the same key
	var wg sync.WaitGroup
	busy := newClient(t, Options{Addrs: []string{s.addr}, Pool: 8})
	for range 8 {
		wg.Go(func() {
			c := busy.Session()
			defer c.Close()
			for range 50 {
				for {
					do(c, "WATCH", "sum")
					n, _ := c.Do([]string{"GET", "sum"})
					v, _ := strconv.Atoi(n.Str)
					do(c, "MULTI")
					do(c, "SET", "sum", strconv.Itoa(v+1))
					r, err := c.Do([]string{"EXEC"})
					if err != nil {
						t.Error(err)
						return
					}
					if r.Kind == store.Array {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	if got := s.cli("GET", "sum"); got != "400" {
		t.Errorf("sum is %s, want 400", got)
	}
}

func TestRefusedCommands(t *testing.T) {
	s := newServer(t)
	c := s.client(time.Minute).Session()
	for _, line := range []string{"SELECT 1", "SUBSCRIBE a", "PSUBSCRIBE a", "MONITOR", "QUIT", "AUTH x", "HELLO 3", "RESET", "SHUTDOWN", "SYNC", "PSYNC ? -1", "CLIENT REPLY OFF", "client reply skip", "CLIENT TRACKING ON"} {
		within(t, time.Second, line, func() {
			if got := do(c, words(line)...); !strings.HasPrefix(got, "-ERR ") || !strings.Contains(got, "not possible on shared connections: ") {
				t.Errorf("%s: got %s", line, got)
			}
		})
	}
	steps(t, c, "ECHO x", `"x"`, "CLIENT GETNAME", "nil")
}

func TestBlockingCommands(t *testing.T) {
	s := newServer(t)
	c := newClient(t, Options{Addrs: []string{s.addr}, Timeout: time.Second, Wait: time.Minute}).Session()
	for _, line := range []string{"BLPOP k 0", "BRPOP a b 1", "BLPOP k 1.5", "BRPOPLPUSH a b 0", "BLMOVE a b LEFT RIGHT 60", "BZPOPMIN z 0", "BZPOPMAX z 2", "BLMPOP 0 1 k LEFT",
		"BZMPOP 1 1 z MIN", "XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c COUNT 1 BLOCK 5000 STREAMS s >", "WAIT 1 0", "BLPOP k 1e300"} {
		within(t, 500*time.Millisecond, line, func() {
			if got := do(c, words(line)...); !strings.HasPrefix(got, "-ERR ") || !strings.Contains(got, "redis_timeout (1s)") {
				t.Errorf("%s: got %s", line, got)
			}
		})
	}
	for _, line := range []string{"BLPOP k 0.2", "BRPOPLPUSH a b 0.2", "XREAD BLOCK 200 STREAMS s $", "BLMPOP 0.2 1 k LEFT"} {
		if took := within(t, 900*time.Millisecond, line, func() {
			if got := do(c, words(line)...); got != "nil" {
				t.Errorf("%s: got %s", line, got)
			}
		}); took < 150*time.Millisecond {
			t.Errorf("%s took %v, want 200ms", line, took)
		}
	}
	steps(t, c, "BLPOP k x", "-ERR timeout is not a float or out of range", "BLPOP k -1", "-ERR timeout is negative", "BLPOP", "-ERR wrong number of arguments for 'blpop' command",
		"MULTI", "+OK", "BLPOP k 0", "+QUEUED", "EXEC", "[nil]")
	var pushed sync.WaitGroup
	pushed.Go(func() {
		for !strings.Contains(s.cli("CLIENT", "LIST"), "cmd=blpop") {
			time.Sleep(time.Millisecond)
		}
		s.cli("RPUSH", "k", "v")
	})
	steps(t, c, "BLPOP k 0.9", `["k" "v"]`)
	pushed.Wait()
}

// TestServerThatIsKilled counts with 8 goroutines while the server is killed and started again.
func TestServerThatIsKilled(t *testing.T) {
	s := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	var j journal
	client := newClient(t, Options{Addrs: []string{s.addr}, Wait: 30 * time.Second, Timeout: 2 * time.Second, Log: j.log()})
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
		s.kill()
		time.Sleep(300 * time.Millisecond)
		s.start()
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	wg.Wait()
	n, _ := strconv.ParseInt(s.cli("GET", "n"), 10, 64)
	// at each kill each goroutine may have had a call of 5 in flight
	if n < issued.Load() || n > issued.Load()+3*8*5 {
		t.Errorf("the counter is %d after %d", n, issued.Load())
	}
	t.Logf("issued %d, counted %d, longest %v, %d retries", issued.Load(), n, time.Duration(most.Load()), client.Stats().Retries)
	if d := time.Duration(most.Load()); d > 4*time.Second {
		t.Errorf("a command took %v", d)
	}
	text := j.text()
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
		s.kill()
		s.start()
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
	s.kill()
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
	s.start()
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
	s.signal(syscall.SIGSTOP)
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
	s.signal(syscall.SIGCONT)
	deadline := time.Now().Add(2 * time.Second)
	for do(c, "GET", "k") != `"v"` {
		if time.Now().After(deadline) {
			t.Fatal("does not come back")
		}
	}
	// a short stop is waited for
	s.signal(syscall.SIGSTOP)
	time.AfterFunc(600*time.Millisecond, func() { s.signal(syscall.SIGCONT) })
	steps(t, c, "GET k", `"v"`)
}

func TestCloseEndsWaits(t *testing.T) {
	s := newServer(t)
	gone := filepath.Join(s.dir, "nobody")
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
				hung.signal(syscall.SIGSTOP)
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
				s.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
				use("CLIENT KILL")
			}
			fill()
			s.cli("CONFIG", "SET", "timeout", "1")
			time.Sleep(2500 * time.Millisecond)
			use("timeout 1")
			s.cli("CONFIG", "SET", "timeout", "0")
			fill()
			s.kill()
			s.start()
			use("restart")
		})
	}
}

// TestReadOnly makes the server a replica, as after a failover behind one address: its connections are given up.
func TestReadOnly(t *testing.T) {
	s, master := newServer(t), newTCP(t)
	c := s.client(10 * time.Second).Session()
	steps(t, c, "SET k v", "+OK")
	host, port, _ := net.SplitHostPort(master.addr)
	s.cli("REPLICAOF", host, port)
	time.AfterFunc(300*time.Millisecond, func() { s.cli("REPLICAOF", "NO", "ONE") })
	steps(t, c, "SET k v", "+OK")
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

func BenchmarkIncr(b *testing.B) {
	s := newServer(b)
	c := s.client(0).Session()
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Do([]string{"INCR", "n"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pipeline-100", func(b *testing.B) {
		b.ReportAllocs()
		commands := make([][]string, 100)
		for i := range commands {
			commands[i] = []string{"INCR", "n"}
		}
		for b.Loop() {
			if _, err := c.Pipeline(commands); err != nil {
				b.Fatal(err)
			}
		}
	})
}
