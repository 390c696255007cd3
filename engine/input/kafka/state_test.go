package kafka

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"dragonfly/engine"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// exact checks that each event id was counted as often as it was produced: once.
func exact(t *testing.T, h *hashes, partitions, records int) {
	t.Helper()
	counts, offsets := h.counted(t, partitions)
	for id, n := range counts {
		if n != 1 {
			t.Errorf("%s was counted %d times", id, n)
		}
	}
	if len(counts) != records || offsets != int64(records) {
		t.Errorf("%d records counted, snapshots of %d, want %d", len(counts), offsets, records)
	}
}

// TestStateMoves: while records flow members come and go; the counters go with the partitions. As all leave in peace nothing comes twice.
func TestStateMoves(t *testing.T) {
	const partitions = 6
	c := test.New(t, kfake.SeedTopics(partitions, "eve"))
	address := c.ListenAddrs()[0] + "/eve?group=g"
	h := newHashes()
	enough := make(chan struct{})
	var wg sync.WaitGroup
	var each [partitions]int
	for p := range partitions {
		wg.Go(func() {
			for open := true; open; each[p] += 50 {
				test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint(p, "-", each[p], "-"), 50)...)
				select {
				case <-enough:
					open = false
				case <-time.After(20 * time.Millisecond): // a pace that all follow
				}
			}
		})
	}
	a := join(t, address, h, nil)
	wait(t, 100, a)
	b := join(t, address, h, nil)
	wait(t, 100, b)
	d := join(t, address, h, nil)
	wait(t, 100, d)
	b.leave()
	close(enough)
	wg.Wait()
	produced := 0
	for _, n := range each {
		produced += n
	}
	wait(t, produced, a, b, d)
	a.leave()
	d.leave()
	exact(t, h, partitions, produced)
	for body, n := range together(a, b, d) {
		if n != 1 {
			t.Errorf("%s was written %d times", body, n)
		}
	}
	for p := range partitions {
		if at := test.Committed(t, c.ListenAddrs(), "g", "eve", int32(p)); at != int64(each[p]) {
			t.Errorf("partition %d: committed %d, want %d", p, at, each[p])
		}
	}
}

// TestStateAfterLoss: a member is cut off from Redis and ends: the next goes on from the last snapshot, with the state of that moment.
func TestStateAfterLoss(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(2, "eve"))
	h := newHashes()
	address := c.ListenAddrs()[0] + "/eve?group=g"
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 500)...)
	a := join(t, address, h, nil)
	saved(t, h, 2, 500)
	a.line.cut.Store(true)
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 300)...)
	test.Produce(t, c.ListenAddrs(), "eve", 1, sarama.CompressionNone, test.Values("c", 300)...)
	wait(t, 1100, a)
	test.WaitFor(t, "the complaint", a.said("redis does not take the states"))
	a.leave()
	if _, offsets := h.counted(t, 2); offsets != 500 {
		t.Fatalf("snapshots of %d records", offsets)
	}
	if at := test.Committed(t, c.ListenAddrs(), "g", "eve", 0); at > 500 {
		t.Errorf("committed %d, ahead of the snapshot", at)
	}
	b := join(t, address, h, nil)
	wait(t, 600, b)
	saved(t, h, 2, 1100)
	b.leave()
	exact(t, h, 2, 1100)
	if n := len(b.sink.all()); n != 600 {
		t.Errorf("%d events came again, want the 600 that are in no snapshot", n)
	}
	if n := strings.Count(a.Log.String(), "redis does not take the states"); a.Count("state_failures_total").Load() == 0 || n != 1 {
		t.Errorf("told %d times, want once", n)
	}
}

// TestStateFenced: another member has claimed the partition, which this one did not see as it slept. Its snapshot is refused, it drops
// the partition, counts that, and claims it again.
func TestStateFenced(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	h := newHashes()
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	saved(t, h, 1, 100)
	h.set(0, "owner", "somebody else")
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 100)...)
	test.WaitFor(t, "the fence", func() bool { return a.Count("state_fenced_total").Load() == 1 })
	saved(t, h, 1, 200)
	a.leave()
	exact(t, h, 1, 200)
	if !strings.Contains(a.Log.String(), "somebody else") {
		t.Error("the log does not name the other member")
	}
	if n := len(a.sink.all()); n != 200 {
		t.Errorf("%d different events at the output", n)
	}
}

