package engine

import (
	"fmt"
	"testing"
)

// TestShardByOrigin: the partitions of a topic are spread evenly, and each always meets the same shard.
func TestShardByOrigin(t *testing.T) {
	k := newKeyer([]string{byOrigin})
	event := func(origin string) *Event {
		return &Event{Body: "{}", rec: &record{batch: &recordBatch{origin: origin}}}
	}
	seen := map[uint64]int{}
	for n := range 12 {
		origin := fmt.Sprintf("kafka://eve/%d", n)
		h := k.hash(event(origin), nil)
		if h != k.hash(event(origin), nil) {
			t.Error("not stable")
		}
		seen[h%4]++
	}
	for shard, n := range seen {
		if n != 3 || len(seen) != 4 {
			t.Errorf("shard %d has %d of 12 partitions", shard, n)
		}
	}
	if k.hash(&Event{Body: "{}"}, nil) != 0 {
		t.Error("an event of a timer has no origin")
	}
	if k.hash(event("/var/log/a.json"), nil) == k.hash(event("/var/log/b.json"), nil) {
		t.Error("two files, one hash")
	}
}
