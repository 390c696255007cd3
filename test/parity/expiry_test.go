package parity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dragonfly/test/parts"
)

// life is how long the keys of TestExpiryEnds live. A look that is nearer to the end than margin proves nothing.
const (
	life   = 300 * time.Millisecond
	margin = 60 * time.Millisecond
)

// makers make a key K that lives for life, one for each way to say it. END is the time of its end.
var makers = []string{
	"SET K 1 PX 300",
	"SET K 1 PXAT END",
	"PSETEX K 300 1",
	"SET K 1|PEXPIRE K 300",
	"SET K 1|PEXPIREAT K END",
	"SET K 1|GETEX K PX 300",
	"SET K 1|GETEX K PXAT END",
	"HSET K f v|PEXPIRE K 300",
	"RPUSH K a b|PEXPIRE K 300",
	"SADD K a b|PEXPIRE K 300",
	"ZADD K 1 a|PEXPIRE K 300",
	"PFADD K a|PEXPIRE K 300",
	"XADD K 1-1 f v|PEXPIRE K 300",
	"SET K 1 PX 300|APPEND K 2|INCR K",
	"SET other 1 PX 300|RENAME other K",
	"SET other 1 PX 300|COPY other K|DEL other",
	"SET K 1 PX 100000|SET K 2 KEEPTTL|PEXPIRE K 300 LT",
	"MULTI|SET K 1|PEXPIRE K 300|EXEC",
}

// TestExpiryEnds looks at keys of each type until after their end: on both sides they must live, and be gone, at the same
// time.
func TestExpiryEnds(t *testing.T) {
	r := newRig(t)
	begin := time.Now()
	ends := make([]time.Time, len(makers))
	slow := make([]bool, len(makers)) // the machine was too busy: the end is not known well enough
	for i, maker := range makers {
		ends[i] = time.Now().Add(life)
		for _, text := range strings.Split(maker, "|") {
			fields := strings.Fields(text)
			for k, f := range fields {
				switch f {
				case "K":
					fields[k] = key(i)
				case "other":
					fields[k] += key(i)
				case "END":
					fields[k] = fmt.Sprint(ends[i].UnixMilli())
				}
			}
			r.both(t, strings.Join(fields, " "))
		}
		slow[i] = time.Until(ends[i]) < life-margin/2
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	seen := [2]int{}
	for now := range tick.C {
		for i, maker := range makers {
			left := ends[i].Sub(now)
			want := int64(1)
			if left < 0 {
				want = 0
			}
			if max(left, -left) < margin || slow[i] {
				continue
			}
			for who, s := range map[string]side{"redis": r.real, "ours": r.ours} {
				got := s.do(observer, "EXISTS", key(i)).int
				if d := time.Until(ends[i]); got != want && (d < 0) == (left < 0) && max(d, -d) >= margin {
					t.Errorf("%s: %s: %v before its end EXISTS is %d, want %d", who, maker, d, got, want)
				}
			}
			seen[want]++
		}
		if now.Sub(begin) > life+3*margin {
			break
		}
	}
	if seen[0] == 0 || seen[1] == 0 {
		parts.Skip(t, "the machine is too busy: %d looks before the end, %d after it", seen[1], seen[0])
	}
	// without being asked for
	for who, s := range map[string]side{"redis": r.real, "ours": r.ours} {
		for _, q := range [][]string{{"KEYS", "*"}, {"SCAN", "0", "COUNT", "1000"}, {"RANDOMKEY"}} {
			if got := s.do(observer, q...).String(); strings.Contains(got, key(0)) {
				t.Errorf("%s: %s shows keys whose time is over: %s", who, q, got)
			}
		}
		for deadline := time.Now().Add(10 * time.Second); s.do(observer, "DBSIZE").int != 0; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("%s: keys whose time is over are never dropped: DBSIZE is %s", who, s.do(observer, "DBSIZE"))
			}
		}
	}
}

// key is the name of the key of the i-th maker.
func key(i int) string { return fmt.Sprintf("key%d_", i) }

// both carries out a command without blanks in its arguments on both sides.
func (r *rig) both(t *testing.T, text string) {
	t.Helper()
	args := strings.Fields(text)
	want, got := r.real.do(actor, args...), r.ours.do(actor, args...)
	if !equal(strings.ToUpper(args[0]), want, got, false) || want.kind == failure {
		t.Fatalf("%s\nredis: %s\n ours: %s", text, want, got)
	}
}

// expired are commands on keys whose time is over: they must find nothing. K is a string, H, L, S, Z, X are of other types.
var expired = []string{
	"GET K", "STRLEN K", "APPEND K x", "INCR K", "DECRBY K 3", "INCRBYFLOAT K 1.5", "SETRANGE K 3 x", "GETRANGE K 0 -1", "SETBIT K 1 1",
	"GETBIT K 1", "SETNX K v", "SET K v NX", "SET K v XX", "SET K v GET", "SET K v KEEPTTL", "GETSET K v", "GETDEL K", "GETEX K",
	"MGET K K", "MSETNX K 1 other 2", "DEL K", "UNLINK K", "EXISTS K", "TOUCH K", "TYPE K", "TTL K", "PTTL K", "EXPIRETIME K",
	"PERSIST K", "EXPIRE K 100", "EXPIRE K 100 XX", "RENAME K new", "RENAMENX K new", "COPY K new", "COPY H K", "RENAMENX other2 K",
	"HGETALL H", "HSET H a b", "HINCRBY H n 1", "HDEL H f", "HLEN H", "HSET K f v", "HGET K f",
	"LRANGE L 0 -1", "LPUSHX L x", "RPUSH L x", "LPOP L", "LMOVE L L2 LEFT LEFT", "LLEN L", "RPUSH K x", "LSET L 0 x",
	"SMEMBERS S", "SADD S x", "SREM S a", "SINTER S S", "SUNIONSTORE new2 S other3", "SADD K x", "SMOVE S S2 a",
	"ZRANGE Z 0 -1", "ZADD Z XX 1 a", "ZINCRBY Z 1 a", "ZUNIONSTORE new3 2 Z S", "ZADD K 1 a", "ZPOPMIN Z",
	"XRANGE X - +", "XADD X NOMKSTREAM 1-1 a b", "XADD X 1-1 a b", "XLEN X", "XREAD STREAMS X 0", "XADD K 1-1 a b",
	"PFADD P a", "PFCOUNT P", "PFMERGE P2 P", "PFADD K a", "WATCH K",
}

