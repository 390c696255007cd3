package queues

import (
	"strings"
	"testing"

	"dragonfly/engine"
	inredis "dragonfly/engine/input/redis"
	outredis "dragonfly/engine/output/redis"
	"dragonfly/test/parts"
)

func freePort(t testing.TB) string { return parts.FreePort(t) }

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
