package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/IBM/sarama"

	"dragonfly/engine/lazyjson"
)

// item is an event on its way.
type item struct {
	body    string
	index   []lazyjson.Field // of body, as the event has it; for plan
	key     []byte
	planned bool // is in a batch, or has its end
	state   state
	err     error // why it is refused
}

type state int

const (
	pending state = iota
	acked
	refused
)

// partition is what there is to send to one. Its batches go one after the other, each repeated until it has an answer:
// that is what keeps the order.
type partition struct {
	id      partID
	queue   []*send
	next    int32 // sequence number of the next record
	tries   int   // of the first batch in this Write
	waiting bool  // not to be tried again in this Write
}

// send is one batch of one partition.
type send struct {
	items []*item
	bytes int
	sent  bool // may be at the broker: it must not change any more, nor its sequence number
}

const (
	batchBytes   = 61       // of a batch's header
	recordBytes  = 36       // of a record's header at most, without key and value
	requestBytes = 48 << 20 // of a request at most; sarama's own limit is 100 MB
)

// send sends all of items that can be sent now. The error is the first that stopped some.
func (o *output) send(ctx context.Context, items []*item) error {
	first := o.plan(items)
	for _, p := range o.parts {
		p.tries, p.waiting = 0, false
	}
	renewed := false
	for ctx.Err() == nil {
		if err := o.register(ctx); err != nil {
			return err
		}
		requests, err := o.requests()
		if first == nil {
			first = err
		}
		if len(requests) == 0 {
			break
		}
		ask(requests, func(r *request) { r.answer, r.err = r.broker.Produce(r.produce) })
		lost := false
		for _, r := range requests {
			for _, p := range r.parts {
				err, renew := o.settle(p, r)
				lost = lost || renew
				if first == nil {
					first = err
				}
			}
			if r.err != nil {
				r.broker.Close() // so that it is connected to again
			}
		}
		if lost {
			if renewed {
				return first
			}
			renewed = true
			o.renew()
		}
	}
	return first
}

// plan puts items into batches. The error is of the first that it could not place; those behind it are left out too.
func (o *output) plan(items []*item) error {
	chance := map[string]int32{} // partition of the events without a key
	for _, it := range items {
		if it.planned {
			continue
		}
		if o.key != nil || !o.topic.Fixed() {
			o.fields.Reset(it.body, it.index)
			it.index = nil
		}
		topic, err := o.topic.of(&o.fields)
		if err == nil && o.key != nil {
			if text, ok := o.fields.Scalar(o.key); ok {
				it.key = []byte(text)
			}
		}
		size := recordBytes + len(it.key) + len(it.body)
		if err == nil && batchBytes+size > o.most {
			err = fmt.Errorf("%d bytes are more than max_message (%d)", len(it.body), o.most)
		}
		if err != nil {
			it.planned, it.state, it.err = true, refused, err
			continue
		}
		n, err := o.choose(topic, it.key, chance)
		if err != nil {
			err = fmt.Errorf("topic %s: %w", topic, err)
			if !o.topic.Fixed() && forGood(err) {
				it.planned, it.state, it.err = true, refused, o.client.Explain(err)
				continue
			}
			return err
		}
		o.add(partID{topic, n}, it, size)
	}
	return nil
}

// forGood reports whether a topic that was made of an event's fields will not be there later either.
func forGood(err error) bool {
	return errors.Is(err, sarama.ErrUnknownTopicOrPartition) || errors.Is(err, sarama.ErrInvalidTopic) || errors.Is(err, sarama.ErrTopicAuthorizationFailed)
}

func (o *output) choose(topic string, key []byte, chance map[string]int32) (int32, error) {
	if key != nil {
		all, err := o.client.Partitions(topic)
		if err != nil || len(all) == 0 {
			return 0, errors.Join(err, noPartitions(len(all)))
		}
		return int32(int(murmur2(key)&math.MaxInt32) % len(all)), nil
	}
	if n, ok := chance[topic]; ok {
		return n, nil
	}
	list, err := o.client.WritablePartitions(topic)
	if err == nil && len(list) == 0 {
		list, err = o.client.Partitions(topic)
	}
	if err != nil || len(list) == 0 {
		return 0, errors.Join(err, noPartitions(len(list)))
	}
	chance[topic] = list[rand.IntN(len(list))]
	return chance[topic], nil
}

func noPartitions(n int) error {
	if n > 0 {
		return nil
	}
	return sarama.ErrLeaderNotAvailable
}