// TestExpiryIsSeen runs each command on keys whose time is just over.
func TestExpiryIsSeen(t *testing.T) {
	r := newRig(t)
	names := []string{"K", "H", "L", "S", "Z", "X", "P"}
	rename := func(text string, i int) string {
		fields := strings.Fields(text)
		for k, f := range fields {
			for _, n := range names {
				if k > 0 && f == n {
					fields[k] = n + key(i)
				}
			}
		}
		return strings.Join(fields, " ")
	}
	for i := range expired {
		for _, mk := range []string{"SET K 1", "HSET H f v", "RPUSH L a b", "SADD S a b", "ZADD Z 1 a 2 b", "XADD X 5-5 f v", "PFADD P q"} {
			r.both(t, rename(mk, i))
			r.both(t, rename("PEXPIRE "+strings.Fields(mk)[1]+" 40", i))
		}
	}
	// watched keys: one that ends, one that is left alone
	for _, s := range []side{r.real, r.ours} {
		s.do(other, "SET", "watched", "1", "PX", "40")
		s.do(other, "WATCH", "watched", "never")
		s.do(other, "MULTI")
		s.do(other, "PING")
	}
	<-time.After(120 * time.Millisecond)
	if want, got := r.real.do(other, "EXEC"), r.ours.do(other, "EXEC"); !same(want, got) {
		t.Errorf("EXEC after a watched key's time is over\nredis: %s\n ours: %s", want, got)
	}
	for i, text := range expired {
		args := strings.Fields(rename(text, i))
		want, got := r.real.do(actor, args...), r.ours.do(actor, args...)
		if !equal(args[0], want, got, false) {
			t.Errorf("%s\nredis: %s\n ours: %s", text, want, got)
		}
	}
	for _, s := range []side{r.real, r.ours} { // keys whose time is over still count until they are swept
		for deadline := time.Now().Add(10 * time.Second); s.do(observer, "DBSIZE").int != int64(len(s.do(observer, "KEYS", "*").elems)); {
			if time.Now().After(deadline) {
				t.Fatal("keys whose time is over are never dropped")
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	if bad := r.compareAll(); bad != "" {
		t.Error(bad)
	}
}

// TestTimeToLive compares what TTL and PTTL say while a time to live runs.
func TestTimeToLive(t *testing.T) {
	r := newRig(t)
	now := time.Now().UnixMilli()
	for k, ms := range map[string]int64{"a": 2000, "b": 1700, "c": 900} { // the same end on both sides
		r.both(t, fmt.Sprintf("SET %s 1 PXAT %d", k, now+ms))
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 16 {
		<-tick.C
		for _, k := range []string{"a", "b", "c"} {
			before := r.ours.do(observer, "PTTL", k).int
			real, text := r.real.do(observer, "PTTL", k).int, r.ours.do(observer, "TTL", k).int
			after := r.ours.do(observer, "PTTL", k).int
			if real > before+1 || real < after-1 {
				t.Errorf("PTTL %s: redis %d, ours %d and then %d", k, real, before, after)
			}
			if before < 0 || after < 0 { // its time is over
				continue
			}
			if low, high := (after+500)/1000, (before+500)/1000; text < low || text > high {
				t.Errorf("TTL %s is %d while PTTL goes from %d to %d", k, text, before, after)
			}
		}
	}
}

// TestHyperLogLogBytes moves HyperLogLogs as strings in both directions: each side must understand the other's.
func TestHyperLogLogBytes(t *testing.T) {
	r := newRig(t)
	for _, n := range []int{0, 1, 3, 100, 1000, 20000} {
		for _, s := range []side{r.real, r.ours} {
			s.do(actor, "DEL", "p")
			s.do(actor, "PFADD", "p")
			for i := range n {
				s.do(actor, "PFADD", "p", fmt.Sprint("element ", i))
			}
		}
		want := r.real.do(actor, "PFCOUNT", "p")
		theirs, mine := r.real.do(actor, "GET", "p"), r.ours.do(actor, "GET", "p")
		r.ours.do(actor, "SET", "q", theirs.str)
		r.real.do(actor, "SET", "q", mine.str)
		for _, get := range []struct {
			what string
			side side
			key  string
		}{{"ours", r.ours, "p"}, {"redis's bytes in ours", r.ours, "q"}, {"our bytes in redis", r.real, "q"}} {
			if got := get.side.do(actor, "PFCOUNT", get.key); !same(got, want) {
				t.Errorf("%d elements, %s: PFCOUNT is %s, want %s", n, get.what, got, want)
			}
		}
		r.both(t, "PFADD q more of it")
		r.both(t, "PFMERGE m p q")
		r.both(t, "PFCOUNT m")
	}
}
