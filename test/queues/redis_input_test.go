package queues

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	inredis "dragonfly/engine/input/redis"
)

func numbered(format string, from, to int) (list []string, commands string) {
	var b strings.Builder
	for i := from; i < to; i++ {
		body := fmt.Sprintf(`{"n":%d}`, i)
		list = append(list, body)
		fmt.Fprintf(&b, format+"\n", body)
	}
	return list, b.String()
}

func TestRedisListKeepsOrderAndAcks(t *testing.T) {
	for _, tc := range []struct{ push, pop string }{{"LPUSH", "right"}, {"RPUSH", "left"}} {
		for _, processing := range []bool{true, false} {
			s := newRedis(t)
			want, commands := numbered(tc.push+" suricata '%s'", 0, 2000)
			s.feed(commands)
			r := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "suricata", "pop": tc.pop, "processing": processing, "batch": int64(300)}, false)
			until(t, "all", func() bool { return r.len() == 2000 })
			more, commands := numbered(tc.push+" suricata '%s'", 2000, 2100)
			s.feed(commands)
			until(t, "what came later", func() bool { return r.len() == 2100 })
			if !slices.Equal(r.bodies(), append(want, more...)) {
				t.Errorf("%s: other events, or another order", tc.push)
			}
			if processing {
				until(t, "the acks", func() bool {
					return s.cli("EVAL", "local n=0 for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('TYPE',k).ok=='list' then n=n+redis.call('LLEN',k) end end return n", "0") == "0"
				})
			}
			r.stop()
			if keys := s.cli("KEYS", "*"); keys != "" {
				t.Errorf("%s: left behind: %s", tc.push, keys)
			}
		}
	}
}

// TestRedisListGivesBack: what is not finished when the input ends is in the list again, in order; what is finished is not.
func TestRedisListGivesBack(t *testing.T) {
	s := newRedis(t)
	want, commands := numbered("LPUSH {x}y '%s'", 0, 1000)
	s.feed(commands)
	r := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "{x}y", "batch": int64(100)}, true)
	until(t, "all", func() bool { return r.len() == 1000 })
	r.mu.Lock()
	for _, i := range []int{2, 0, 1, 5} { // the first 300 are finished, and 500 to 599, which does not count
		r.held[i]()
	}
	r.mu.Unlock()
	r.stop()
	got := strings.Split(s.cli("LRANGE", "{x}y", "0", "-1"), "\n")
	slices.Reverse(got)
	if !slices.Equal(got, want[300:]) {
		t.Errorf("got %d elements, want %d, or another order", len(got), 700)
	}
	r.release() // late: nobody must stumble
	if keys := s.cli("KEYS", "*"); keys != "{x}y" {
		t.Errorf("left behind: %s", keys)
	}
}