// TestStateRevokedDuringSave: a partition is taken away while its snapshot is on the way to Redis. The next owner waits for that.
func TestStateRevokedDuringSave(t *testing.T) {
	const partitions = 4
	c := test.New(t, kfake.SeedTopics(partitions, "eve"))
	h := newHashes()
	address := c.ListenAddrs()[0] + "/eve?group=g"
	a := join(t, address, h, nil)
	stuck := make(chan struct{})
	a.line.hold.Store(&stuck)
	for p := range partitions {
		test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint("a", p, "-"), 100)...)
	}
	test.WaitFor(t, "snapshots on their way", func() bool { return a.line.held.Load() == partitions })
	b := join(t, address, h, nil)
	test.WaitFor(t, "the revocation", a.said("a partition is being taken away"))
	if _, offsets := h.counted(t, partitions); offsets != 0 {
		t.Errorf("snapshots of %d records are there", offsets)
	}
	a.line.hold.Store(nil)
	close(stuck)
	test.WaitFor(t, "a partition of the second", func() bool { return b.Count("partitions_taken_total").Load() > 0 })
	for p := range partitions {
		test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint("b", p, "-"), 100)...)
	}
	saved(t, h, partitions, partitions*200)
	a.leave()
	b.leave()
	exact(t, h, partitions, partitions*200)
	for body, n := range together(a, b) {
		if n != 1 {
			t.Errorf("%s was written %d times", body, n)
		}
	}
}

// TestStateRedisHangs: Redis takes a snapshot and does not answer until the partition has gone to another: the late write is refused.
func TestStateRedisHangs(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	h := newHashes()
	address := c.ListenAddrs()[0] + "/eve?group=g"
	a := join(t, address, h, engine.Values{"rebalance_timeout": 2 * time.Second})
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	saved(t, h, 1, 100)
	stuck := make(chan struct{})
	a.line.hold.Store(&stuck)
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 100)...)
	test.WaitFor(t, "a snapshot on its way", func() bool { return a.line.held.Load() == 1 })
	ended := make(chan struct{})
	go func() { a.leave(); close(ended) }()
	test.WaitFor(t, "the last snapshot's end", a.said("the last snapshot of the state of a partition cannot be written"))
	b := join(t, address, h, nil)
	saved(t, h, 1, 200)
	owner := h.get(0, "owner")
	close(stuck)
	<-ended
	if h.get(0, "owner") != owner {
		t.Error("the late write was taken")
	}
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("c", 100)...)
	saved(t, h, 1, 300)
	b.leave()
	exact(t, h, 1, 300)
}

// TestStateOfAnotherLife: the group was deleted and begins with generation 1 again; what Redis holds is of a later one.
func TestStateOfAnotherLife(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	h := newHashes()
	h.set(0, "generation", "1000")
	h.set(0, "owner", "a member of long ago")
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	saved(t, h, 1, 100)
	if a.Count("state_fenced_total").Load() != 0 || !strings.Contains(a.Log.String(), "the group has begun anew") {
		t.Error(a.Log.String())
	}
}

// TestStateOfALaterGeneration: the brokers say that we are no longer in the group: the state is not touched.
func TestStateOfALaterGeneration(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	h := newHashes()
	h.set(0, "generation", "1000")
	h.set(0, "owner", "the member that took over")
	var in atomic.Bool
	c.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if in.Load() {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.IllegalGeneration.Code
		return resp, nil, true
	})
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	test.WaitFor(t, "the fence", func() bool { return a.Count("state_fenced_total").Load() > 0 })
	if h.get(0, "owner") != "the member that took over" {
		t.Error("the state was claimed")
	}
	in.Store(true)
	test.WaitFor(t, "the next try", func() bool { return h.get(0, "owner") != "the member that took over" })
}

// TestStateDamaged: what is in Redis is no snapshot: the partition is not read, the others are, until it is removed.
func TestStateDamaged(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(2, "eve"))
	h := newHashes()
	h.set(0, "data", "garbage")
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	test.Produce(t, c.ListenAddrs(), "eve", 1, sarama.CompressionNone, test.Values("b", 100)...)
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	wait(t, 100, a)
	test.WaitFor(t, "the complaint", a.said("redis-cli DEL dragonfly:state:g:eve:0"))
	test.WaitFor(t, "another try", func() bool { return a.Count("state_failures_total").Load() > 1 })
	if n := strings.Count(a.Log.String(), "cannot be loaded"); n != 1 || len(a.sink.all()) != 100 {
		t.Errorf("told %d times, %d events", n, len(a.sink.all()))
	}
	h.set(0, "data", "")
	saved(t, h, 2, 200)
	exact(t, h, 2, 200)
	test.WaitFor(t, "the good news", a.said("the state of the partition is loaded and saved again"))
}

// TestStateOffsets: the snapshot says where reading begins, whatever is committed.
func TestStateOffsets(t *testing.T) {
	for name, to := range map[string]struct {
		committed int64 // -1: none
		start     string
	}{"nothing is committed": {-1, "oldest"}, "nothing is committed, start newest": {-1, "newest"}, "behind": {10, "oldest"}, "equal": {40, "oldest"}, "ahead": {90, "oldest"}} {
		t.Run(name, func(t *testing.T) {
			c := test.New(t, kfake.SeedTopics(1, "eve"))
			h := newHashes()
			test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
			commit(t, c, to.committed)
			v, err := newVault(h)
			if err != nil {
				t.Fatal(err)
			}
			data, err := v.encode("k", "kafka://eve/0", &snapshot{40, map[string]engine.StageState{}})
			if err != nil {
				t.Fatal(err)
			}
			h.set(0, "data", string(data))
			h.set(0, "offset", "40")
			a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, engine.Values{"start": to.start})
			saved(t, h, 1, 100)
			test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 100 })
			a.leave()
			if counts, _ := h.counted(t, 1); len(counts) != 60 || counts[`"a39"`] != 0 || counts[`"a40"`] != 1 || len(a.sink.all()) != 60 {
				t.Errorf("%d records counted, %d written, want the 60 from offset 40 on", len(counts), len(a.sink.all()))
			}
		})
	}
}

