package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	gonats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dragonfly/engine"
)

// pull reads a stream of JetStream through a durable consumer.
type pull struct {
	*input
	stream, durable   string
	newest            bool
	ackWait           time.Duration
	maxDeliver        int
	maxPending        int
	again, last, lost *atomic.Int64

	mu     sync.Mutex      // guards the following
	flying map[*batch]bool // what was fetched and is not finished
}

// batch is messages that were fetched together.
type batch struct{ messages []jetstream.Msg }

func (p *pull) session(ctx context.Context, nc *gonats.Conn, emit engine.EmitFunc) error {
	consumer, err := p.consumer(ctx, nc)
	if err != nil {
		return err
	}
	config := consumer.CachedInfo().Config
	wait := config.AckWait
	if wait <= 0 {
		wait = 30 * time.Second
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	alive, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { p.keep(alive, wait/3) })
	for ctx.Err() == nil {
		b, err := p.fetch(ctx, consumer)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		records := make([]engine.Record, 0, len(b.messages))
		for _, m := range b.messages {
			records = append(records, p.record(m.Data()))
			p.look(m, config.MaxDeliver)
		}
		if err := emit(ctx, engine.Batch{Origin: p.origin(), Records: records, Done: func() { p.finish(b) }}); err != nil {
			p.giveBack(b)
			return err
		}
	}
	return ctx.Err()
}

// consumer returns the durable consumer, which it makes where there is none.
func (p *pull) consumer(ctx context.Context, nc *gonats.Conn) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.server.Timeout)
	defer cancel()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(p.server.Timeout))
	if err != nil {
		return nil, err
	}
	stream := p.stream
	if stream == "" {
		if stream, err = js.StreamNameBySubject(ctx, p.server.Subject); err != nil {
			return nil, fmt.Errorf("no stream has the subject %q: %w", p.server.Subject, err)
		}
	}
	c, err := js.Consumer(ctx, stream, p.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		config := jetstream.ConsumerConfig{Durable: p.durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: p.ackWait, MaxAckPending: p.maxPending,
			FilterSubject: p.server.Subject, DeliverPolicy: jetstream.DeliverAllPolicy}
		if p.maxDeliver > 0 {
			config.MaxDeliver = p.maxDeliver
		}
		if p.newest {
			config.DeliverPolicy = jetstream.DeliverNewPolicy
		}
		c, err = js.CreateConsumer(ctx, stream, config)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", stream, err)
	}
	config := c.CachedInfo().Config
	if config.AckPolicy != jetstream.AckExplicitPolicy {
		return nil, fmt.Errorf("the consumer %q of the stream %q is not one with explicit acknowledgements: choose another durable", p.durable, stream)
	}
	if f := config.FilterSubject; f != p.server.Subject && !(f == "" && len(config.FilterSubjects) == 0) {
		return nil, fmt.Errorf("the consumer %q of the stream %q reads the subject %q, and the row %q: choose another durable, or delete the consumer", p.durable, stream, f, p.server.Subject)
	}
	return c, nil
}

// pause is how long the server waits for a message in one request.
const pause = time.Second

// fetch returns what the stream has, up to a batch; nil if nothing comes for a while. What is returned is noted as in flight.
func (p *pull) fetch(ctx context.Context, c jetstream.Consumer) (*batch, error) {
	got, err := c.FetchNoWait(p.batch)
	b := &batch{}
	if err == nil {
		err = p.collect(ctx, got, b)
	}
	if err == nil && len(b.messages) == 0 && ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, pause)
		defer cancel()
		if got, err = c.Fetch(1, jetstream.FetchContext(wait)); err == nil {
			err = p.collect(ctx, got, b)
		}
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	}
	if len(b.messages) == 0 {
		if err == nil || p.passing(err) {
			return nil, nil
		}
		return nil, err
	}
	p.mu.Lock()
	p.flying[b] = true
	p.mu.Unlock()
	return b, nil
}

// passing reports whether a fault goes by itself: the connection, which told of it, is being repaired.
func (p *pull) passing(err error) bool {
	return errors.Is(err, gonats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages)
}

func (p *pull) collect(ctx context.Context, got jetstream.MessageBatch, b *batch) error {
	for {
		select {
		case m, ok := <-got.Messages():
			if !ok {
				return got.Error()
			}
			b.messages = append(b.messages, m)
		case <-ctx.Done():
			for m := range got.Messages() { // it ends with the request
				m.Nak()
			}
			p.giveBack(b)
			b.messages = nil
			return ctx.Err()
		}
	}
}

// look counts what is sent again.
func (p *pull) look(m jetstream.Msg, maxDeliver int) {
	meta, err := m.Metadata()
	if err != nil || meta.NumDelivered < 2 {
		return
	}
	p.again.Add(1)
	if maxDeliver > 0 && meta.NumDelivered >= uint64(maxDeliver) {
		p.last.Add(1)
		p.log.Warn("the server sends a message for the last time, because of max_deliver; if it is not finished now it is lost", "stream", meta.Stream, "sequence", meta.Sequence.Stream)
	}
}

// finish acknowledges a batch.
func (p *pull) finish(b *batch) {
	p.mu.Lock()
	flying := p.flying[b]
	delete(p.flying, b)
	p.mu.Unlock()
	if !flying {
		return
	}
	for _, m := range b.messages {
		if m.Ack() != nil {
			p.lost.Add(1)
		}
	}
}

// giveBack tells the server to send a batch again.
func (p *pull) giveBack(b *batch) {
	p.mu.Lock()
	delete(p.flying, b)
	p.mu.Unlock()
	for _, m := range b.messages {
		m.Nak()
	}
}

func (p *pull) rewind() {
	p.mu.Lock()
	all := make([]*batch, 0, len(p.flying))
	for b := range p.flying {
		all = append(all, b)
	}
	p.mu.Unlock()
	for _, b := range all {
		p.giveBack(b)
	}
}

// keep tells the server again and again that what is in flight is not lost.
func (p *pull) keep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		var all []jetstream.Msg
		for b := range p.flying {
			all = append(all, b.messages...)
		}
		p.mu.Unlock()
		for _, m := range all {
			m.InProgress() // one that is finished meanwhile is not harmed
		}
	}
}
