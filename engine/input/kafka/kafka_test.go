package kafka

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"dragonfly/engine"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// running is an input and what it emitted.
type running struct {
	test.Row
	test.Sink
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup
	err    error
}

// begin runs an input until the test ends or stop is called.
func begin(t *testing.T, address string, options engine.Values, hold bool) *running {
	t.Helper()
	r := &running{t: t}
	r.Address, r.Options = address, engine.Values{"rebalance_timeout": 20 * time.Second}
	for k, v := range options {
		r.Options[k] = v
	}
	r.Hold.Store(hold)
	in, err := New(r.Params(Kind.Options))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() { r.err = in.Run(ctx, r.Emit) })
	t.Cleanup(r.stop)
	return r
}

func (r *running) stop() {
	r.cancel()
	r.wg.Wait()
	if r.err != nil {
		r.t.Error(r.err)
	}
	if r.t.Failed() && r.Log.String() != "" {
		r.t.Log(r.Log.String())
		r.Log = test.Log{}
	}
}

// wait waits until n records are there.
func (r *running) wait(n int) {
	r.t.Helper()
	test.WaitFor(r.t, fmt.Sprintf("%d records", n), func() bool { return len(r.Records()) >= n })
}

func TestReadsAndCommits(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(3, "eve"))
	codecs := []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD}
	for n, codec := range codecs {
		test.Produce(t, c.ListenAddrs(), "eve", int32(n%3), codec, test.Values(codec.String(), 100)...)
	}
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, "", "{\n \"pretty\":\r\n1}\n", strings.Repeat("x", 300))
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g", engine.Values{"max_line": int64(200)}, false)
	r.wait(502)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 203 })
	r.stop()
	var pretty, long int
	last := map[string]int64{}
	for i, rec := range r.Records() {
		origin := r.Origins()[i]
		if before, ok := last[origin]; ok && rec.Offset <= before {
			t.Errorf("%s: offset %d after %d", origin, rec.Offset, before)
		}
		last[origin] = rec.Offset
		switch {
		case rec.Body == `{  "pretty":  1}`:
			pretty++
		case rec.Reject == engine.ReasonTooLong && len(rec.Body) == 200:
			long++
		case !strings.HasPrefix(rec.Body, `{"id":"`):
			t.Errorf("got %q", rec.Body)
		}
	}
	if pretty != 1 || long != 1 || r.Count("tombstones_total").Load() != 1 || len(last) != 3 || last["kafka://eve/0"] != 202 {
		t.Error(pretty, long, last, r.Count("tombstones_total").Load())
	}
	again := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, false)
	test.Produce(t, c.ListenAddrs(), "eve", 1, sarama.CompressionNone, `{"id":"new"}`)
	again.wait(1)
	if list := again.Records(); len(list) != 1 || list[0].Body != `{"id":"new"}` {
		t.Errorf("after a restart got %v", list)
	}
}

// TestCommitsBelowWhatIsFinished: batches finish in another order than they came, and one does not.
func TestCommitsBelowWhatIsFinished(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, true)
	for i := range 5 {
		test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values(fmt.Sprint(i, "-"), 10)...)
		r.wait(10 * (i + 1))
	}
	r.Release(1) // all but the first
	if at := test.Committed(t, c.ListenAddrs(), "g", "eve", 0); at > 0 {
		t.Errorf("committed %d although the first record is not finished", at)
	}
	r.Hold.Store(false)
	r.stop() // gives up after a while
	if at := test.Committed(t, c.ListenAddrs(), "g", "eve", 0); at > 0 {
		t.Errorf("committed %d although the first record is not finished", at)
	}
	if r.Count("given_away_unfinished_total").Load() != 50 {
		t.Errorf("%d unfinished, want 50", r.Count("given_away_unfinished_total").Load())
	}
	r.Release(0) // too late: the partition is no longer ours
	again := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, false)
	again.wait(50)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 50 })
}

