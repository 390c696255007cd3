package nats

import (
	"context"
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
	look := time.NewTicker(time.Second)
	defer look.Stop()
	dropped, told := 0, time.Time{}
	lost := func() {
		n, _ := sub.Dropped()
		if n > dropped && time.Since(told) >= again {
			told = time.Now()
			c.log.Warn("messages of nats are lost: they come faster than they can be handled (jetstream = true loses nothing)", "lost", n-dropped)
		}
		c.dropped.Add(int64(n - dropped))
		dropped = n
	}
	defer lost()
	var records []engine.Record
	for {
		records = records[:0]
		select {
		case m := <-messages:
			records = append(records, c.record(m.Data))
		case <-look.C:
			if lost(); nc.IsClosed() {
				return gonats.ErrConnectionClosed
			}
			continue
		case <-ctx.Done():
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