// commit sets the offset of group g.
func commit(t *testing.T, c *kfake.Cluster, at int64) {
	t.Helper()
	if at < 0 {
		return
	}
	client, err := sarama.NewClient(c.ListenAddrs(), test.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	coordinator, err := client.Coordinator("g")
	if err != nil {
		t.Fatal(err)
	}
	req := &sarama.OffsetCommitRequest{Version: 2, ConsumerGroup: "g", ConsumerGroupGeneration: -1}
	req.AddBlock("eve", 0, at, 0, "")
	resp, err := coordinator.CommitOffset(req)
	if err == nil && resp.Errors["eve"][0] != sarama.ErrNoError {
		err = resp.Errors["eve"][0]
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStateBeyondTheEnd: the topic was made anew: the snapshot's offset means nothing there. That is told, the state stays, and reading
// goes on with the oldest record, whatever is committed; a restart then goes on where the last one ended.
func TestStateBeyondTheEnd(t *testing.T) {
	for name, committed := range map[string]int64{"nothing is committed": -1, "beyond the end too": 400, "in the new topic": 60} {
		t.Run(name, func(t *testing.T) {
			c := test.New(t, kfake.SeedTopics(1, "eve"))
			h := newHashes()
			v, err := newVault(h)
			if err != nil {
				t.Fatal(err)
			}
			data, err := v.encode("k", "kafka://eve/0", &snapshot{400, nil})
			if err != nil {
				t.Fatal(err)
			}
			h.set(0, "data", string(data))
			h.set(0, "offset", "400")
			test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
			commit(t, c, committed)
			a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
			test.WaitFor(t, "the complaint", a.said("was the topic made anew?"))
			saved(t, h, 1, 100)
			test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 100 })
			exact(t, h, 1, 100)
			a.leave()
			test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 10)...)
			b := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
			saved(t, h, 1, 110)
			exact(t, h, 1, 110)
			if b.said("was the topic made anew?")() {
				t.Error("told again after a restart")
			}
			b.leave()
		})
	}
}

// TestStateWhileAnOutputIsDown: records are not finished, so no snapshot has them; when the output is back all is counted once.
func TestStateWhileAnOutputIsDown(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	h := newHashes()
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	saved(t, h, 1, 100)
	a.sink.hold.Store(true)
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 100)...)
	test.WaitFor(t, "records in flight", func() bool { return a.engine.Ledger()[0].InFlight == 100 })
	saves := a.Count("state_saves_total").Load()
	test.WaitFor(t, "a try", a.said("output does not work"))
	a.sink.hold.Store(false)
	saved(t, h, 1, 200)
	if a.Count("state_saves_total").Load() <= saves {
		t.Error("no snapshot was counted")
	}
	exact(t, h, 1, 200)
}

func TestStateOption(t *testing.T) {
	r := &test.Row{Address: "b:1/eve?group=g", Options: engine.Values{"state": "redis"}}
	p := r.Params(Kind.Options)
	p.Redis = func(string) (func() (engine.RedisConn, error), error) { return nil, errors.New("names no server") }
	_, err := New(p)
	if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != "state" || list[0].Msg != "names no server" {
		t.Errorf("got %v", err)
	}
}

// TestStateWhileRedisIsAway: at the start no partition is read, and while records flow no snapshot is written, until Redis is there.
func TestStateWhileRedisIsAway(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(2, "eve"))
	h := newHashes()
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	a := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	saved(t, h, 2, 100)
	a.line.cut.Store(true)
	test.Produce(t, c.ListenAddrs(), "eve", 1, sarama.CompressionNone, test.Values("b", 100)...)
	test.WaitFor(t, "the complaint", a.said("redis does not take the states"))
	b := join(t, c.ListenAddrs()[0]+"/eve?group=g", h, nil)
	b.line.cut.Store(true) // a partition is taken from a, which cannot save it: b has to wait, then begins with the snapshot
	test.WaitFor(t, "the second one's complaint", b.said("redis does not take the states"))
	a.line.cut.Store(false)
	b.line.cut.Store(false)
	test.WaitFor(t, "the good news", b.said("redis takes the states of partitions again"))
	saved(t, h, 2, 200)
	a.leave()
	b.leave()
	exact(t, h, 2, 200)
}
