package kafka

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"unsafe"

	"github.com/IBM/sarama"

	"dragonfly/engine"
)

// Bounds of one batch.
const (
	batchLen   = 1024
	batchBytes = 1 << 20
)

// pauser is what a sarama.ConsumerGroupClaim is besides: fetching can be held.
type pauser interface {
	Pause()
	Resume()
}

// claim is one partition while it is ours. Its messages are always taken from sarama, as only so is it seen that the partition is
// taken away; when too many wait, fetching is paused.
type claim struct {
	in     *input
	origin string
	flow   pauser
	mark   func(next int64) // tells sarama what may be committed; with mu held
	fresh  chan struct{}    // 1 token: something was read; written by read

	progress chan struct{} // 1 token: something was finished

	mu      sync.Mutex
	waiting []*sarama.ConsumerMessage // read, not emitted
	bytes   int                       // of waiting
	paused  bool
	flights []*flight // emitted, in order; the first is not finished
	revoked bool      // nothing may be marked any more

	launching launching // used if the state of scripts moves with the partition
}

// flight is a batch that was emitted.
type flight struct {
	next    int64 // offset behind it
	records int
	done    bool
}

// originOf names a partition for the operator.
func originOf(topic string, partition int32) string {
	return fmt.Sprintf("kafka://%s/%d", topic, partition)
}

func newClaim(in *input, origin string, flow pauser, mark func(int64)) *claim {
	return &claim{in: in, origin: origin, flow: flow, mark: mark, fresh: make(chan struct{}, 1), progress: make(chan struct{}, 1),
		launching: launching{held: make(chan struct{}, 1), due: make(chan struct{}, 1)}}
}

// read collects messages until the channel is closed or ctx is done.
func (c *claim) read(ctx context.Context, messages <-chan *sarama.ConsumerMessage) {
	for {
		select {
		case msg, ok := <-messages:
			if !ok {
				return
			}
			c.put(msg)
		case <-ctx.Done():
			return
		}
	}
}

func (c *claim) put(msg *sarama.ConsumerMessage) {
	c.mu.Lock()
	c.waiting = append(c.waiting, msg)
	c.bytes += len(msg.Value)
	if !c.paused && c.bytes > c.in.fetch && c.flow != nil {
		c.paused = true
		c.flow.Pause()
	}
	c.mu.Unlock()
	signal(c.fresh)
}

// signal leaves a token, if there is none.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take returns the next messages in order, at least one; false if ctx is done.
func (c *claim) take(ctx context.Context) ([]*sarama.ConsumerMessage, bool) {
	for ctx.Err() == nil {
		if list := c.next(); len(list) > 0 {
			return list, true
		}
		select {
		case <-c.fresh:
		case <-ctx.Done():
		}
	}
	return nil, false
}

func (c *claim) next() []*sarama.ConsumerMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && n < batchLen && (n == 0 || size+len(c.waiting[n].Value) <= batchBytes) {
		size += len(c.waiting[n].Value)
		n++
	}
	list := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	c.bytes -= size
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	if c.paused && c.bytes <= c.in.fetch/2 {
		c.paused = false
		c.flow.Resume()
	}
	return list
}

// launch makes a batch of messages, which from now on is in flight. Done may be called at once.
func (c *claim) launch(list []*sarama.ConsumerMessage) engine.Batch {
	f := &flight{next: list[len(list)-1].Offset + 1}
	size := 0
	for _, msg := range list {
		size += min(len(msg.Value), c.in.maxLine)
	}
	chunk := engine.NewChunk(size)[:0]
	records := make([]engine.Record, 0, len(list))
	for _, msg := range list {
		value := bytes.TrimRight(msg.Value, "\r\n \t")
		if len(value) == 0 {
			c.in.tombstones.Add(1)
			continue
		}
		r := engine.Record{Offset: msg.Offset}
		if len(value) > c.in.maxLine {
			value, r.Reject = value[:c.in.maxLine], engine.ReasonTooLong
		}
		from := len(chunk)
		chunk = append(chunk, value...)
		oneLine(chunk[from:])
		r.Body = unsafe.String(&chunk[from], len(value))
		records = append(records, r)
	}
	f.records = len(records)
	c.mu.Lock()
	c.flights = append(c.flights, f)
	c.mu.Unlock()
	return engine.Batch{Origin: c.origin, Records: records, Done: func() { c.done(f) }, Partition: c.launching.part}
}

// oneLine makes one line of JSON that was written on several: line ends stand between its tokens only.
func oneLine(b []byte) {
	for i := bytes.IndexAny(b, "\r\n"); i >= 0; i = bytes.IndexAny(b, "\r\n") {
		b[i] = ' '
		b = b[i+1:]
	}
}

// recall takes back the last batch, which the engine did not take.
func (c *claim) recall() {
	c.mu.Lock()
	c.flights = c.flights[:len(c.flights)-1]
	c.mu.Unlock()
}

// done notes that a batch is finished, and marks the offset below which all are.
func (c *claim) done(f *flight) {
	c.mu.Lock()
	f.done = true
	next := int64(-1)
	for len(c.flights) > 0 && c.flights[0].done {
		next = c.flights[0].next
		c.flights = c.flights[1:]
	}
	if next >= 0 && !c.revoked && c.launching.part == nil { // with state a snapshot must be there first
		c.mark(next)
	}
	c.mu.Unlock()
	signal(c.progress)
}

// commit marks the offset of a snapshot.
func (c *claim) commit(next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.revoked {
		c.mark(next)
	}
}

// inFlight returns the records that are not finished or wait for some that are not.
func (c *claim) inFlight() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flights {
		n += f.records
	}
	return n
}

// revoke ends the marking, and returns how many records are in flight.
func (c *claim) revoke() int {
	c.mu.Lock()
	c.revoked = true
	c.mu.Unlock()
	return c.inFlight()
}
