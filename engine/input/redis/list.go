package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	link "dragonfly/engine/wire/redis"
)

// list takes elements from a list and keeps them in another one, its processing list, until they are finished.
//
// The processing list has the newest element at its left end. As only this process writes to it, its elements have numbers:
// the key count holds how many were finished and removed, and is changed in the same transaction as the list. So after a
// connection that broke it is known what was done. A key that expires (alive) is a lease: when it is gone another process
// puts the elements back where they were taken from, and deletes count, which the owner would notice.
type list struct {
	*input
	key, from string // the list, and the end that it is read at: LEFT or RIGHT
	registry  string // set of the names of processing lists
	own       names
	batch     int
	claim     time.Duration
	given     *atomic.Int64
	wake      chan struct{} // 1 token: something was acked

	mu      sync.Mutex // guards the following
	flying  []*taken   // batches that were emitted, oldest first
	acked   int64      // elements finished, since the last giveBack; all elements before are too
	age     int        // changes when what is in flight is forgotten
	removed int64      // elements that the server has removed from the processing list, as count says; of the acking goroutine
}

// names are the keys of a process that reads the list.
type names struct{ list, count, alive string }

// taken is a batch in flight.
type taken struct {
	n    int
	done bool
}

func newList(in *input, tag, pop string, batch int, claim time.Duration, given *atomic.Int64) *list {
	key := in.server.Key
	slot := key // all keys in one slot of a cluster
	if open := strings.IndexByte(key, '{'); open < 0 || strings.IndexByte(key[open:], '}') < 2 {
		slot = "{" + key + "}"
	}
	host, _ := os.Hostname()
	l := &list{input: in, key: key, from: strings.ToUpper(pop), registry: slot + ":dragonfly", batch: batch, claim: claim, given: given, wake: make(chan struct{}, 1)}
	if l.from == "" {
		l.from = "RIGHT"
	}
	l.own = namesOf(fmt.Sprintf("%s:dragonfly:%s:%s:%s", slot, host, tag, rand.Text()[:8]))
	return l
}

func namesOf(list string) names {
	return names{list: list, count: list + ":count", alive: list + ":alive"}
}

// errTaken says that the processing list is not as it was left.
var errTaken = errors.New("another process has taken over what was in flight here, as there was no sign of life for claim_after: it may be finished twice; was this process stopped?")

func (l *list) session(ctx context.Context, c *link.Link, emit engine.EmitFunc, works func()) error {
	if err := l.settle(ctx, c); err != nil {
		return err
	}
	l.mu.Lock()
	acked := l.acked
	l.mu.Unlock()
	if _, err := l.giveBack(ctx, c, l.own, acked, false); err != nil {
		return err
	}
	l.mu.Lock()
	l.acked, l.removed = 0, 0
	l.mu.Unlock()
	if err := l.begin(ctx, c); err != nil {
		return err
	}
	if err := l.claimDead(ctx, c); err != nil {
		return err
	}
	works()
	return beside(ctx, c, l.keep, func(ctx context.Context) error { return l.take(ctx, c, emit) })
}

// settle waits until nothing is in flight: only then it is known which elements of the processing list are finished.
func (l *list) settle(ctx context.Context, c *link.Link) error {
	tick := time.NewTicker(l.claim / 3)
	defer tick.Stop()
	for {
		l.mu.Lock()
		n := len(l.flying)
		l.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-l.wake:
		case <-tick.C:
			c.SetXX(ctx, l.own.alive, 1, l.claim) // the server may be away
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin registers the processing list, which is empty.
func (l *list) begin(ctx context.Context, c *link.Link) error {
	_, err := c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		p.SAdd(ctx, l.registry, l.own.list)
		p.Set(ctx, l.own.count, 0, 0)
		p.Set(ctx, l.own.alive, 1, l.claim)
		return nil
	})
	return err
}

// take moves elements to the processing list and emits them.
func (l *list) take(ctx context.Context, c *link.Link, emit engine.EmitFunc) error {
	var records []engine.Record
	for {
		pipe := c.Pipeline()
		pipe.SAdd(ctx, l.registry, l.own.list) // who takes over removes it, and must find what comes now
		cmds := make([]*goredis.StringCmd, l.batch)
		for i := range cmds {
			cmds[i] = pipe.LMove(ctx, l.key, l.own.list, l.from, "LEFT")
		}
		_, err := pipe.Exec(ctx)
		records = records[:0]
		for _, cmd := range cmds {
			if cmd.Err() == nil {
				records = append(records, l.record(cmd.Val()))
			} else if !errors.Is(cmd.Err(), goredis.Nil) {
				err = cmd.Err()
				break
			}
		}
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		if err == nil && len(records) == 0 {
			v, e := c.BLMove(ctx, l.key, l.own.list, l.from, "LEFT", time.Second).Result()
			if e == nil {
				records = append(records, l.record(v))
			} else if !errors.Is(e, goredis.Nil) {
				err = e
			}
		}
		if len(records) > 0 { // also those before an error: they are in the processing list
			if e := emit(ctx, engine.Batch{Origin: l.origin, Records: records, Done: l.fly(len(records))}); e != nil {
				l.land()
				return e
			}
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// fly notes a batch that is about to be emitted, and returns its Done.
func (l *list) fly(n int) func() {
	t := &taken{n: n}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying = append(l.flying, t)
	age := l.age
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.done = true; age != l.age {
			return
		}
		for len(l.flying) > 0 && l.flying[0].done {
			l.acked += int64(l.flying[0].n)
			l.flying = l.flying[1:]
		}
		poke(l.wake)
	}
}

// land takes back the last fly: the batch was not taken.
func (l *list) land() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.flying); n > 0 {
		l.flying = l.flying[:n-1]
	}
}

