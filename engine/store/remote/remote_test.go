package remote

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine/store"
)

func words(s string) []string { return strings.Fields(s) }

func TestReplies(t *testing.T) {
	s := newServer(t)
	c := s.client(t, 0).Session()
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
	c := s.client(t, 0).Session()
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
			s.CLI("INCR", "w")
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
	s.CLI("INCR", "w")
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
	if got := s.CLI("GET", "n"); got != "2" {
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
	if got := s.CLI("GET", "sum"); got != "400" {
		t.Errorf("sum is %s, want 400", got)
	}
}

func TestRefusedCommands(t *testing.T) {
	s := newServer(t)
	c := s.client(t, time.Minute).Session()
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
	c := newClient(t, Options{Addrs: []string{s.addr}, Timeout: 20 * time.Second, Wait: time.Minute}).Session()
	for _, line := range []string{"BLPOP k 0", "BRPOP a b 20", "BLPOP k 20.5", "BRPOPLPUSH a b 0", "BLMOVE a b LEFT RIGHT 60", "BZPOPMIN z 0", "BZPOPMAX z 30", "BLMPOP 0 1 k LEFT",
		"BZMPOP 20 1 z MIN", "XREAD BLOCK 0 STREAMS s $", "XREADGROUP GROUP g c COUNT 1 BLOCK 20000 STREAMS s >", "WAIT 1 0", "BLPOP k 1e300"} {
		within(t, 500*time.Millisecond, line, func() {
			if got := do(c, words(line)...); !strings.HasPrefix(got, "-ERR ") || !strings.Contains(got, "redis_timeout (20s)") {
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
		for !strings.Contains(s.CLI("CLIENT", "LIST"), "cmd=blpop") {
			time.Sleep(time.Millisecond)
		}
		s.CLI("RPUSH", "k", "v")
	})
	steps(t, c, "BLPOP k 19", `["k" "v"]`)
	pushed.Wait()
}

func BenchmarkIncr(b *testing.B) {
	s := newServer(b)
	c := s.client(b, 0).Session()
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
