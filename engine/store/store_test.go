package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// do carries out a command line and returns its reply as text: "OK", "(nil)", "3", "[a b]".
func do(c *Conn, line string) string { return show(c.Do(strings.Fields(line))) }

func show(r Reply) string {
	switch r.Kind {
	case Nil:
		return "(nil)"
	case Int:
		return fmt.Sprint(r.Int)
	case Array:
		parts := []string{}
		for _, e := range r.Elems {
			parts = append(parts, show(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return r.Str
}

func check(t *testing.T, c *Conn, steps ...string) {
	t.Helper()
	for i := 0; i < len(steps); i += 2 {
		if got := do(c, steps[i]); got != steps[i+1] {
			t.Errorf("%s: got %s, want %s", steps[i], got, steps[i+1])
		}
	}
}

func TestTransactions(t *testing.T) {
	s := open(t, Options{})
	a, b := s.Conn(), s.Conn()
	check(t, a, "MULTI", "OK", "INCR n", "QUEUED", "LPUSH n x", "QUEUED", "INCR n", "QUEUED")
	check(t, b, "GET n", "(nil)")
	check(t, a, "EXEC", "[1 WRONGTYPE Operation against a key holding the wrong kind of value 2]",
		"WATCH n", "OK", "MULTI", "OK", "INCR n", "QUEUED")
	check(t, b, "DEL n", "1", "SET n 2", "OK")
	check(t, a, "EXEC", "(nil)", "GET n", "2", "WATCH m", "OK", "MULTI", "OK", "INCR n", "QUEUED", "EXEC", "[3]",
		"MULTI", "OK", "NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: ", "EXEC", "EXECABORT Transaction discarded because of previous errors.",
		"EXEC", "ERR EXEC without MULTI")
}

// TestTransfer moves money between accounts from many goroutines, with snapshots in between: the sum must be right in every
// snapshot and at the end.
func TestTransfer(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{File: filepath.Join(dir, "store")})
	c := s.Conn()
	const accounts, each = 50, 100
	for i := range accounts {
		do(c, fmt.Sprintf("SET a%d %d", i, each))
	}
	total := func(s *Store) int64 {
		c, sum := s.Conn(), int64(0)
		c.Do([]string{"MULTI"})
		for i := range accounts {
			c.Do([]string{"INCRBY", fmt.Sprintf("a%d", i), "0"})
		}
		for _, r := range c.Do([]string{"EXEC"}).Elems {
			sum += r.Int
		}
		return sum
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			c, r := s.Conn(), rand.New(rand.NewPCG(1, uint64(w)))
			for range 3000 {
				from, to, n := r.IntN(accounts), r.IntN(accounts), r.IntN(9)
				c.Do([]string{"MULTI"})
				c.Do([]string{"DECRBY", fmt.Sprintf("a%d", from), fmt.Sprint(n)})
				c.Do([]string{"INCRBY", fmt.Sprintf("a%d", to), fmt.Sprint(n)})
				c.Do([]string{"EXEC"})
			}
		})
	}
	for range 30 {
		if err := s.Save(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "store"))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "copy"), text, 0o600)
		snapshot := open(t, Options{File: filepath.Join(dir, "copy")})
		if n := total(snapshot); n != accounts*each {
			t.Fatalf("a snapshot has a sum of %d, want %d", n, accounts*each)
		}
		snapshot.Close()
	}
	wg.Wait()
	if n := total(s); n != accounts*each {
		t.Errorf("the sum is %d, want %d", n, accounts*each)
	}
}

