package remote

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
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

// newSentinels starts a master with a replica and three Sentinels.
func newSentinels(t *testing.T) (master, replica *server, addrs []string) {
	master = newTCP(t)
	host, port, _ := net.SplitHostPort(master.addr)
	replica = newTCP(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	var sentinels []*server
	for range 3 {
		dir, p := parts.ShortDir(t), parts.FreePort(t)
		conf := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\nunixsocket %s/s\ndir %s\nsentinel monitor main %s %s 2\nsentinel down-after-milliseconds main 500\n"+
			"sentinel failover-timeout main 3000\n", p, dir, dir, host, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &server{parts.StartRedis(t, dir, conf, "--sentinel"), "127.0.0.1:" + p}
		sentinels = append(sentinels, s)
		addrs = append(addrs, s.addr)
	}
	parts.Until(t, "the Sentinels know each other and the replica", func() bool {
		for _, s := range sentinels {
			if out := s.CLI("SENTINEL", "MASTER", "main"); !strings.Contains(out, "num-other-sentinels\n2") || !strings.Contains(out, "num-slaves\n1") {
				return false
			}
		}
		return strings.Contains(replica.CLI("INFO", "replication"), "master_link_status:up")
	})
	return master, replica, addrs
}

func TestSentinel(t *testing.T) {
	master, replica, addrs := newSentinels(t)
	client := newClient(t, Options{Addrs: addrs, Master: "main", Wait: 30 * time.Second, Timeout: time.Second})
	c := client.Session()
	steps(t, c, "SET k v", "+OK", "GET k", `"v"`)
	if got := master.CLI("GET", "k"); got != "v" {
		t.Errorf("the master has %s", got)
	}
	parts.Until(t, "the replica has it", func() bool { return replica.CLI("GET", "k") == "v" })
	var issued atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			c := client.Session()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, err := c.Do([]string{"INCR", "after"}); err != nil || r.Kind != store.Int {
					t.Errorf("%v, %v", r, err)
					return
				}
				issued.Add(1)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	master.Kill()
	parts.Until(t, "the replica is the master", func() bool { return strings.Contains(replica.CLI("ROLE"), "master") })
	before := issued.Load()
	parts.Until(t, "commands go on", func() bool { return issued.Load() > before+100 })
	close(stop)
	wg.Wait()
	steps(t, c, "GET k", `"v"`, "SET k w", "+OK")
	if got := replica.CLI("GET", "k"); got != "w" {
		t.Errorf("the new master has %s", got)
	}
	// the old master comes back, as a replica, and nobody writes to it
	master.Start()
	parts.Until(t, "the old master is a replica", func() bool { return strings.Contains(master.CLI("ROLE"), "slave") })
	for i := range 50 {
		if got := do(client.Session(), "SET", fmt.Sprint("n", i), "1"); got != "+OK" {
			t.Fatalf("got %s", got)
		}
	}
	wrong := newClient(t, Options{Addrs: addrs, Master: "nosuch", Wait: time.Second, Timeout: 300 * time.Millisecond})
	within(t, 3*time.Second, "an unknown master", func() {
		if got := do(wrong.Session(), "PING"); !strings.HasPrefix(got, "error: ") {
			t.Errorf("got %s", got)
		} else if !strings.Contains(got, `redis_master "nosuch"`) {
			t.Errorf("got %s", got)
		}
	})
}

// cluster is a Redis Cluster of three masters.
type cluster struct {
	t     *testing.T
	nodes []*server
	ids   []string
}

func newCluster(t *testing.T, tlsDir string) *cluster {
	cl := &cluster{t: t}
	for range 3 {
		args := []string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"}
		var s *server
		if tlsDir == "" {
			s = newTCP(t, args...)
		} else {
			port := parts.FreePort(t)
			s = newServer(t, append(args, "--tls-port", port, "--bind", "127.0.0.1", "--tls-cert-file", tlsDir+"/cert.pem", "--tls-key-file", tlsDir+"/cert.key",
				"--tls-ca-cert-file", tlsDir+"/ca.pem", "--tls-auth-clients", "no", "--tls-cluster", "yes")...)
			s.addr = "127.0.0.1:" + port
		}
		cl.nodes = append(cl.nodes, s)
	}
	for i, s := range cl.nodes {
		s.CLI("CONFIG", "SET", "cluster-require-full-coverage", "yes")
		s.CLI("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		from, to := 16384*i/3, 16384*(i+1)/3-1
		s.CLI("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to))
		cl.ids = append(cl.ids, s.CLI("CLUSTER", "MYID"))
	}
	for _, s := range cl.nodes[1:] {
		host, port, _ := net.SplitHostPort(s.addr)
		cl.nodes[0].CLI("CLUSTER", "MEET", host, port)
	}
	parts.Until(t, "the cluster is up", func() bool {
		for _, s := range cl.nodes {
			if info := s.CLI("CLUSTER", "INFO"); !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	return cl
}

func (cl *cluster) addrs() []string {
	var list []string
	for _, s := range cl.nodes {
		list = append(list, s.addr)
	}
	return list
}

// move migrates a slot, key by key.
func (cl *cluster) move(slot string, from, to int, pause time.Duration) {
	cl.nodes[to].CLI("CLUSTER", "SETSLOT", slot, "IMPORTING", cl.ids[from])
	cl.nodes[from].CLI("CLUSTER", "SETSLOT", slot, "MIGRATING", cl.ids[to])
	host, port, _ := net.SplitHostPort(cl.nodes[to].addr)
	time.Sleep(pause)
	for {
		key := cl.nodes[from].CLI("CLUSTER", "GETKEYSINSLOT", slot, "1")
		if key == "" {
			break
		}
		cl.nodes[from].CLI("MIGRATE", host, port, key, "0", "5000")
		time.Sleep(pause)
	}
	cl.nodes[to].CLI("CLUSTER", "SETSLOT", slot, "NODE", cl.ids[to])
	time.Sleep(pause)
	cl.nodes[from].CLI("CLUSTER", "SETSLOT", slot, "NODE", cl.ids[to])
}

func TestCluster(t *testing.T) {
	cl := newCluster(t, "")
	client := newClient(t, Options{Addrs: cl.addrs()[:1], Cluster: true, Wait: 20 * time.Second, Timeout: 2 * time.Second})
	c := client.Session()
	const n = 600
	var sets, gets [][]string
	for i := range n {
		key := fmt.Sprint("key:", i)
		if i%2 == 0 {
			steps(t, c, "SET "+key+" "+key, "+OK")
		} else {
			sets = append(sets, []string{"SET", key, key})
		}
		gets = append(gets, []string{"GET", key})
	}
	if _, err := c.Pipeline(sets); err != nil {
		t.Fatal(err)
	}
	replies, err := c.Pipeline(gets)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replies {
		if r.Str != fmt.Sprint("key:", i) {
			t.Fatalf("%s: got %s", gets[i], show(r, nil))
		}
	}
	for i, s := range cl.nodes {
		if size, _ := strconv.Atoi(s.CLI("DBSIZE")); size < n/6 {
			t.Errorf("node %d has %d keys", i, size)
		}
	}
	steps(t, c, "MGET key:1 key:2", "-CROSSSLOT Keys in request don't hash to the same slot", "MSET {a}1 x {a}2 y", "+OK", "MGET {a}1 {a}2", `["x" "y"]`,
		"EVAL return{KEYS[1],ARGV[1]} 1 {a}1 v", `["{a}1" "v"]`, "PING", "+PONG", "ECHO x", `"x"`)
	for _, name := range []string{"MULTI", "WATCH"} {
		if got := do(c, name, "{a}1"); !strings.Contains(got, "redis_cluster") {
			t.Errorf("%s: got %s", name, got)
		}
	}
	tx := func(commands ...[]string) string {
		replies, err := c.Pipeline(commands)
		return show(store.Reply{Kind: store.Array, Elems: replies}, err)
	}
	if got := tx([]string{"MULTI"}, []string{"INCR", "{t}1"}, []string{"INCR", "{t}2"}, []string{"EXEC"}); got != "[+OK +QUEUED +QUEUED [:1 :1]]" {
		t.Errorf("a transaction: got %s", got)
	}
	if got := tx([]string{"MULTI"}, []string{"INCR", "key:1"}, []string{"INCR", "key:2"}, []string{"EXEC"}); !strings.HasPrefix(got, "[+OK +QUEUED +QUEUED -CROSSSLOT ") {
		t.Errorf("a transaction over nodes: got %s", got)
	}
}

// TestSlotIsMoved migrates slots there and back while commands run on their keys. Nothing was lost, nothing counted twice.
func TestSlotIsMoved(t *testing.T) {
	cl := newCluster(t, "")
	client := newClient(t, Options{Addrs: cl.addrs(), Cluster: true, Wait: time.Minute, Timeout: 30 * time.Second}) // what times out is sent again, and counts twice
	keys := []string{"{m}a", "{m}b", "{m}c", "{m}new"}                                                              // one slot; the last is made while it moves
	var counts [4]atomic.Int64
	slot := cl.nodes[0].CLI("CLUSTER", "KEYSLOT", "{m}")
	owner := 0
	for n, _ := strconv.Atoi(slot); n >= 16384*(owner+1)/3; {
		owner++
	}
	for _, k := range keys[:3] {
		steps(t, client.Session(), "SET "+k+" 0", "+OK")
	}
	var wg sync.WaitGroup
	var most atomic.Int64
	stop := make(chan struct{})
	for g := range 6 {
		wg.Go(func() {
			c := client.Session()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				start := time.Now()
				if g < 4 {
					if r, err := c.Do([]string{"INCR", keys[g]}); err != nil || r.Kind != store.Int {
						t.Errorf("%s: %v", show(r, err), err)
						return
					}
					counts[g].Add(1)
				} else {
					// some of these go elsewhere, and must not be repeated when those here must
					replies, err := c.Pipeline([][]string{{"INCR", keys[g-4]}, {"INCR", fmt.Sprint("else:", g)}, {"INCR", keys[g-4]}})
					if err != nil || replies[0].Kind != store.Int || replies[1].Int != int64(i+1) || replies[2].Kind != store.Int {
						t.Errorf("%d: %v, %v", i, replies, err)
						return
					}
					counts[g-4].Add(2)
				}
				most.Store(max(most.Load(), int64(time.Since(start))))
			}
		})
	}
	for i := range 4 {
		from, to := owner, (owner+1)%3
		if i%2 == 1 {
			from, to = to, from
		}
		cl.move(slot, from, to, 30*time.Millisecond)
	}
	close(stop)
	wg.Wait()
	for i, k := range keys {
		if got := do(client.Session(), "GET", k); got != strconv.Quote(fmt.Sprint(counts[i].Load())) {
			t.Errorf("%s: got %s, want %d", k, got, counts[i].Load())
		}
	}
	t.Logf("%d, %d, %d, %d counted, the longest took %v", counts[0].Load(), counts[1].Load(), counts[2].Load(), counts[3].Load(), time.Duration(most.Load()))
	if d := time.Duration(most.Load()); d > 20*time.Second {
		t.Errorf("a command took %v", d)
	}
}

func TestClusterNodeIsKilled(t *testing.T) {
	cl := newCluster(t, "")
	client := newClient(t, Options{Addrs: cl.addrs(), Cluster: true, Wait: 20 * time.Second, Timeout: time.Second})
	c := client.Session()
	steps(t, c, "SET a 1", "+OK", "SET b 1", "+OK", "SET c 1", "+OK")
	cl.nodes[1].Kill()
	time.AfterFunc(1500*time.Millisecond, func() { cl.nodes[1].Start() })
	for i := range 30 {
		if got := do(c, "SET", fmt.Sprint("k", i), "1"); got != "+OK" {
			t.Fatalf("%d: got %s", i, got)
		}
	}
	replies, err := c.Pipeline([][]string{{"SET", "a", "2"}, {"SET", "b", "2"}, {"SET", "c", "2"}})
	if got := show(store.Reply{Kind: store.Array, Elems: replies}, err); got != "[+OK +OK +OK]" {
		t.Errorf("got %s", got)
	}
}

// TestClusterNodeThatStaysAway is waited for no longer than Wait, though the other nodes answer all the time.
func TestClusterNodeThatStaysAway(t *testing.T) {
	cl := newCluster(t, "")
	for _, s := range cl.nodes {
		s.CLI("CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	var j parts.Log
	client := newClient(t, Options{Addrs: cl.addrs(), Cluster: true, Wait: 2 * time.Second, Timeout: 300 * time.Millisecond, Log: j.Logger()})
	key := func(node int) string {
		for i := 0; ; i++ {
			k := fmt.Sprint("k", i)
			if slot, _ := strconv.Atoi(cl.nodes[0].CLI("CLUSTER", "KEYSLOT", k)); slot*3/16384 == node {
				return k
			}
		}
	}
	here, there := key(0), key(1)
	steps(t, client.Session(), "SET "+here+" 1", "+OK", "SET "+there+" 1", "+OK")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for c := client.Session(); ; {
			select {
			case <-stop:
				return
			default:
				if got := do(c, "SET", here, "1"); got != "+OK" {
					t.Errorf("got %s", got)
					return
				}
			}
		}
	})
	cl.nodes[1].Signal(syscall.SIGSTOP)
	got := ""
	within(t, 6*time.Second, "a command to the dead node", func() { got = do(client.Session(), "SET", there, "1") })
	close(stop)
	wg.Wait()
	if !strings.HasPrefix(got, "error: ") && !strings.HasPrefix(got, "-CLUSTERDOWN") {
		t.Errorf("got %s", got)
	}
	if n := strings.Count(j.String(), "redis does not answer"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, j.String())
	}
	cl.nodes[1].Signal(syscall.SIGCONT)
}

func TestClusterOverTLS(t *testing.T) {
	dir := parts.ShortDir(t)
	pool := certificates(t, dir, "127.0.0.1")
	cl := newCluster(t, dir)
	c := newClient(t, Options{Addrs: cl.addrs(), Cluster: true, TLS: &tls.Config{RootCAs: pool}}).Session()
	steps(t, c, "SET a 1", "+OK", "SET b 1", "+OK", "SET c 1", "+OK", "GET a", `"1"`)
}