// TestJoinAndLeave: while records flow and finish late, members come and go; none is lost, and none comes twice as all leave in peace.
func TestJoinAndLeave(t *testing.T) {
	const partitions = 8
	c := test.New(t, kfake.SeedTopics(partitions, "eve"))
	address := c.ListenAddrs()[0] + "/eve?group=g"
	enough := make(chan struct{})
	var wg sync.WaitGroup
	var each [partitions]int
	for p := range partitions {
		wg.Go(func() {
			for open := true; open; each[p] += 100 {
				var list []string
				for i := range 100 {
					list = append(list, fmt.Sprintf(`{"p":%d,"n":%d}`, p, each[p]+i))
				}
				test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionLZ4, list...)
				select {
				case <-enough:
					open = false
				case <-time.After(20 * time.Millisecond): // a pace that all follow
				}
			}
		})
	}
	a := begin(t, address, nil, false)
	a.wait(100)
	b := begin(t, address, nil, false)
	b.wait(100)
	d := begin(t, address, nil, false)
	d.wait(100)
	b.stop()
	close(enough)
	wg.Wait()
	produced := 0
	for _, n := range each {
		produced += n
	}
	all := func() int { return len(a.Records()) + len(b.Records()) + len(d.Records()) }
	test.WaitFor(t, "all records", func() bool { return all() >= produced })
	a.stop()
	d.stop()
	seen := map[string]int{}
	for _, r := range []*running{a, b, d} {
		last, origins := map[string]int64{}, r.Origins()
		for i, rec := range r.Records() {
			seen[rec.Body]++
			if o := origins[i]; rec.Offset < last[o] {
				t.Errorf("%s: offset %d after %d", o, rec.Offset, last[o])
			} else {
				last[o] = rec.Offset
			}
		}
	}
	if len(seen) != produced || all() != produced {
		t.Errorf("%d different records, %d in all, want %d", len(seen), all(), produced)
	}
	for p := range partitions {
		if at := test.Committed(t, c.ListenAddrs(), "g", "eve", int32(p)); at != int64(each[p]) {
			t.Errorf("partition %d: committed %d, want %d", p, at, each[p])
		}
	}
}

// TestRevokedInFlight: a partition is taken away while its records are in flight, and they finish before the rebalance ends: they
// do not come twice. This is what redpanda-data/connect issue 4009 lost.
func TestRevokedInFlight(t *testing.T) {
	const partitions = 4
	c := test.New(t, kfake.SeedTopics(partitions, "eve"))
	address := c.ListenAddrs()[0] + "/eve?group=g"
	for p := range partitions {
		test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint(p, "-"), 10)...)
	}
	a := begin(t, address, nil, true)
	a.wait(10 * partitions)
	b := begin(t, address, nil, false)
	test.WaitFor(t, "the revocation", func() bool { return strings.Contains(a.Log.String(), "is being taken away") })
	if len(b.Records()) != 0 {
		t.Error("the other member reads what is not given back yet")
	}
	a.Hold.Store(false)
	a.Release(0)
	test.WaitFor(t, "the other member's partitions", func() bool { return b.Count("partitions_taken_total").Load() == 2 })
	for p := range partitions {
		test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint("new", p, "-"), 10)...)
	}
	test.WaitFor(t, "the new records", func() bool { return len(a.Records())+len(b.Records()) >= 20*partitions })
	a.stop()
	b.stop()
	if n := len(a.Records()) + len(b.Records()); n != 20*partitions || len(b.Records()) != 20 {
		t.Errorf("%d records, %d of them by the second member; want %d and 20", n, len(b.Records()), 20*partitions)
	}
}

