package redis

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	link "dragonfly/engine/wire/redis"
)

// channel subscribes to a channel or a pattern.
type channel struct {
	*input
	name    string
	pattern bool
	batch   int
	dropped *atomic.Int64
}

func (ch *channel) session(ctx context.Context, c *link.Link, emit engine.EmitFunc, works func()) error {
	var sub *goredis.PubSub
	if ch.pattern {
		sub = c.PSubscribe(ctx, ch.name)
	} else {
		sub = c.Subscribe(ctx, ch.name)
	}
	defer sub.Close()
	if _, err := sub.ReceiveTimeout(ctx, ch.server.Timeout()); err != nil { // the confirmation
		return err
	}
	works()
	ch.log.Debug("subscribed", "channel", ch.name)
	messages := make(chan string, ch.batch) // written and closed by the receiver, read here
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var broken error
	wg.Go(func() {
		defer close(messages)
		broken = ch.receive(ctx, sub, messages)
	})
	defer c.Break() // ends receive
	var records []engine.Record
	for body := range messages {
		records = append(records[:0], ch.record(body))
		for more := true; more && len(records) < ch.batch; {
			select {
			case body, ok := <-messages:
				if more = ok; ok {
					records = append(records, ch.record(body))
				}
			default:
				more = false
			}
		}
		if err := ch.emit(ctx, emit, records); err != nil {
			return err
		}
	}
	return broken
}

// patience is how long messages that were received may wait for room in the pipeline when ctx has ended: they do not come again.
const patience = 5 * time.Second

// emit hands records on.
func (ch *channel) emit(ctx context.Context, emit engine.EmitFunc, records []engine.Record) error {
	if ctx.Err() == nil {
		if err := emit(ctx, engine.Batch{Origin: ch.origin, Records: records}); err == nil {
			return nil
		}
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := emit(late, engine.Batch{Origin: ch.origin, Records: records})
	if err != nil {
		ch.dropped.Add(int64(len(records)))
	}
	return err
}

// receive hands the messages of sub on. A connection without messages is tried with a PING.
func (ch *channel) receive(ctx context.Context, sub *goredis.PubSub, to chan<- string) error {
	silent := false
	for {
		m, err := sub.ReceiveTimeout(ctx, ch.server.Timeout())
		if err != nil {
			var late interface{ Timeout() bool }
			if silent || !errors.As(err, &late) || !late.Timeout() || strings.Contains(err.Error(), "dial") {
				return err
			}
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			silent = true
			continue
		}
		silent = false
		message, ok := m.(*goredis.Message)
		if !ok {
			continue // the answer to a PING
		}
		select {
		case to <- message.Payload:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (*channel) finish(context.Context, *link.Link) error { return nil }
func (*channel) rewind()                                  {}
