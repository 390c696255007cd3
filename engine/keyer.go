package engine

import (
	"strconv"
	"strings"

	"dragonfly/engine/lazyjson"
)

// keyer computes the shard key of an event from shard_by.
type keyer struct {
	paths       [][]string
	communityID bool
	origin      bool
}

// byOrigin as shard_by: events of one origin (a partition of a topic, a file) meet in one shard.
const byOrigin = "@origin"

// keyScratch is reused memory of one goroutine for keyer.hash.
type keyScratch struct{ root, nested []lazyjson.Field }

// newKeyer returns nil for an empty shard_by.
func newKeyer(shardBy []string) *keyer {
	if len(shardBy) == 0 {
		return nil
	}
	k := &keyer{communityID: len(shardBy) == 1 && shardBy[0] == "community_id", origin: len(shardBy) == 1 && shardBy[0] == byOrigin}
	for _, p := range shardBy {
		k.paths = append(k.paths, strings.Split(p, "."))
	}
	return k
}

// hash is equal for events with equal keys. Several fields count in any order, so that {"src_ip", "dest_ip"} is the same
// for both directions. A missing field counts as empty. community_id falls back to the addresses, ports and protocol.
func (k *keyer) hash(ev *Event, scratch *keyScratch) uint64 {
	if k.origin {
		if ev.rec == nil {
			return 0 // of a timer
		}
		return hashOrigin(ev.rec.batch.origin)
	}
	index := ev.Index
	if index == nil {
		var err error
		if scratch.root, err = lazyjson.IndexObject(scratch.root[:0], ev.Body); err != nil {
			return 0 // the stage will refuse it
		}
		index = scratch.root
	}
	if k.communityID {
		if f := lazyjson.Find(index, ev.Body, "community_id"); f == nil {
			return hashTuple(index, ev.Body)
		}
	}
	var sum uint64
	for _, p := range k.paths {
		var f *lazyjson.Field
		if f, scratch.nested = lazyjson.FindPath(index, ev.Body, p, scratch.nested); f != nil {
			sum += hashKey(f.Raw(ev.Body))
		}
	}
	return sum
}

// hashOrigin hashes an origin so that those that differ in their number at the end only, as partitions do, are spread evenly.
func hashOrigin(origin string) uint64 {
	name := strings.TrimRight(origin, "0123456789")
	n, _ := strconv.ParseUint(origin[len(name):], 10, 64)
	return hashKey(name) + n
}

func hashTuple(index []lazyjson.Field, body string) uint64 {
	raw := func(key string) string {
		if f := lazyjson.Find(index, body, key); f != nil {
			return f.Raw(body)
		}
		return ""
	}
	side := func(ip, port string) uint64 {
		return hashKey(raw(ip)) ^ 31*hashKey(raw(port))
	}
	return side("src_ip", "src_port") + side("dest_ip", "dest_port") + hashKey(raw("proto"))
}

// hashKey is FNV-1a, mixed so that its low bits depend on all of key. It is the same in every process: what scripts keep per
// key must meet the events of that key after a restart too.
func hashKey(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return h ^ h>>33
}