// TestSnapshot stores every type and reads it back.
func TestSnapshot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store")
	s := open(t, Options{File: file})
	c := s.Conn()
	for _, line := range []string{"SET text hello", "INCR n", "SETEX short 1000 v", "HSET h a 1 b 2", "RPUSH l x y z", "SADD s m1 m2",
		"ZADD z 1.5 a 2 b -inf c", "PFADD hll a b c", "XADD st 5-1 f v", "XADD st 5-2 f w", "XDEL st 5-2", "ML.LOGREG.SET lr 1 2 3", "ML.KMEANS.SET km 2 1 0 10",
		"ML.MATRIX.SET m 1 2 3 4", "ML.FOREST.ADD f 0 . NUMERIC 1 0.5 .l LEAF 0 .r CATEGORIC color red:blue .rl LEAF 1 STATS 1:3 .rr LEAF 2"} {
		if r := c.Do(strings.Fields(line)); r.Kind == Error {
			t.Fatalf("%s: %s", line, r.Str)
		}
	}
	big := []string{"PFADD", "big"}
	for i := range 5000 {
		big = append(big, fmt.Sprint(i))
		c.Do([]string{"SADD", "many", fmt.Sprint("m", i)})
	}
	c.Do(big)
	reads := []string{"GET text", "GET n", "HGETALL h", "LRANGE l 0 -1", "SMEMBERS s", "ZRANGE z 0 -1 WITHSCORES", "PFCOUNT hll", "PFCOUNT big", "XRANGE st - +",
		"XADD st 5-2 f x", "ML.LOGREG.PREDICT lr 1 1", "ML.KMEANS.PREDICT km 7", "ML.MATRIX.GET m", "ML.FOREST.RUN f 1:1,color:red", "ML.FOREST.RUN f 1:1,color:green REGRESSION",
		"SCARD many", "SISMEMBER many m4999", "DBSIZE", "TYPE lr", "TYPE f"}
	var want []string
	for _, line := range reads {
		want = append(want, do(c, line))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{File: file})
	for i, line := range reads {
		if got := do(again.Conn(), line); got != want[i] {
			t.Errorf("%s: got %s, want %s", line, got, want[i])
		}
	}
	if got := do(again.Conn(), "TTL short"); got != "1000" && got != "999" {
		t.Errorf("TTL short: %s", got)
	}
	if a, b := s.Stats().Memory, again.Stats().Memory; b > a+a/4 || b < a/2 {
		t.Errorf("memory is counted differently after a load: %d, then %d", a, b)
	}
}

// TestDamagedFile damages a snapshot in every way that a disk may: the store says so, starts empty and keeps the file.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "store")
	s := open(t, Options{File: file})
	for i := range 200 {
		s.Conn().Do([]string{"SET", fmt.Sprint("k", i), strings.Repeat("v", i)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := func(name string, text []byte) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "store")
			os.WriteFile(file, text, 0o600)
			s := open(t, Options{File: file})
			if got := do(s.Conn(), "DBSIZE"); got != "0" {
				t.Errorf("%s keys were read from a damaged file", got)
			}
			if kept, _ := filepath.Glob(file + ".damaged-*"); len(kept) != 1 {
				t.Errorf("the damaged file was not kept: %v", kept)
			} else if b, _ := os.ReadFile(kept[0]); string(b) != string(text) {
				t.Error("the kept file is not the damaged one")
			}
			do(s.Conn(), "SET new 1")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := do(open(t, Options{File: file}).Conn(), "GET new"); got != "1" {
				t.Errorf("after the fresh start: %s", got)
			}
		})
	}
	damaged("empty", nil)
	damaged("cut in the magic", whole[:5])
	damaged("cut in a block", whole[:len(whole)/2])
	damaged("without the last block", whole[:len(whole)-8])
	damaged("with something behind", append(slices.Clone(whole), 'x'))
	damaged("text", []byte("{\"not\":\"a store\"}\n"))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		flipped := slices.Clone(whole)
		flipped[r.IntN(len(flipped))] ^= 1 << r.IntN(8)
		damaged(fmt.Sprint("bit ", i), flipped)
	}
}

func TestExpiry(t *testing.T) {
	var ms int64 = 1e12
	var mu sync.Mutex
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.UnixMilli(ms) }
	pass := func(d time.Duration) { mu.Lock(); ms += d.Milliseconds(); mu.Unlock() }
	s := open(t, Options{Now: now})
	c := s.Conn()
	check(t, c, "SETEX k 10 v", "OK", "TTL k", "10", "PEXPIRE k 500", "1", "PTTL k", "500")
	pass(499 * time.Millisecond)
	check(t, c, "GET k", "v")
	pass(time.Millisecond)
	check(t, c, "GET k", "(nil)", "TTL k", "-2", "SET k v EX 1", "OK", "SET k w KEEPTTL", "OK", "PTTL k", "1000", "SET k x", "OK", "TTL k", "-1")
	for i := range 1000 {
		c.Do([]string{"SET", fmt.Sprint("t", i), "v", "PX", "100"})
	}
	used := s.Stats().Memory
	pass(time.Second)
	for end := time.Now().Add(60 * time.Second); s.Stats().Keys > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the sweeper left %d keys", s.Stats().Keys)
		}
	}
	if st := s.Stats(); st.Memory > used/100 || st.Expires != 0 || st.Expired < 1000 {
		t.Errorf("after the sweep: %+v, before %d bytes", st, used)
	}
}

