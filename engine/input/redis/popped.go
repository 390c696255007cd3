package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	link "dragonfly/engine/wire/redis"
)

// popped takes elements from a list without keeping them.
type popped struct {
	*input
	key   string
	right bool
	batch int
}

func (l *popped) session(ctx context.Context, c *link.Link, emit engine.EmitFunc, works func()) error {
	var records []engine.Record
	for {
		var got []string
		var err error
		if l.right {
			got, err = c.RPopCount(ctx, l.key, l.batch).Result()
		} else {
			got, err = c.LPopCount(ctx, l.key, l.batch).Result()
		}
		if errors.Is(err, goredis.Nil) {
			works()
			if l.right {
				got, err = c.BRPop(ctx, time.Second, l.key).Result()
			} else {
				got, err = c.BLPop(ctx, time.Second, l.key).Result()
			}
			if errors.Is(err, goredis.Nil) {
				continue
			}
			got = got[min(1, len(got)):] // the key
		}
		if err != nil {
			return err
		}
		works()
		records = records[:0]
		for _, v := range got {
			records = append(records, l.record(v))
		}
		if err := emit(ctx, engine.Batch{Origin: l.origin, Records: records}); err != nil {
			return l.putBack(got)
		}
	}
}

// putBack gives back what was popped when the engine stops.
func (l *popped) putBack(values []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.server.Timeout())
	defer cancel()
	c := l.server.Link()
	defer c.Close()
	args := make([]any, len(values))
	for i, v := range values {
		args[len(args)-1-i] = v
	}
	var err error
	if l.right {
		err = c.RPush(ctx, l.key, args...).Err()
	} else {
		err = c.LPush(ctx, l.key, args...).Err()
	}
	if err != nil {
		l.log.Error("events were popped from the list and are lost", "count", len(values), "err", l.server.Explain(err))
	}
	return err
}

func (*popped) finish(context.Context, *link.Link) error { return nil }
func (*popped) rewind()                                  {}