func (l *list) rewind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying = nil
	l.age++
}

// keep removes what is acked from the processing list, gives signs of life and looks for those who give none.
func (l *list) keep(ctx context.Context, c *link.Link) error {
	tick := time.NewTicker(l.claim / 3)
	defer tick.Stop()
	for rounds := 1; ; {
		select {
		case <-l.wake:
			if err := l.remove(ctx, c); err != nil {
				return err
			}
		case <-tick.C:
			if err := c.Set(ctx, l.own.alive, 1, l.claim).Err(); err != nil {
				return err
			}
			rounds++
		case <-ctx.Done():
			return nil
		}
		if rounds > 3 { // once in claim_after
			rounds = 1
			if err := l.claimDead(ctx, c); err != nil {
				return err
			}
		}
	}
}

// remove removes the acked elements from the processing list.
func (l *list) remove(ctx context.Context, c *link.Link) error {
	l.mu.Lock()
	acked := l.acked
	l.mu.Unlock()
	if acked == l.removed {
		return nil
	}
	err := c.Watch(ctx, func(tx *goredis.Tx) error {
		n, err := tx.Get(ctx, l.own.count).Int64()
		if errors.Is(err, goredis.Nil) || err == nil && n != l.removed {
			return errTaken
		}
		if err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.LTrim(ctx, l.own.list, 0, -(acked-l.removed)-1)
			p.Set(ctx, l.own.count, acked, 0)
			return nil
		})
		return err
	}, l.own.count)
	if errors.Is(err, goredis.TxFailedErr) {
		return errTaken
	}
	if err == nil {
		l.removed = acked
	}
	return err
}

// claimDead gives back what processes hold that give no sign of life.
func (l *list) claimDead(ctx context.Context, c *link.Link) error {
	all, err := c.SMembers(ctx, l.registry).Result()
	if err != nil {
		return err
	}
	for _, name := range all {
		if name == l.own.list {
			continue
		}
		n, err := l.giveBack(ctx, c, namesOf(name), 0, true)
		if errors.Is(err, goredis.TxFailedErr) {
			continue // it lives, or another one was faster
		}
		if err != nil {
			return err
		}
		if n > 0 {
			l.given.Add(n)
			l.log.Info("what another process had taken and not finished is back in the list", "process", name, "elements", n)
		}
	}
	return nil
}

// giveBack removes the processing list of a process: its first elements, up to the acked-th, are finished, the others go back to
// where they came from. With ifDead it does nothing while the process gives signs of life. It returns how many went back.
func (l *list) giveBack(ctx context.Context, c *link.Link, of names, acked int64, ifDead bool) (back int64, err error) {
	err = c.Watch(ctx, func(tx *goredis.Tx) error {
		if ifDead {
			if alive, err := tx.Exists(ctx, of.alive).Result(); err != nil || alive > 0 {
				return err
			}
		}
		removed, err := tx.Get(ctx, of.count).Int64()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
		if errors.Is(err, goredis.Nil) {
			acked = 0 // another process has given back what was here
		}
		n, err := tx.LLen(ctx, of.list).Result()
		if err != nil {
			return err
		}
		done := min(max(0, acked-removed), n)
		_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			if done > 0 {
				p.LTrim(ctx, of.list, 0, -done-1)
			}
			for range n - done {
				p.LMove(ctx, of.list, l.key, "LEFT", l.from)
			}
			p.Del(ctx, of.count, of.alive)
			p.SRem(ctx, l.registry, of.list)
			return nil
		})
		back = n - done
		return err
	}, of.list, of.count, of.alive)
	return back, err
}

func (l *list) finish(ctx context.Context, c *link.Link) error {
	l.mu.Lock()
	acked := l.acked
	l.flying, l.acked, l.age = nil, 0, l.age+1
	l.mu.Unlock()
	_, err := l.giveBack(ctx, c, l.own, acked, false)
	return err
}