func TestEviction(t *testing.T) {
	s := open(t, Options{MaxMemory: 1 << 20})
	c := s.Conn()
	c.Do([]string{"SET", "hot", "v"})
	for i := range 20000 {
		c.Do([]string{"SET", fmt.Sprint("k", i), strings.Repeat("x", 100)})
	}
	st := s.Stats()
	if st.Memory > 1<<20 || st.Evicted == 0 || st.Keys < 2000 {
		t.Errorf("%+v", st)
	}
	s = open(t, Options{MaxMemory: 1 << 16, Eviction: EvictNone})
	c = s.Conn()
	refused := 0
	for i := range 1000 {
		if r := c.Do([]string{"SET", fmt.Sprint("k", i), strings.Repeat("x", 100)}); r.Kind == Error {
			refused++
			if !strings.HasPrefix(r.Str, "OOM ") {
				t.Fatal(r.Str)
			}
		}
	}
	if refused == 0 || do(c, "GET k0") == "(nil)" {
		t.Errorf("%d refused; k0 is %s", refused, do(c, "GET k0"))
	}
	check(t, c, "DEL k0", "1")
}

// TestAccounting ends with an empty store that uses no memory, whatever was done before.
func TestAccounting(t *testing.T) {
	s := open(t, Options{})
	c, r := s.Conn(), rand.New(rand.NewPCG(3, 4))
	lines := []string{"SET %s %s", "APPEND %s %s", "HSET %s f %s", "HDEL %s f", "LPUSH %s %s", "RPOP %s", "SADD %s %s", "SPOP %s", "ZADD %s 1 %s", "ZPOPMIN %s",
		"PFADD %s %s", "XADD %s * f %s", "XTRIM %s MAXLEN 2", "DEL %s", "SETRANGE %s 10 %s", "HSET %s g %s", "LTRIM %s 0 1", "EXPIRE %s 100", "COPY %s k1 REPLACE", "RENAME %s k2",
		"ML.LINREG.SET %s 1 2", "ZUNIONSTORE k3 1 %s", "SUNIONSTORE k4 %s", "PFMERGE k5 %s"}
	for range 20000 {
		line := lines[r.IntN(len(lines))]
		key, val := fmt.Sprint("k", r.IntN(8)), strings.Repeat("v", 1+r.IntN(30))
		if strings.Count(line, "%s") == 1 {
			line = fmt.Sprintf(line, key)
		} else {
			line = fmt.Sprintf(line, key, val)
		}
		do(c, line)
		if s.used.Load() < 0 {
			t.Fatalf("memory is %d after %s", s.used.Load(), line)
		}
	}
	for i := range 8 {
		do(c, fmt.Sprint("DEL k", i))
	}
	if st := s.Stats(); st.Memory != 0 || st.Keys != 0 || st.Expires != 0 {
		t.Errorf("an empty store: %+v", st)
	}
}

// TestZset compares ranks and order with a sorted slice.
func TestZset(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	z := newZset()
	want := map[string]float64{}
	for range 5000 {
		m := fmt.Sprint("m", r.IntN(500))
		if r.IntN(3) == 0 {
			if n := z.byMember[m]; n != nil {
				z.remove(n)
			}
			delete(want, m)
		} else {
			score := float64(r.IntN(50))
			z.set(m, score)
			want[m] = score
		}
	}
	type pair struct {
		m string
		s float64
	}
	var list []pair
	for m, s := range want {
		list = append(list, pair{m, s})
	}
	slices.SortFunc(list, func(a, b pair) int {
		if a.s != b.s {
			return int(a.s - b.s)
		}
		return strings.Compare(a.m, b.m)
	})
	i := 0
	for m, s := range z.all {
		if list[i] != (pair{m, s}) {
			t.Fatalf("place %d is %s %g, want %v", i, m, s, list[i])
		}
		if rank := z.rank(z.byMember[m]); rank != i {
			t.Fatalf("rank of %s is %d, want %d", m, rank, i)
		}
		if n := z.at(i); n.member != m {
			t.Fatalf("at %d is %s, want %s", i, n.member, m)
		}
		i++
	}
	if i != len(list) || z.at(i) != nil || (i > 0 && z.tail.member != list[i-1].m) {
		t.Errorf("%d members, want %d", i, len(list))
	}
}