// TestRedisListOfTheDead: what a process that died had in flight is taken over, once, when its lease is over.
func TestRedisListOfTheDead(t *testing.T) {
	s := newRedis(t)
	_, commands := numbered("LPUSH k '%s'", 0, 500)
	s.feed(commands)
	o := engine.Values{"key": "k", "claim_after": time.Second}
	dead := read(t, inredis.Kind, "redis://"+s.socket(), o, true)
	until(t, "all", func() bool { return dead.len() == 500 })
	dead.crash()
	a, b := read(t, inredis.Kind, "redis://"+s.socket(), o, false), read(t, inredis.Kind, "redis://"+s.socket(), o, false)
	until(t, "all again", func() bool { return a.len()+b.len() == 500 })
	until(t, "the count of what was taken over", func() bool { return a.count("claimed_total")+b.count("claimed_total") == 500 })
	a.stop()
	b.stop()
	if keys := s.cli("KEYS", "*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}

// TestRedisOutageOfInput: the server is killed in the middle of what is in flight, and comes back with what it had on disk.
func TestRedisOutageOfInput(t *testing.T) {
	for _, typ := range []string{"list", "stream"} {
		t.Run(typ, func(t *testing.T) {
			s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
			format := "LPUSH k '%s'"
			if typ == "stream" {
				format = "XADD k * eve '%s'"
			}
			const n = 3000
			_, commands := numbered(format, 0, n)
			s.feed(commands)
			r := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": typ, "batch": int64(50)}, true)
			until(t, "some", func() bool { return r.len() > n/3 })
			s.kill()
			until(t, "a message", func() bool { return strings.Contains(r.text(), "cannot read from redis") })
			r.release() // finished while the server is away
			s.start()
			until(t, "all", func() bool { return r.distinct() == n })
			if got := r.len(); got > n+100 {
				t.Errorf("%d records for %d events", got, n)
			}
			until(t, "a message", func() bool { return strings.Contains(r.text(), "redis answers again") })
			if strings.Count(r.text(), "level=ERROR") != 1 || r.count("connection_breaks_total") == 0 {
				t.Errorf("got\n%s", r.text())
			}
			r.stop()
			if typ == "list" {
				if keys := s.cli("KEYS", "*"); keys != "" {
					t.Errorf("left behind: %s", keys)
				}
			} else if pending := s.cli("XPENDING", "k", "dragonfly"); !strings.HasPrefix(pending, "0") {
				t.Errorf("pending: %s", pending)
			}
		})
	}
}

func TestRedisStream(t *testing.T) {
	s := newRedis(t)
	want, commands := numbered("XADD k * eve '%s'", 0, 1500)
	s.feed(commands)
	o := engine.Values{"key": "k", "type": "stream", "claim_after": time.Second, "consumer": "one", "delete": true}
	r := read(t, inredis.Kind, "redis://"+s.socket(), o, false)
	until(t, "all", func() bool { return r.len() == 1500 })
	if !slices.Equal(r.bodies(), want) {
		t.Error("other events, or another order")
	}
	until(t, "the end of what is finished", func() bool { return s.cli("XLEN", "k") == "0" })
	r.stop()
	if pending := s.cli("XPENDING", "k", "dragonfly"); !strings.HasPrefix(pending, "0") {
		t.Errorf("pending: %s", pending)
	}

	// what one consumer leaves, it reads first when it comes again; another one takes it over
	_, commands = numbered("XADD k * eve '%s'", 0, 100)
	s.feed(commands)
	held := read(t, inredis.Kind, "redis://"+s.socket(), o, true)
	until(t, "all", func() bool { return held.len() == 100 })
	held.crash()
	back := read(t, inredis.Kind, "redis://"+s.socket(), o, true)
	until(t, "all again", func() bool { return back.len() == 100 })
	back.crash()
	o["consumer"] = "two"
	other := read(t, inredis.Kind, "redis://"+s.socket(), o, false)
	until(t, "all by another", func() bool { return other.len() == 100 })
	if other.count("claimed_total") != 100 {
		t.Errorf("%d entries were taken over", other.count("claimed_total"))
	}
	other.stop()
	if n := s.cli("XLEN", "k"); n != "0" {
		t.Errorf("%s entries are left", n)
	}
}

// TestRedisStreamSlowIsNotDead: what a consumer has in flight for longer than claim_after stays its own.
func TestRedisStreamSlowIsNotDead(t *testing.T) {
	s := newRedis(t)
	_, commands := numbered("XADD k * eve '%s'", 0, 10)
	s.feed(commands)
	o := engine.Values{"key": "k", "type": "stream", "claim_after": 2 * time.Second, "consumer": "slow"}
	slow := read(t, inredis.Kind, "redis://"+s.socket(), o, true)
	until(t, "all", func() bool { return slow.len() == 10 })
	seen := time.Now()
	o["consumer"] = "other"
	other := read(t, inredis.Kind, "redis://"+s.socket(), o, false)
	until(t, "three times claim_after", func() bool { return time.Since(seen) > 6*time.Second })
	if n := other.len(); n != 0 {
		t.Skipf("%d were taken over: the machine stood still", n)
	}
	slow.release()
	slow.stop()
	other.stop()
}

func TestRedisStreamEntries(t *testing.T) {
	s := newRedis(t)
	s.cli("XADD", "k", "*", "other", "1", "more", "x")
	s.cli("XADD", "k", "*", "eve", "{\n \"a\": 1\r\n}\n")
	s.cli("XADD", "k", "*", "eve", `{"a":"`+strings.Repeat("x", 9000)+`"}`)
	r := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": "stream", "max_line": int64(8000)}, false)
	until(t, "all", func() bool { return r.len() == 3 })
	r.stop()
	if got := r.records[0]; got.Reject != engine.ReasonMalformed || got.Body != `{"more":"x","other":"1"}` {
		t.Errorf("got %+v", got)
	}
	if got := r.records[1]; got.Reject != "" || got.Body != `{  "a": 1  }` {
		t.Errorf("got %+v", got)
	}
	if got := r.records[2]; got.Reject != engine.ReasonTooLong || len(got.Body) != 4096 {
		t.Errorf("got %.80v", got)
	}
	all := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": "stream", "group": "g2", "field": ""}, true)
	until(t, "all", func() bool { return all.len() == 3 })
	if got := all.records[0]; got.Reject != "" || got.Body != `{"more":"x","other":"1"}` {
		t.Errorf("got %+v", got)
	}
	all.crash()
	s.cli("XTRIM", "k", "MAXLEN", "0") // what is pending is gone; a reader that lives would have claimed it once more
	again := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": "stream", "group": "g2", "field": ""}, false)
	until(t, "the loss is counted", func() bool { return again.count("deleted_total") == 3 })
	again.stop()
	if pending := s.cli("XPENDING", "k", "g2"); !strings.HasPrefix(pending, "0") {
		t.Errorf("pending: %s", pending)
	}
}

func TestRedisChannel(t *testing.T) {
	s := newRedis(t)
	a := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "eve.a", "type": "channel"}, false)
	all := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "eve.*", "type": "pattern"}, false)
	until(t, "the subscriptions", func() bool {
		return s.cli("PUBSUB", "NUMPAT") == "1" && strings.Contains(s.cli("PUBSUB", "NUMSUB", "eve.a"), "1")
	})
	want, commands := numbered("PUBLISH eve.a '%s'", 0, 1000)
	s.feed(commands)
	_, commands = numbered("PUBLISH eve.b '%s'", 0, 10)
	s.feed(commands)
	until(t, "all", func() bool { return a.len() == 1000 && all.len() == 1010 })
	if !slices.Equal(a.bodies(), want) {
		t.Error("other events, or another order")
	}
	s.kill()
	until(t, "a message", func() bool { return strings.Contains(a.text(), "what is published meanwhile is lost") })
	s.start()
	until(t, "the subscription", func() bool { return strings.Contains(s.cli("PUBSUB", "NUMSUB", "eve.a"), "1") })
	s.cli("PUBLISH", "eve.a", "{}")
	until(t, "what comes later", func() bool { return a.len() == 1001 })
	if a.count("connection_breaks_total") == 0 {
		t.Error("the break is not counted")
	}
	a.stop()
	all.stop()
}

