package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	link "dragonfly/engine/wire/redis"
)

// stream reads a stream as a consumer of a group. An entry is acknowledged (XACK) when it is finished; until then it is pending in
// the group, and after claim another consumer may take it over, unless this one says again and again that it has it.
type stream struct {
	*input
	key, group, consumer, start, field string
	delete                             bool
	batch                              int
	claim                              time.Duration
	claimed, gone                      *atomic.Int64
	wake                               chan struct{} // 1 token: something was acked

	mu     sync.Mutex      // guards the following
	flying map[string]bool // ids that were emitted and are not finished
	acks   []string        // ids that are finished, and the server does not know
	age    int             // changes when what is in flight is forgotten
}

// pause is how long the server waits for new entries in one command.
const pause = time.Second

func (s *stream) session(ctx context.Context, c *link.Link, emit engine.EmitFunc, works func()) error {
	begin := "0"
	if s.start == "newest" {
		begin = "$"
	}
	if err := c.XGroupCreateMkStream(ctx, s.key, s.group, begin).Err(); err != nil && !link.Is(err, "BUSYGROUP") {
		return err
	}
	if err := s.ack(ctx, c); err != nil { // of an earlier session
		return err
	}
	works()
	return beside(ctx, c, s.keep, func(ctx context.Context) error { return s.read(ctx, c, emit) })
}

// read emits what this consumer has not finished, what stopped consumers have not, and then what is new.
func (s *stream) read(ctx context.Context, c *link.Link, emit engine.EmitFunc) error {
	for last := "0"; ; {
		entries, err := s.pending(ctx, c, last)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		last = entries[len(entries)-1].ID
		if entries, err = s.bury(ctx, c, entries); err != nil {
			return err
		}
		if err := s.emit(ctx, s.others(entries), emit); err != nil {
			return err
		}
	}
	var looked time.Time
	for {
		if time.Since(looked) >= s.claim/2 {
			looked = time.Now()
			if err := s.takeOver(ctx, c, emit); err != nil {
				return err
			}
		}
		entries, err := s.fetch(ctx, c)
		if err != nil {
			return err
		}
		if err := s.emit(ctx, entries, emit); err != nil {
			return err
		}
	}
}

// fetch reads new entries once, and waits a little for them.
func (s *stream) fetch(ctx context.Context, c *link.Link) ([]goredis.XMessage, error) {
	streams, err := c.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: s.group, Consumer: s.consumer, Streams: []string{s.key, ">"}, Count: int64(s.batch), Block: pause}).Result()
	if errors.Is(err, goredis.Nil) || len(streams) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

// takeOver claims and emits the entries of consumers that give no sign of life.
func (s *stream) takeOver(ctx context.Context, c *link.Link, emit engine.EmitFunc) error {
	for from := "0-0"; ; {
		reply, err := c.Do(ctx, "XAUTOCLAIM", s.key, s.group, s.consumer, s.claim.Milliseconds(), from, "COUNT", s.batch).Slice()
		if err != nil {
			return err
		}
		entries, next, deleted, err := claims(reply)
		if err != nil {
			return err
		}
		s.gone.Add(int64(deleted)) // the server has removed them
		if entries, err = s.bury(ctx, c, entries); err != nil {
			return err
		}
		if entries = s.others(entries); len(entries) > 0 {
			s.claimed.Add(int64(len(entries)))
			s.log.Info("took over entries that another consumer has not finished", "stream", s.key, "group", s.group, "entries", len(entries))
		}
		if err := s.emit(ctx, entries, emit); err != nil {
			return err
		}
		if next == "0-0" {
			return nil
		}
		from = next
	}
}

// claims reads the reply of XAUTOCLAIM: [next, [entry, ...], [deleted id, ...]].
func claims(reply []any) (entries []goredis.XMessage, next string, deleted int, err error) {
	if len(reply) < 2 {
		return nil, "", 0, fmt.Errorf("the reply of XAUTOCLAIM is not understood: %.200v", reply)
	}
	next, ok := reply[0].(string)
	if entries, err = entriesOf(reply[1]); err != nil || !ok {
		return nil, "", 0, fmt.Errorf("the reply of XAUTOCLAIM is not understood: %.200v", reply)
	}
	if len(reply) > 2 {
		ids, _ := reply[2].([]any)
		deleted = len(ids)
	}
	n := len(entries)
	entries = slices.DeleteFunc(entries, func(m goredis.XMessage) bool { return m.ID == "" }) // deleted, from a server before 7.0
	return entries, next, deleted + n - len(entries), nil
}

// pending returns the entries behind id that this consumer was given and has not acknowledged. go-redis takes a deleted one for
// the end of them, so its reply is read here.
func (s *stream) pending(ctx context.Context, c *link.Link, id string) ([]goredis.XMessage, error) {
	reply, err := c.Do(ctx, "XREADGROUP", "GROUP", s.group, s.consumer, "COUNT", s.batch, "STREAMS", s.key, id).Slice()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(reply) == 1 {
		if pair, _ := reply[0].([]any); len(pair) == 2 {
			return entriesOf(pair[1])
		}
	}
	return nil, fmt.Errorf("the reply of XREADGROUP is not understood: %.200v", reply)
}