// TestScan finds every key and member that is there during the whole scan, while others come and go.
func TestScan(t *testing.T) {
	s := open(t, Options{})
	c := s.Conn()
	for i := range 9000 {
		c.Do([]string{"SET", fmt.Sprint("stay", i), "v"})
		c.Do([]string{"SADD", "set", fmt.Sprint("stay", i)})
	}
	for name, next := range map[string]func(cursor string) Reply{
		"SCAN":  func(cursor string) Reply { return c.Do([]string{"SCAN", cursor, "COUNT", "100", "MATCH", "stay*"}) },
		"SSCAN": func(cursor string) Reply { return c.Do([]string{"SSCAN", "set", cursor, "MATCH", "stay*"}) },
	} {
		seen, cursor, calls := map[string]bool{}, "0", 0
		for {
			r := next(cursor)
			for _, e := range r.Elems[1].Elems {
				seen[e.Str] = true
			}
			calls++
			c.Do([]string{"SET", fmt.Sprint("come", calls), "v"})
			c.Do([]string{"SADD", "set", fmt.Sprint("come", calls)})
			c.Do([]string{"SREM", "set", fmt.Sprint("come", calls-5)})
			if cursor = r.Elems[0].Str; cursor == "0" {
				break
			}
		}
		if len(seen) != 9000 || calls < 4 {
			t.Errorf("%s: %d of 9000 in %d calls", name, len(seen), calls)
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decoder{s: string(b)}
		for len(d.s) > 0 {
			if _, _, err := d.record(); err != nil {
				break
			}
		}
		decodeHLL(string(b))
	})
}

// TestModelFile: dragonfly-mle's analyzers send a file as it is, with its line feed.
func TestModelFile(t *testing.T) {
	c := open(t, Options{}).Conn()
	args := strings.Split("ML.FOREST.ADD f 0 . NUMERIC a 0.5 .l LEAF 0 .r LEAF 1", " ")
	for _, end := range []string{"\n", "1\n"} {
		if r := c.Do(append(slices.Clone(args[:len(args)-len(strings.TrimSpace(end))]), end)); r.Str != "OK" {
			t.Errorf("%q: %s", end, r.Str)
		}
	}
	check(t, c, "ML.FOREST.RUN f a:1", "1", "ML.FOREST.RUN f a:1 REGRESSION", "1", "ML.FOREST.RUN f b:1", "0")
}

func BenchmarkIncr(b *testing.B) {
	s := open(b, Options{})
	b.RunParallel(func(pb *testing.PB) {
		c := s.Conn()
		args := []string{"INCR", ""}
		keys := make([]string, 512)
		for i := range keys {
			keys[i] = fmt.Sprint("key:", rand.IntN(10000))
		}
		for i := 0; pb.Next(); i++ {
			args[1] = keys[i%512]
			c.Do(args)
		}
	})
}

// BenchmarkIncrApart is BenchmarkIncr with keys of its own for each worker: what shard_by gives.
func BenchmarkIncrApart(b *testing.B) {
	s := open(b, Options{})
	var worker atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		c := s.Conn()
		args := []string{"INCR", ""}
		keys := make([]string, 512)
		w := worker.Add(1)
		for i := range keys {
			keys[i] = fmt.Sprint("key:", w, ":", i)
		}
		for i := 0; pb.Next(); i++ {
			args[1] = keys[i%512]
			c.Do(args)
		}
	})
}

func BenchmarkZRank(b *testing.B) {
	s := open(b, Options{})
	c := s.Conn()
	for i := range 100000 {
		c.Do([]string{"ZADD", "z", fmt.Sprint(rand.IntN(1e9)), fmt.Sprint("10.", i>>8, ".", i&255)})
	}
	args := []string{"ZRANK", "z", ""}
	members := make([]string, 4096)
	for i := range members {
		n := rand.IntN(100000)
		members[i] = fmt.Sprint("10.", n>>8, ".", n&255)
	}
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		args[2] = members[i&4095]
		if c.Do(args).Kind != Int {
			b.Fatal("no rank")
		}
	}
}

func BenchmarkZIncrBy(b *testing.B) {
	s := open(b, Options{})
	c := s.Conn()
	args := []string{"ZINCRBY", "z", "100", ""}
	for i := 0; b.Loop(); i++ {
		args[3] = fmt.Sprint("10.0.", i>>8&255, ".", i&255)
		c.Do(args)
	}
}
