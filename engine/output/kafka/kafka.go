// Package kafka writes events to Kafka: kafka://. It delivers what all in-sync replicas have, repeats with the same sequence
// numbers what was not answered, so that the brokers take it once, and keeps the order within a partition.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/wire/kafka"
)

// Kind is kafka://.
var Kind = engine.OutputKind{
	Doc: "`kafka://BROKER,BROKER/TOPIC`: a record per event, delivered when all in-sync replicas have it; idempotent, in order within a partition. The port is 9092 by default. TOPIC may hold fields of the event, `eve-{event_type}`: what topics may not hold becomes `_`, a missing field `unknown`.",
	Options: append([]engine.Option{
		{Key: "key", Type: engine.String, Doc: "Field whose value is the record's key (\"src_ip\", \"flow.id\"): equal keys go to one partition, chosen by murmur2 as Java clients do. Without it, and for events without the field, each write goes to one partition by chance."},
		{Key: "compression", Type: engine.String, Default: "lz4", Enum: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Doc: "Of the batches."},
		{Key: "max_message", Type: engine.Bytes, Default: int64(1_000_000), Min: 1024, Max: 64 << 20, Doc: "Longest batch of a partition in bytes, before compression; not more than the brokers' message.max.bytes. A longer event is refused (dead letter)."},
		{Key: "max_topics", Type: engine.Int, Default: int64(100), Min: 1, Max: 100_000, Doc: "How many topics may be made of the fields of events; an event for one more is refused."},
	}, kafka.Options...),
	New: New,
}

var codecs = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}

// output is used by one goroutine at a time, as engine.Output says.
type output struct {
	cluster *kafka.Cluster
	log     *slog.Logger
	topic   *topics
	key     []string // path; nil: no key
	codec   sarama.CompressionCodec
	most    int // bytes of a batch
	timeout time.Duration

	client *kafka.Client // nil: not connected
	pid    *sarama.InitProducerIDResponse
	parts  map[partID]*partition
	left   []*item // of the last Write: those after what it reported, in order
	fields lazyjson.Reader

	renewed *atomic.Int64
}

type partID struct {
	topic string
	n     int32
}

var _ engine.PortUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	a, err := kafka.ParseAddress(p)
	if err != nil {
		return nil, err
	}
	o := &output{log: p.Log, codec: codecs[p.Options.String("compression")], most: int(p.Options.Int("max_message")),
		timeout: p.Options.Duration("timeout"), parts: map[partID]*partition{},
		renewed: p.Counter("producer_renewed_total", "Times that the brokers no longer knew what we had written, so that events may be there twice.")}
	if o.topic, err = newTopics(a.Path, int(p.Options.Int("max_topics"))); err != nil {
		return nil, &engine.ConfigError{Key: "uri", Msg: err.Error()}
	}
	if key := p.Options.String("key"); key != "" {
		o.key = strings.Split(key, ".")
	}
	o.cluster, err = kafka.NewCluster(p, a.Brokers)
	return o, err
}

// Open implements engine.Output. A login or a certificate that is refused is a mistake in config.lua.
func (o *output) Open(ctx context.Context) error {
	if o.client != nil {
		return nil
	}
	client, err := o.cluster.Connect(ctx, func(c *sarama.Config) { c.Metadata.AllowAutoTopicCreation = true })
	var refused *kafka.LoginError
	if errors.As(err, &refused) {
		return &engine.ConfigError{Key: "uri", Msg: err.Error()}
	}
	if err != nil {
		return err
	}
	o.client = client
	if !o.topic.Fixed() {
		return nil
	}
	if _, err := client.Partitions(o.topic.text); err != nil {
		return o.client.Explain(fmt.Errorf("topic %s: %w", o.topic.text, err))
	}
	return nil
}

// disconnect gives the client up. What was sent and not answered is sent again by the next one, with the same numbers.
func (o *output) disconnect() {
	if o.client != nil {
		o.client.Cut()
		o.client.Close()
		o.client = nil
	}
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	client := o.client
	stop := context.AfterFunc(ctx, client.Cut)
	defer func() {
		if !stop() {
			o.disconnect()
		}
	}()
	items := o.match(batch)
	err := o.send(ctx, items)
	n := 0
	for n < len(batch) && items[n].state == acked {
		n++
	}
	o.left = items[n:]
	if n == len(batch) {
		return n, nil
	}
	if it := items[n]; it.state == refused {
		o.left = items[n+1:]
		return n, &engine.RejectError{Err: it.err}
	}
	if ctx.Err() != nil {
		return n, ctx.Err()
	}
	return n, o.client.Explain(cmp.Or(err, errUnsent))
}

var errUnsent = errors.New("BUG: an event was neither sent nor refused")

// match returns an item for each event of batch, and then those that earlier Writes took beyond it. The engine repeats what was not
// reported; should it come with something else, what is in flight is forgotten, and with it the numbers.
func (o *output) match(batch []engine.Event) []*item {
	items := o.left
	o.left = nil
	for i := range min(len(items), len(batch)) {
		if items[i].body != batch[i].Body {
			o.forget()
			items = nil
			break
		}
	}
	for i := len(items); i < len(batch); i++ {
		items = append(items, &item{body: batch[i].Body, index: batch[i].Index})
	}
	return items
}

// forget drops what was built. As what is in flight may be there or not, no number may be used again.
func (o *output) forget() {
	o.parts = map[partID]*partition{}
	o.pid = nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	o.disconnect()
	o.left = nil
	o.forget()
	return nil
}

// Paths implements engine.PathUser.
func (*output) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser: brokers name the ports of other brokers.
func (*output) Ports() ([]engine.PortUse, bool) { return nil, true }

// ask runs f for each of list at the same time.
func ask[T any](list []T, f func(T)) {
	if len(list) == 1 {
		f(list[0])
		return
	}
	var wg sync.WaitGroup
	for _, v := range list {
		wg.Go(func() { f(v) })
	}
	wg.Wait()
}
