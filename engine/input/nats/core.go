package nats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	gonats "github.com/nats-io/nats.go"

	"dragonfly/engine"
)

// core subscribes to a subject without JetStream.
type core struct {
	*input
	queue   string
	buffer  int
	dropped *atomic.Int64
}

// patience is how long messages that were received may wait for room in the pipeline when ctx has ended.
const patience = 5 * time.Second

func (c *core) session(ctx context.Context, nc *gonats.Conn, emit engine.EmitFunc) error {
	messages := make(chan *gonats.Msg, c.buffer) // written by the connection, read here; nobody closes it
	sub, err := nc.ChanQueueSubscribe(c.server.Subject, c.queue, messages)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	if err := nc.FlushTimeout(c.server.Timeout); err != nil {
		return err
	}
	c.log.Debug("subscribed", "subject", c.server.Subject)
	var wg sync.WaitGroup
	defer wg.Wait()
	watching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wg.Go(func() { cancel(c.watch(watching, nc, sub)) })
	var records []engine.Record
	for {
		records = records[:0]
		select {
		case m := <-messages:
			records = append(records, c.record(m.Data))
		case <-watching.Done():
			if ctx.Err() == nil {
				return context.Cause(watching)
			}
			sub.Unsubscribe()
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			for records = c.more(records, messages); len(records) > 0; records = c.more(records[:0], messages) {
				if err := emit(late, engine.Batch{Origin: c.origin(), Records: records}); err != nil {
					c.dropped.Add(int64(len(records) + len(messages)))
					return err
				}
			}
			return ctx.Err()
		}
		records = c.more(records, messages)
		if err := emit(ctx, engine.Batch{Origin: c.origin(), Records: records}); err != nil {
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			if err := emit(late, engine.Batch{Origin: c.origin(), Records: records}); err != nil {
				c.dropped.Add(int64(len(records)))
			}
		}
	}
}

// watch counts what is lost, until ctx ends or the connection is closed for good.
func (c *core) watch(ctx context.Context, nc *gonats.Conn, sub *gonats.Subscription) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	dropped, told := 0, time.Time{}
	for {
		n, err := sub.Dropped()
		if err != nil { // the subscription has ended
			n = dropped
		}
		if n > dropped && time.Since(told) >= again {
			told = time.Now()
			c.log.Warn("messages of nats are lost: they come faster than they can be handled (jetstream = true loses nothing)", "lost", n-dropped)
		}
		c.dropped.Add(int64(n - dropped))
		dropped = n
		if nc.IsClosed() {
			return gonats.ErrConnectionClosed
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// more appends what has come, up to a batch.
func (c *core) more(records []engine.Record, messages <-chan *gonats.Msg) []engine.Record {
	for len(records) < c.batch {
		select {
		case m := <-messages:
			records = append(records, c.record(m.Data))
		default:
			return records
		}
	}
	return records
}

func (*core) rewind() {}
