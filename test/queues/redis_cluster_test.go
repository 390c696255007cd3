package queues

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"dragonfly/engine"
	inredis "dragonfly/engine/input/redis"
	outredis "dragonfly/engine/output/redis"
)

// freePort returns a port below 50000 that nobody uses: a cluster's bus is 10000 above.
func freePort(t testing.TB) string {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port < 50000 {
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// TestRedisCluster sends events through a cluster: keys of fields are in many slots, those of a processing list in one.
func TestRedisCluster(t *testing.T) {
	port := freePort(t)
	s := newRedis(t, "--port", port, "--bind", "127.0.0.1", "--cluster-enabled", "yes")
	s.cli("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	until(t, "the cluster", func() bool { return strings.Contains(s.cli("CLUSTER", "INFO"), "cluster_state:ok") })
	events := makeEvents(0, 3000)
	uri := "redis://127.0.0.1:" + port + "/"
	out, _ := newOutput(t, outredis.Kind, uri+"k.{event_type}", engine.Values{"cluster": true})
	if refused := deliver(t, out, events); refused != nil {
		t.Fatal(refused)
	}
	for _, key := range []string{"k.t0", "k.t1", "k.t2"} {
		r := read(t, inredis.Kind, uri+key, engine.Values{"cluster": true}, false)
		until(t, key, func() bool { return r.len() == 1000 })
		r.stop()
	}
	if keys := s.cli("KEYS", "*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}