// TestRevokedAndFinishedTooLate: the other member has read on when the first finishes; that moves no offset.
func TestRevokedAndFinishedTooLate(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(2, "eve"))
	address := c.ListenAddrs()[0] + "/eve?group=g"
	for p := range 2 {
		test.Produce(t, c.ListenAddrs(), "eve", int32(p), sarama.CompressionNone, test.Values(fmt.Sprint(p, "-"), 10)...)
	}
	options := engine.Values{"rebalance_timeout": 4 * time.Second}
	a := begin(t, address, options, true)
	a.wait(20)
	b := begin(t, address, options, true)
	b.wait(10)
	if a.Count("given_away_unfinished_total").Load() != 10 {
		t.Error("not counted")
	}
	moved := strings.TrimPrefix(b.Origins()[0], "kafka://eve/")
	var p int32
	fmt.Sscan(moved, &p)
	a.Hold.Store(false)
	a.Release(0)
	test.WaitFor(t, "the commit of the partition that stayed", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 1-p) == 10 })
	if at := test.Committed(t, c.ListenAddrs(), "g", "eve", p); at > 0 {
		t.Errorf("committed %d in a partition that was taken away", at)
	}
	b.Hold.Store(false)
	b.Release(0)
	test.WaitFor(t, "the other's commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", p) == 10 })
}

func TestStart(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(3, "eve"))
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, `{"id":"old"}`)
	time.Sleep(5 * time.Millisecond) // time stamps are in ms
	later := time.Now()
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, `{"id":"mid"}`)
	cases := []struct{ group, option, first string }{{"old", "oldest", ""}, {"mid", later.Format(time.RFC3339Nano), `{"id":"mid"}`}, {"new", "newest", `{"id":"new"}`}}
	for _, tc := range cases {
		r := begin(t, c.ListenAddrs()[0]+"/eve?group="+tc.group, engine.Values{"start": tc.option}, true) // nothing is finished
		test.WaitFor(t, "the group", func() bool { return r.Count("partitions_taken_total").Load() == 3 })
		if tc.group != "old" {
			test.WaitFor(t, "the commit of where it begins", func() bool { return test.Committed(t, c.ListenAddrs(), tc.group, "eve", 1) >= 0 })
		}
		r.stop()
	}
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, `{"id":"new"}`) // while nobody reads: "newest" must not skip it
	for _, tc := range cases {
		r := begin(t, c.ListenAddrs()[0]+"/eve?group="+tc.group, engine.Values{"start": tc.option}, false)
		test.WaitFor(t, "the new record", func() bool {
			list := r.Records()
			return len(list) > 0 && list[len(list)-1].Body == `{"id":"new"}`
		})
		r.stop()
		if first := r.Records()[0].Body; tc.group != "old" && first != tc.first {
			t.Errorf("%s begins with %s, want %s", tc.option, first, tc.first)
		}
	}
}

// TestDeletedBeforeRead: the topic's retention was faster.
func TestDeletedBeforeRead(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 10)...)
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, false)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 10 })
	r.stop()
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("b", 10)...)
	if err := c.DeleteRecords("eve", 0, 15); err != nil {
		t.Fatal(err)
	}
	r = begin(t, c.ListenAddrs()[0]+"/eve?group=g", engine.Values{"start": "newest"}, false)
	r.wait(5)
	if r.Records()[0].Body != `{"id":"b5"}` || r.Count("expired_total").Load() != 5 || !strings.Contains(r.Log.String(), "lost=5") {
		t.Error(r.Records(), r.Count("expired_total").Load())
	}
}

func TestPatterns(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve-dns", "other"))
	test.Produce(t, c.ListenAddrs(), "other", 0, sarama.CompressionNone, `{"id":"other"}`)
	test.Produce(t, c.ListenAddrs(), "eve-dns", 0, sarama.CompressionNone, `{"id":"dns"}`)
	r := begin(t, c.ListenAddrs()[0]+"/^eve-.*?group=g", nil, false)
	r.wait(1)
	if len(r.Records()) != 1 || r.Origins()[0] != "kafka://eve-dns/0" {
		t.Error(r.Origins())
	}
	none := begin(t, c.ListenAddrs()[0]+"/^no.*?group=h", nil, false)
	test.WaitFor(t, "the message", func() bool { return strings.Contains(none.Log.String(), "no topic matches [^no.*]") })
	if err := c.CreateTopic("nose", 1, nil); err != nil {
		t.Fatal(err)
	}
	test.Produce(t, c.ListenAddrs(), "nose", 0, sarama.CompressionNone, `{"id":"nose"}`)
	none.wait(1)
}