// murmur2 is the hash by which Java clients choose the partition of a key: org.apache.kafka.common.utils.Utils.
func murmur2(key []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := 0x9747b28c ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := (uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24) * m
		h = h*m ^ (k^k>>r)*m
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

func (o *output) add(id partID, it *item, size int) {
	p := o.parts[id]
	if p == nil {
		p = &partition{id: id}
		o.parts[id] = p
	}
	var s *send
	if n := len(p.queue); n > 0 && !p.queue[n-1].sent && p.queue[n-1].bytes+size <= o.most {
		s = p.queue[n-1]
	} else {
		s = &send{bytes: batchBytes}
		p.queue = append(p.queue, s)
	}
	s.items, s.bytes = append(s.items, it), s.bytes+size
	it.planned = true
}

// request is what goes to one broker at once: the first batches of some of its partitions.
type request struct {
	broker  *sarama.Broker
	produce *sarama.ProduceRequest
	parts   []*partition
	bytes   int
	answer  *sarama.ProduceResponse
	err     error
}

// requests collects what can be sent now, for each broker. The error is of a partition that has no leader.
func (o *output) requests() (list []*request, first error) {
	by := map[int32]*request{}
	for _, p := range o.parts {
		if len(p.queue) == 0 || p.waiting {
			continue
		}
		leader, err := o.client.Leader(p.id.topic, p.id.n)
		if err != nil {
			p.waiting = true
			if first == nil {
				first = fmt.Errorf("topic %s partition %d: %w", p.id.topic, p.id.n, err)
			}
			continue
		}
		r := by[leader.ID()]
		if r == nil {
			r = &request{broker: leader, produce: &sarama.ProduceRequest{RequiredAcks: sarama.WaitForAll, Timeout: int32(o.timeout.Milliseconds() * 3 / 4), Version: 8}}
			by[leader.ID()] = r
			list = append(list, r)
		}
		s := p.queue[0]
		if r.bytes > 0 && r.bytes+s.bytes > requestBytes {
			continue
		}
		s.sent = true
		r.bytes += s.bytes
		r.parts = append(r.parts, p)
		r.produce.AddBatch(p.id.topic, p.id.n, o.encode(p, s))
	}
	return list, first
}

func (o *output) encode(p *partition, s *send) *sarama.RecordBatch {
	now := time.Now().Truncate(time.Millisecond)
	b := &sarama.RecordBatch{Version: 2, Codec: o.codec, CompressionLevel: sarama.CompressionLevelDefault, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: o.pid.ProducerID, ProducerEpoch: o.pid.ProducerEpoch, FirstSequence: p.next, LastOffsetDelta: int32(len(s.items) - 1)}
	records := make([]sarama.Record, len(s.items))
	b.Records = make([]*sarama.Record, len(s.items))
	for i, it := range s.items {
		records[i] = sarama.Record{OffsetDelta: int64(i), Key: it.key, Value: unsafe.Slice(unsafe.StringData(it.body), len(it.body))}
		b.Records[i] = &records[i]
	}
	return b
}

// settle works off what a broker said of the first batch of p. renew says that the brokers do not know our numbers.
func (o *output) settle(p *partition, r *request) (err error, renew bool) {
	s := p.queue[0]
	err = r.err
	if err == nil {
		block := r.answer.GetBlock(p.id.topic, p.id.n)
		switch {
		case block == nil:
			err = errors.New("the broker did not answer for it")
		case block.Err != sarama.ErrNoError:
			err = block.Err
			if block.ErrorMessage != nil {
				err = fmt.Errorf("%w (%s)", err, *block.ErrorMessage)
			}
		}
	}
	switch {
	case err == nil, errors.Is(err, sarama.ErrDuplicateSequenceNumber):
		p.next = int32((int64(p.next) + int64(len(s.items))) % (math.MaxInt32 + 1))
		o.end(p, acked, nil)
		return nil, false
	case isAny(err, sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge, sarama.ErrInvalidRecord, sarama.ErrInvalidTimestamp, sarama.ErrPolicyViolation),
		r.err != nil && isEncoding(err), !o.topic.Fixed() && isAny(err, sarama.ErrTopicAuthorizationFailed, sarama.ErrInvalidTopic):
		if len(s.items) > 1 {
			p.halve()
			return nil, false
		}
		o.end(p, refused, fmt.Errorf("topic %s: %w", p.id.topic, err))
		return nil, false
	case isAny(err, sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID, sarama.ErrInvalidProducerEpoch, sarama.ErrInvalidProducerIDMapping, sarama.ErrProducerFenced):
		return fmt.Errorf("topic %s partition %d: %w", p.id.topic, p.id.n, err), true
	}
	err = fmt.Errorf("topic %s partition %d: %w", p.id.topic, p.id.n, err)
	p.tries++
	if p.tries > 1 || o.client.RefreshMetadata(p.id.topic) != nil {
		p.waiting = true
		return err, false
	}
	return nil, false // its leader may be another one now
}

func isAny(err error, list ...sarama.KError) bool {
	for _, k := range list {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

func isEncoding(err error) bool {
	var e sarama.PacketEncodingError
	return errors.As(err, &e)
}

// end takes the first batch of p away.
func (o *output) end(p *partition, st state, err error) {
	for _, it := range p.queue[0].items {
		it.state, it.err = st, err
	}
	p.queue = p.queue[1:]
	p.tries = 0
	if len(p.queue) == 0 {
		p.queue = nil
	}
}

// halve splits the first batch of p, which the broker did not take, to find the event that is the cause.
func (p *partition) halve() {
	s := p.queue[0]
	n := len(s.items) / 2
	half := func(items []*item) *send {
		h := &send{items: items, bytes: batchBytes}
		for _, it := range items {
			h.bytes += recordBytes + len(it.key) + len(it.body)
		}
		return h
	}
	p.queue = append([]*send{half(s.items[:n:n]), half(s.items[n:])}, p.queue[1:]...)
}

// renew begins anew with another id: the brokers have forgotten us (they keep an id for a week), or lost records. What they may
// have is sent again.
func (o *output) renew() {
	o.renewed.Add(1)
	o.log.Warn("the brokers do not know any more what we have written: what they did not confirm is written again, and may be there twice")
	o.pid = nil
	for _, p := range o.parts {
		p.next = 0
		for _, s := range p.queue {
			s.sent = false
		}
	}
}