// TestRedisRefuses: what an operator has done wrong is in the log, once, with the remedy.
func TestRedisRefuses(t *testing.T) {
	s := newRedis(t, "--requirepass", "secret")
	for _, tc := range []struct {
		o    engine.Values
		want string
	}{
		{engine.Values{"key": "k"}, "the server wants a password"},
		{engine.Values{"key": "k", "password": "wrong"}, "correct user and password"},
		{engine.Values{"key": "k", "password": "secret", "database": int64(99)}, "correct database"},
		{engine.Values{"key": "h", "password": "secret"}, "the key holds something else"},
		{engine.Values{"key": "h", "password": "secret", "type": "stream"}, "the key holds something else"},
	} {
		s.cli("-a", "secret", "--no-auth-warning", "HSET", "h", "a", "b")
		r := read(t, inredis.Kind, "redis://"+s.socket(), tc.o, false)
		until(t, tc.want, func() bool { return strings.Contains(r.text(), tc.want) && r.count("connection_breaks_total") >= 3 })
		r.stop()
		if strings.Count(r.text(), "level=ERROR") != 1 {
			t.Errorf("got\n%s", r.text())
		}
	}
}

func TestRedisRows(t *testing.T) {
	for _, tc := range []struct {
		uri  string
		o    engine.Values
		want string
	}{
		{"redis://host:6379", nil, "names no key"},
		{"redis:///run/redis.sock", nil, "names no key"},
		{"redis://u:p@host/key", nil, "belong into the keys user and password"},
		{"redis://host:99999/key", nil, "no host:port"},
		{"redis://host:x/key", nil, "no host:port"},
		{"redis:// /key", nil, "empty"},
		{"redis://a,b/key", nil, "wants cluster = true"},
		{"redis://a/key", engine.Values{"key": "other"}, "want one of them"},
		{"redis://a/key", engine.Values{"cluster": true, "database": int64(1)}, "only database 0"},
		{"redis://a/key", engine.Values{"cluster": true, "sentinel_master": "m"}, "exclude each other"},
		{"rediss://a/key", engine.Values{"tls_ca": "/does/not/exist"}, "does/not/exist"},
		{"redis://a/key", engine.Values{"type": "stream", "group": ""}, "is empty"},
	} {
		_, err := inredis.Kind.New(newRow(t, inredis.Kind.Options, tc.uri, tc.o).p)
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key == "" || !strings.Contains(list[0].Msg, tc.want) || strings.Contains(list[0].Msg, "u:p@") {
			t.Errorf("%s: got %v, want %q", tc.uri, err, tc.want)
		}
	}
	in, err := inredis.Kind.New(newRow(t, inredis.Kind.Options, "redis://[::1],host:7000/key", engine.Values{"sentinel_master": "m"}).p)
	if err != nil {
		t.Fatal(err)
	}
	if _, any := in.(engine.PortUser).Ports(); !any {
		t.Error("Sentinels name servers with other ports")
	}
	in, err = inredis.Kind.New(newRow(t, inredis.Kind.Options, "redis://[::1]:7000/key", nil).p)
	if err != nil {
		t.Fatal(err)
	}
	if ports, any := in.(engine.PortUser).Ports(); any || len(ports) != 1 || ports[0].Port != 7000 {
		t.Errorf("got %v %v", ports, any)
	}
}