// TestFaultsAreToldOnce, with what to do, and reading goes on when they are over.
func TestFaultsAreToldOnce(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	missing := begin(t, c.ListenAddrs()[0]+"/nowhere?group=g", nil, false)
	test.WaitFor(t, "the message", func() bool { return strings.Contains(missing.Log.String(), "create it, or correct the uri") })
	h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: -1})
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g2", nil, false)
	if err := h.Wait(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	h.Remove()
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, `{"id":"a"}`)
	r.wait(1)
	text := r.Log.String()
	if n := strings.Count(text, "give it the right Read on the group"); n != 1 || strings.Count(text, "input works again") != 1 {
		t.Errorf("told %d times:\n%s", n, text)
	}
}

// TestBrokersRestart: the connections break and the coordinator forgets its members.
func TestBrokersRestart(t *testing.T) {
	dir := t.TempDir()
	c := test.New(t, kfake.SeedTopics(2, "eve"), kfake.DataDir(dir))
	addrs := c.ListenAddrs()
	test.Produce(t, addrs, "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	r := begin(t, addrs[0]+"/eve?group=g", nil, false)
	r.wait(100)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, addrs, "g", "eve", 0) == 100 })
	c.Close()
	test.WaitFor(t, "the message", func() bool { return strings.Contains(r.Log.String(), "input does not work") })
	var port int
	fmt.Sscanf(addrs[0][strings.LastIndex(addrs[0], ":")+1:], "%d", &port)
	test.New(t, kfake.Ports(port), kfake.DataDir(dir))
	test.Produce(t, addrs, "eve", 1, sarama.CompressionNone, test.Values("b", 100)...)
	r.wait(200)
	r.stop()
	if n := len(r.Records()); n != 200 {
		t.Errorf("%d records, want 200", n)
	}
}

// TestStaticMember: a restart of a member with instance_id moves no partitions.
func TestStaticMember(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(4, "eve"))
	address := c.ListenAddrs()[0] + "/eve?group=g"
	a := begin(t, address, engine.Values{"instance_id": "a"}, false)
	b := begin(t, address, engine.Values{"instance_id": "b"}, false)
	test.WaitFor(t, "both", func() bool {
		return b.Count("partitions_taken_total").Load() >= 2 && a.Count("partitions_taken_total").Load() >= 2 // who came first had all
	})
	before := a.Count("partitions_taken_total").Load()
	b.stop()
	b = begin(t, address, engine.Values{"instance_id": "b"}, false)
	test.WaitFor(t, "the partitions", func() bool { return b.Count("partitions_taken_total").Load() == 2 })
	if after := a.Count("partitions_taken_total").Load(); after != before {
		t.Errorf("the other member took %d partitions", after-before)
	}
}

func TestMistakes(t *testing.T) {
	for _, tc := range []struct {
		address   string
		options   engine.Values
		key, want string
	}{
		{"h/t", nil, "uri", "names no group"},
		{"h/?group=g", nil, "uri", "names no topic"},
		{"/t?group=g", nil, "uri", "names no broker"},
		{"h/t?group=g&x=1", nil, "uri", "has ?x"},
		{"h/t?group=g", engine.Values{"group": "h"}, "group", "the uri says"},
		{"h/t?group=g", engine.Values{"topics": []string{"a"}}, "topics", "one of them"},
		{"h/t,?group=g", nil, "uri", `"" is no topic`},
		{"h/^[?group=g", nil, "uri", "no regular expression"},
		{"h/t?group=g", engine.Values{"start": "yesterday"}, "start", "oldest, newest"},
		{"h/t?group=g", engine.Values{"instance_id": "a b"}, "instance_id", "letters"},
	} {
		_, err := New((&test.Row{Address: tc.address, Options: tc.options}).Params(Kind.Options))
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != tc.key || !strings.Contains(list[0].Msg, tc.want) {
			t.Errorf("%s %v: got %v, want %q", tc.address, tc.options, err, tc.want)
		}
	}
}
