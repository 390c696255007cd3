// Package kafkatest is a Kafka in the test's process, and what tests do with one.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

// Deadline is how long a test waits for what must come.
const Deadline = 90 * time.Second

// New starts a Kafka that ends with the test.
func New(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Row makes the Params of a row.
type Row struct {
	Address  string
	Options  engine.Values
	Files    map[string][]byte
	Log      Log
	counters sync.Map
}

// Log keeps what is logged.
type Log = parts.Log

// Params returns the row with the defaults of options.
func (r *Row) Params(options []engine.Option) engine.Params {
	return engine.Params{Tag: "k", URI: "kafka://" + r.Address, Scheme: "kafka", Address: r.Address, Options: rig.Values(options, r.Options),
		Log:  r.Log.Logger(),
		Dial: (&net.Dialer{}).DialContext,
		Read: func(path string) ([]byte, error) {
			if b, ok := r.Files[path]; ok {
				return b, nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
		Counter: func(name, _ string) *atomic.Int64 { return r.Count(name) }}
}

// Count returns a counter of the row.
func (r *Row) Count(name string) *atomic.Int64 {
	n, _ := r.counters.LoadOrStore(name, new(atomic.Int64))
	return n.(*atomic.Int64)
}

// WaitFor waits until ok says so.
func WaitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Deadline); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", Deadline, what)
		}
	}
}

// Config is a plain client's.
func Config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	return c
}

// Produce writes values to a partition.
func Produce(t testing.TB, brokers []string, topic string, partition int32, codec sarama.CompressionCodec, values ...string) {
	t.Helper()
	conf := Config()
	conf.Producer.Compression = codec
	p, err := sarama.NewSyncProducer(brokers, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	list := make([]*sarama.ProducerMessage, len(values))
	for i, v := range values {
		list[i] = &sarama.ProducerMessage{Topic: topic, Partition: partition, Value: sarama.StringEncoder(v)}
		if v == "" {
			list[i].Value = nil
		}
	}
	if err := p.SendMessages(list); err != nil {
		t.Fatal(err)
	}
}

// Message is a record of a topic.
type Message struct {
	Partition  int32
	Key, Value string
}

// ReadAll returns what is in a topic now, by partition and in order.
func ReadAll(t testing.TB, brokers []string, topic string) (list []Message) {
	t.Helper()
	client, err := sarama.NewClient(brokers, Config())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(topic, err)
	}
	for _, n := range partitions {
		end, err := client.GetOffset(topic, n, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		oldest, err := client.GetOffset(topic, n, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		if oldest == end {
			continue
		}
		pc, err := consumer.ConsumePartition(topic, n, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		late := time.After(Deadline)
		for at := oldest - 1; at < end-1; {
			select {
			case m := <-pc.Messages():
				list = append(list, Message{n, string(m.Key), string(m.Value)})
				at = m.Offset
			case <-late:
				t.Fatalf("%s/%d: only %d of %d records can be read", topic, n, at, end)
			}
		}
		pc.Close()
	}
	return list
}

// Committed returns the offset of a group in a partition, -1 if there is none.
func Committed(t testing.TB, brokers []string, group, topic string, partition int32) int64 {
	t.Helper()
	admin, err := sarama.NewClusterAdmin(brokers, Config())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	resp, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})
	if errors.Is(err, sarama.ErrGroupIDNotFound) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetBlock(topic, partition).Offset
}

// Values returns prefix0 ... as objects.
func Values(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"id":"%s%d"}`, prefix, i)
	}
	return list
}

// Sink collects what an input emits, and finishes it when it is told to.
type Sink struct {
	mu      sync.Mutex
	records []engine.Record
	origins []string
	held    []func()
	Hold    atomic.Bool // Done is not called until Release
}

// Emit is an engine.EmitFunc.
func (s *Sink) Emit(ctx context.Context, b engine.Batch) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Records {
		r.Body = strings.Clone(r.Body)
		s.records = append(s.records, r)
		s.origins = append(s.origins, b.Origin)
	}
	if s.Hold.Load() {
		s.held = append(s.held, b.Done)
		return nil
	}
	go b.Done()
	return nil
}

// Release finishes what is held, the last first, but not the first n batches.
func (s *Sink) Release(but int) {
	s.mu.Lock()
	list := s.held[min(but, len(s.held)):]
	s.held = s.held[:min(but, len(s.held))]
	s.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		list[i]()
	}
}

// Records returns what came until now.
func (s *Sink) Records() []engine.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]engine.Record{}, s.records...)
}

// Origins returns the origin of each record.
func (s *Sink) Origins() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.origins...)
}
