package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// broker is a real Apache Kafka (KRaft, one node) on free ports.
type broker struct {
	t       *testing.T
	dir     string
	jars    string
	address string
	cmd     *exec.Cmd
}

// startKafka starts a Kafka that test/kafka/setup.sh has fetched. more returns properties that replace ours.
func startKafka(t *testing.T, more ...func(address, controller string) string) *broker {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		skip(t, "%v", err)
	}
	jars := filepath.Join(cache, "dragonfly", "kafka-4.1.0")
	if _, err := os.Stat(jars); err != nil {
		skip(t, "no Kafka in %s: run test/setup.sh", jars)
	}
	if _, err := exec.LookPath("java"); err != nil {
		skip(t, "no java: run test/setup.sh")
	}
	b := &broker{t: t, dir: t.TempDir(), jars: filepath.Join(jars, "*"), address: freeAddress(t)}
	controller := freeAddress(t)
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[1]s
listeners=PLAINTEXT://%[2]s,CONTROLLER://%[1]s
advertised.listeners=PLAINTEXT://%[2]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
`, controller, b.address, b.dir)
	for _, f := range more {
		properties += f(b.address, controller)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "kafka.properties"), []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := b.java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", filepath.Join(b.dir, "kafka.properties")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b.start()
	t.Cleanup(b.kill)
	return b
}

func freeAddress(t *testing.T) string { return "127.0.0.1:" + freePort(t) }

func (b *broker) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", b.jars}, args...)...)
}

func (b *broker) start() {
	b.t.Helper()
	b.cmd = b.java("kafka.Kafka", filepath.Join(b.dir, "kafka.properties"))
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.wait("the broker", func() bool {
		client, err := sarama.NewClient([]string{b.address}, sarama.NewConfig())
		if err == nil {
			client.Close()
		}
		return err == nil
	})
}

func (b *broker) kill() {
	b.cmd.Process.Kill()
	b.cmd.Wait()
}

// stop ends it in an orderly way.
func (b *broker) stop() {
	b.cmd.Process.Signal(syscall.SIGTERM)
	b.cmd.Wait()
}

func (b *broker) wait(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (b *broker) topic(name string, partitions int32) {
	b.t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.address}, sarama.NewConfig())
	if err != nil {
		b.t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		b.t.Fatal(err)
	}
}

// keyed is an event of the test: n counts up per key.
type keyed struct {
	Key int `json:"key"`
	N   int `json:"n"`
}

const kafkaKeys = 40

// produce writes events until ctx is done; all that it counts is acked. It survives a restart of the broker.
func (b *broker) produce(ctx context.Context, topic string) (acked *atomic.Int64, ended chan error) {
	acked, ended = new(atomic.Int64), make(chan error, 1)
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.Return.Successes = true
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Idempotent = true
	conf.Net.MaxOpenRequests = 1
	conf.Producer.Retry.Max = 1000
	conf.Producer.Partitioner = sarama.NewMurmur2Partitioner
	p, err := sarama.NewSyncProducer([]string{b.address}, conf)
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer p.Close()
		for n := 0; ; n++ {
			list := make([]*sarama.ProducerMessage, kafkaKeys)
			for k := range list {
				body, _ := json.Marshal(keyed{k, n})
				list[k] = &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(k)), Value: sarama.ByteEncoder(body)}
			}
			for p.SendMessages(list) != nil { // the same again: at worst some are there twice
				if ctx.Err() != nil {
					ended <- fmt.Errorf("round %d is not acked", n)
					return
				}
			}
			acked.Add(kafkaKeys)
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return acked, ended
}

// arrived is what is in a topic.
type arrived struct {
	records, distinct int
	backwards         int // first occurrences that come after a later one of their key
	keys              map[int]map[int]int
}

func (b *broker) arrived(topic string) arrived {
	b.t.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{b.address}, conf)
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		b.t.Fatal(err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		b.t.Fatal(err)
	}
	got := arrived{keys: map[int]map[int]int{}}
	for _, n := range partitions {
		end, err := client.GetOffset(topic, n, sarama.OffsetNewest)
		if err != nil {
			b.t.Fatal(err)
		}
		if end == 0 {
			continue
		}
		pc, err := consumer.ConsumePartition(topic, n, sarama.OffsetOldest)
		if err != nil {
			b.t.Fatal(err)
		}
		highest := map[int]int{}
		for m := range pc.Messages() {
			var e keyed
			if err := json.Unmarshal(m.Value, &e); err != nil || string(m.Key) != fmt.Sprint(e.Key) {
				b.t.Fatalf("key %s: %s: %v", m.Key, m.Value, err)
			}
			if got.keys[e.Key] == nil {
				got.keys[e.Key] = map[int]int{}
			}
			if got.keys[e.Key][e.N] == 0 {
				got.distinct++
				if e.N < highest[e.Key] {
					got.backwards++
				}
			}
			highest[e.Key] = max(highest[e.Key], e.N)
			got.keys[e.Key][e.N]++
			got.records++
			if m.Offset == end-1 {
				break
			}
		}
		pc.Close()
	}
	return got
}

// kafkaRoot is README's example, with short timeouts: from a topic to a topic, the records of a partition in one worker.
func kafkaRoot(t *testing.T, b *broker, group string) *root {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "-- example: kafka\n")
	example, _, ok2 := strings.Cut(text, "```")
	if !ok || !ok2 {
		t.Fatal("README.md has no example of Kafka")
	}
	for old, now := range map[string]string{"kafka-1:9092,kafka-2:9092": b.address, "group=dragonfly": "group=" + group,
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
function loop(event) dragonfly.output_event("out", event) end
`)
}

// TestKafkaOfManyProcesses: members join, leave, are killed, and the broker is started again, while records come. None is lost, few
// come twice, and each key keeps its order.
func TestKafkaOfManyProcesses(t *testing.T) {
	b := startKafka(t)
	b.topic("in", 12)
	b.topic("out", 6)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	acked, ended := b.produce(ctx, "in")
	more := func(n int64) {
		t.Helper()
		from := acked.Load()
		b.wait("the producer", func() bool { return acked.Load() >= from+n })
	}
	member := func(p *process) {
		t.Helper()
		b.wait("a member", func() bool { return strings.Contains(p.text(), "joined the group") })
	}
	first := kafkaRoot(t, b, "g").start()
	member(first)
	more(2000)
	second := kafkaRoot(t, b, "g").start()
	member(second)
	more(2000)
	third := kafkaRoot(t, b, "g").start()
	member(third)
	more(2000)
	first.stop()
	more(2000)
	second.cmd.Process.Kill()
	more(2000)
	fourth := kafkaRoot(t, b, "g").start()
	member(fourth)
	b.stop()
	b.wait("the messages about the outage", func() bool { return strings.Contains(third.text(), "does not work") })
	b.start()
	more(2000)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want, got := b.complete(third, fourth)
	if got.distinct != want.distinct || got.backwards > 0 || got.records-want.records > want.records/2 {
		t.Errorf("third:\n%s\nfourth:\n%s", third.text(), fourth.text())
	}
}

// complete waits until all of topic in is in topic out, ends the processes, and returns what there is then.
func (b *broker) complete(list ...*process) (in, out arrived) {
	b.t.Helper()
	in = b.arrived("in")
	b.wait("all records", func() bool { return b.arrived("out").distinct >= in.distinct })
	for _, p := range list {
		p.stop()
	}
	out = b.arrived("out")
	b.t.Logf("%d records in, %d different; %d out: %d twice, %d against the order", in.records, in.distinct, out.records, out.records-in.records, out.backwards)
	return in, out
}

// TestKafkaSinkOutage: the sink is away for some seconds; nothing is lost and nothing comes twice.
func TestKafkaSinkOutage(t *testing.T) {
	b := startKafka(t)
	b.topic("out", 3)
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "eve", uri = "tail://$ROOT/in.json", from = "start", script = "pass.lua"} }
outputs = { {tag = "out", uri = "kafka://`+b.address+`/out", key = "key"} }
listen = ""
-- scripts/pass.lua --
function loop(event) dragonfly.output_event("out", event) end
-- in.json --
`)
	p := r.start()
	n := 0
	feed := func(rounds int) {
		var text strings.Builder
		for range rounds {
			for k := range kafkaKeys {
				fmt.Fprintf(&text, `{"key":%d,"n":%d}`+"\n", k, n)
			}
			n++
		}
		r.append("in.json", text.String())
	}
	feed(50)
	b.wait("the first events", func() bool { return b.arrived("out").distinct == n*kafkaKeys })
	b.stop()
	feed(50)
	p.until("the message", func() bool { return strings.Contains(p.text(), "output does not work") })
	feed(50)
	b.start()
	feed(50)
	b.wait("all events", func() bool { return b.arrived("out").distinct == n*kafkaKeys })
	p.until("the good news", func() bool { return strings.Contains(p.text(), "output works again") })
	p.stop()
	if got := b.arrived("out"); got.records != n*kafkaKeys || got.backwards > 0 {
		t.Errorf("%d records of %d events, %d against the order\n%s", got.records, n*kafkaKeys, got.backwards, p.text())
	}
	if told := strings.Count(p.text(), "output does not work"); told != 1 {
		t.Errorf("told %d times", told)
	}
}