// entriesOf reads [[id, [field, value, ...]], ...]. A deleted entry has no values, or no id either.
func entriesOf(reply any) ([]goredis.XMessage, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("want entries, got %.200v", reply)
	}
	entries := make([]goredis.XMessage, len(list))
	for i, v := range list {
		pair, _ := v.([]any)
		if len(pair) != 2 {
			continue
		}
		entries[i].ID, _ = pair[0].(string)
		values, ok := pair[1].([]any)
		if !ok {
			continue
		}
		m := map[string]any{}
		for k := 0; k+1 < len(values); k += 2 {
			m[fmt.Sprint(values[k])] = values[k+1]
		}
		entries[i].Values = m
	}
	return entries, nil
}

// others leaves out of entries what is in flight here, or finished and not yet known to the server.
func (s *stream) others(entries []goredis.XMessage) []goredis.XMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(entries, func(m goredis.XMessage) bool { return s.flying[m.ID] || slices.Contains(s.acks, m.ID) })
}

// bury acknowledges and counts the entries that were deleted from the stream, and returns the others. How many they are the server
// says, which may have removed some already, as XAUTOCLAIM does.
func (s *stream) bury(ctx context.Context, c *link.Link, entries []goredis.XMessage) ([]goredis.XMessage, error) {
	var ids []string
	entries = slices.DeleteFunc(entries, func(m goredis.XMessage) bool {
		if m.Values == nil {
			ids = append(ids, m.ID)
		}
		return m.Values == nil
	})
	if len(ids) == 0 {
		return entries, nil
	}
	n, err := c.XAck(ctx, s.key, s.group, ids...).Result()
	s.gone.Add(n)
	return entries, err
}

// emit hands entries on.
func (s *stream) emit(ctx context.Context, entries []goredis.XMessage, emit engine.EmitFunc) error {
	records := make([]engine.Record, 0, len(entries))
	ids := make([]string, 0, len(entries))
	for i := range entries {
		records = append(records, s.entry(&entries[i]))
		ids = append(ids, entries[i].ID)
	}
	s.mu.Lock()
	for _, id := range ids {
		s.flying[id] = true
	}
	age := s.age
	s.mu.Unlock()
	if len(records) == 0 {
		return nil
	}
	landed := func(finished bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if age != s.age {
			return
		}
		for _, id := range ids {
			delete(s.flying, id)
		}
		if finished {
			s.acks = append(s.acks, ids...)
			poke(s.wake)
		}
	}
	err := emit(ctx, engine.Batch{Origin: s.origin, Records: records, Done: func() { landed(true) }})
	if err != nil {
		landed(false)
	}
	return err
}

// entry makes a record of an entry.
func (s *stream) entry(m *goredis.XMessage) engine.Record {
	if s.field != "" {
		if v, ok := m.Values[s.field].(string); ok {
			return s.record(v)
		}
	}
	all, err := json.Marshal(m.Values)
	if err != nil {
		all = []byte(fmt.Sprintf("entry %s", m.ID))
	}
	r := s.record(string(all))
	if s.field != "" && r.Reject == "" {
		r.Reject = engine.ReasonMalformed // it lacks the field
	}
	return r
}

func (s *stream) rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.flying)
	s.age++
}

// keep acknowledges what is finished, and tells the server what is still in flight.
func (s *stream) keep(ctx context.Context, c *link.Link) error {
	tick := time.NewTicker(s.claim / 3)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-s.wake:
			err = s.ack(ctx, c)
		case <-tick.C:
			err = s.refresh(ctx, c)
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// chunk is the most ids in one command.
const chunk = 1000

// ack tells the server what is finished. What it could not be told stays for the next time.
func (s *stream) ack(ctx context.Context, c *link.Link) error {
	for {
		s.mu.Lock()
		ids := slices.Clone(s.acks[:min(chunk, len(s.acks))])
		s.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		pipe := c.Pipeline()
		done := pipe.XAck(ctx, s.key, s.group, ids...)
		if s.delete {
			pipe.XDel(ctx, s.key, ids...)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if done.Err() != nil {
			return done.Err()
		}
		s.mu.Lock()
		s.acks = slices.Delete(s.acks, 0, min(len(ids), len(s.acks)))
		s.mu.Unlock()
	}
}

// refresh resets the idle time of what is in flight here.
func (s *stream) refresh(ctx context.Context, c *link.Link) error {
	s.mu.Lock()
	ids := make([]string, 0, len(s.flying))
	for id := range s.flying {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for part := range slices.Chunk(ids, chunk) {
		err := c.XClaimJustID(ctx, &goredis.XClaimArgs{Stream: s.key, Group: s.group, Consumer: s.consumer, MinIdle: 0, Messages: part}).Err()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
	}
	return nil
}

func (s *stream) finish(ctx context.Context, c *link.Link) error {
	if err := s.ack(ctx, c); err != nil {
		return err
	}
	s.rewind() // what is unfinished stays pending; this consumer reads it first at its next start
	return nil
}
