package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"

	"dragonfly/engine"
	"dragonfly/luabind"
)

// stateRoot is README's example as a member of group g, with short timeouts: its analyzer counts per key in `state`, which is in Redis
// by partition.
func stateRoot(t *testing.T, b *broker, r *redisServer) *root {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "-- example: kafka-state\n")
	example, _, ok2 := strings.Cut(text, "```")
	if !ok || !ok2 {
		t.Fatal("README.md has no example of Kafka with state")
	}
	for old, now := range map[string]string{"kafka-1:9092,kafka-2:9092": b.address, "redis-1:6379": r.socket(), "group=dragonfly": "group=g",
		`script = "pass.lua"`: `script = "pass.lua", session_timeout = "6s", rebalance_timeout = "20s"`} {
		if !strings.Contains(example, old) {
			t.Fatalf("README's example has no %s", old)
		}
		example = strings.Replace(example, old, now, 1)
	}
	return newRoot(t, `
-- scripts/config.lua --
`+example+`
listen = ""
-- scripts/pass.lua --
function loop(event) dragonfly.analyze_event(default_analyzer, event) end
-- analyzers/count.lua --
state.keys = state.keys or {}
local keys = state.keys
function loop(event)
  local k = tostring(event.key)
  keys[k] = (keys[k] or 0) + 1
  dragonfly.output_event(default_output, event)
end
`)
}

// partitionState is what Redis holds of a partition.
type partitionState struct {
	owner  string
	offset int64
	keys   map[int]int
}

// partitionStates reads the snapshots of all partitions of topic "in".
func partitionStates(t *testing.T, r *redisServer, partitions int) []partitionState {
	t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket()})
	defer c.Close()
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	list := make([]partitionState, partitions)
	for n := range list {
		had, err := c.HGetAll(t.Context(), "dragonfly:state:g:in:"+strconv.Itoa(n)).Result()
		if err != nil {
			t.Fatal(err)
		}
		list[n] = partitionState{owner: had["owner"], keys: map[int]int{}}
		if had["data"] == "" {
			continue
		}
		text, err := unpack.DecodeAll([]byte(had["data"]), nil)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := engine.ReadCut(text)
		if err != nil {
			t.Fatal(err)
		}
		list[n].offset = cut.Inputs["eve"][0].Offset
		for _, data := range cut.States["analyzer count"].Shards {
			var state struct{ Keys map[string]int }
			text, err := luabind.StateJSON(data)
			if err == nil {
				err = json.Unmarshal([]byte(text), &state)
			}
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range state.Keys {
				list[n].keys[number(t, k)] += v
			}
		}
	}
	return list
}

var memberID = regexp.MustCompile(`joined the group.* member=(\S+)`)

// TestKafkaStateOfManyProcesses: the state of scripts goes where the partitions go. Members join late, leave, are killed, and sleep for
// longer than their session, and the broker is started again; at the end the counters count each record once, none is missing at the
// output, and each key has kept its order.
func TestKafkaStateOfManyProcesses(t *testing.T) {
	const partitions = 12
	r := newRedis(t)
	b := startKafka(t)
	b.topic("in", partitions)
	b.topic("out", 6)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	acked, ended := b.produce(ctx, "in")
	more := func(n int64) {
		t.Helper()
		from := acked.Load()
		b.wait("the producer", func() bool { return acked.Load() >= from+n })
	}
	var all []*process
	join := func() *process {
		t.Helper()
		p := stateRoot(t, b, r).start()
		all = append(all, p)
		b.wait("a member", func() bool { return memberID.MatchString(p.text()) })
		return p
	}
	defer func() {
		for i, p := range all {
			if t.Failed() {
				t.Logf("member %d:\n%s", i, p.text())
			}
		}
	}()
	first := join()
	more(2000)
	second := join()
	third := join()
	owns := func(p *process) (n int) {
		id := memberID.FindStringSubmatch(p.text())[1]
		for _, st := range partitionStates(t, r, partitions) {
			if strings.HasPrefix(st.owner, id) {
				n++
			}
		}
		return n
	}
	b.wait("partitions of all three", func() bool { return owns(first) > 0 && owns(second) > 0 && owns(third) > 0 })
	more(2000)
	second.cmd.Process.Kill()
	more(2000)
	b.wait("the partitions of the killed one", func() bool { return owns(second) == 0 })

	third.signal(syscall.SIGSTOP)
	b.wait("the partitions of the sleeping one", func() bool { return owns(third) == 0 })
	more(2000)
	third.signal(syscall.SIGCONT)
	b.wait("the sleeper's return", func() bool { return len(memberID.FindAllString(third.text(), -1)) > 1 })
	more(2000)

	b.stop()
	b.wait("the messages about the outage", func() bool { return strings.Contains(first.text(), "does not work") })
	b.start()
	fourth := join()
	more(2000)
	first.stop()
	more(2000)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want, got := b.complete(third, fourth)
	if got.distinct != want.distinct || got.backwards > 0 {
		t.Errorf("want %d different records at the output, none against the order", want.distinct)
	}
	kept := partitionStates(t, r, partitions)
	stateCommands(t, stateRoot(t, b, r), kept)
	counted := map[int]int{}
	for n, st := range kept {
		sum := 0
		for k, v := range st.keys {
			if counted[k] > 0 {
				t.Errorf("key %d is in two partitions", k)
			}
			counted[k] += v
			sum += v
		}
		if int64(sum) != st.offset {
			t.Errorf("partition %d: counted %d records below offset %d", n, sum, st.offset)
		}
	}
	for k, each := range want.keys {
		produced := 0
		for _, times := range each {
			produced += times
		}
		if counted[k] != produced {
			t.Errorf("key %d: counted %d times, want %d", k, counted[k], produced)
		}
	}
}

// stateCommands checks that the command `state` says what is in Redis, of any root with the same config.lua, and removes it.
func stateCommands(t *testing.T, at *root, kept []partitionState) {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		code, text := at.run(append([]string{"state"}, args...)...)
		if code != 0 {
			t.Fatalf("state %q: exit code %d\n%s", args, code, text)
		}
		return text
	}
	list, show := run(), run("show", "analyzer count")
	for n, st := range kept {
		member, _, _ := strings.Cut(st.owner, " ")
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^eve +in/%d +%d +\d+ +\S+ ago +analyzer count +%s$`, n, st.offset, regexp.QuoteMeta(member)))
		if !row.MatchString(list) {
			t.Errorf("no row of partition %d at %d of %s in\n%s", n, st.offset, member, list)
		}
		_, text, _ := strings.Cut(show, fmt.Sprintf("analyzer count kafka://in/%d: ", n))
		var state struct{ Keys map[string]int }
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&state); err != nil || len(state.Keys) != len(st.keys) {
			t.Fatalf("partition %d: %d keys are shown, %d kept, %v", n, len(state.Keys), len(st.keys), err)
		}
		for k, v := range state.Keys {
			if st.keys[number(t, k)] != v {
				t.Errorf("partition %d, key %s: %d is shown, %d kept", n, k, v, st.keys[number(t, k)])
			}
		}
	}
	if code, text := at.run("state", "show", "analyzer dns"); code != 1 || !strings.Contains(text, `only of "analyzer count"`) {
		t.Errorf("exit code %d for a stage that is not there:\n%s", code, text)
	}
	run("forget", "analyzer count")
	if text := run("show"); text != "" {
		t.Errorf("still there: %s", text)
	}
}
