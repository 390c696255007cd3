package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
)

// lookEvery is how often topics are matched against patterns anew.
const lookEvery = time.Minute

// member is what sarama calls while we are in the group.
type member struct {
	in      *input
	client  sarama.Client
	cut     func() // closes all connections
	explain func(error) error
	emit    engine.EmitFunc
	turn    chan struct{} // 1 token: emit is for one goroutine at a time
	say     *complaints
	wg      sync.WaitGroup // hurry, and who reads the errors of the group; waited for by end
	joined  atomic.Bool
	claims  atomic.Int32  // that are being read, or settled
	left    chan struct{} // 1 token: there is one less
	ended   chan struct{} // closed by end

	open  engine.OpenPartition // nil: states of scripts do not move
	vault *vault               // of them

	stops atomic.Bool // the input is to stop; set by hurry

	mu    sync.Mutex
	first error // of sarama, since the last consume
}

var _ sarama.ConsumerGroupHandler = (*member)(nil)

// consume is in the group until ctx is done, the topics change or the session breaks. Then the partitions are given back.
func (m *member) consume(ctx context.Context, group sarama.ConsumerGroup, topics []string) error {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(m.in.patterns) > 0 {
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { m.look(own, topics, cancel) })
	}
	m.mu.Lock()
	m.first = nil
	m.mu.Unlock()
	err := group.Consume(own, topics, m)
	if own.Err() != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(err, m.first)
}

// look calls changed when the topics are no longer those that match.
func (m *member) look(ctx context.Context, topics []string, changed func()) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := m.in.subscription(m.client)
		if err == nil && !slices.Equal(now, topics) {
			m.in.log.Info("other topics match now", "topics", now)
			changed()
			return
		}
	}
}

// goodbye is how long brokers may take to answer when the input stops, after all claims are settled.
const goodbye = 5 * time.Second

// hurry cuts the connections when the input is to stop and brokers do not answer.
func (m *member) hurry(ctx context.Context) {
	select {
	case <-ctx.Done():
		m.stops.Store(true)
	case <-m.ended:
		return
	}
	for m.claims.Load() > 0 {
		select {
		case <-m.left:
		case <-m.ended:
			return
		}
	}
	select {
	case <-m.ended:
	case <-time.After(goodbye):
		m.in.log.Warn("the brokers do not answer: the input stops without them, and records that are not committed come again")
		m.cut()
	}
}

// end leaves the group.
func (m *member) end(group sarama.ConsumerGroup) {
	group.Close()
	close(m.ended)
	m.wg.Wait()
}

// fault takes an error of sarama's goroutines. Those that end the session are told when it has ended.
func (m *member) fault(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, sarama.ErrClosedClient) || errors.Is(err, sarama.ErrRebalanceInProgress) {
		return
	}
	m.mu.Lock()
	if m.first == nil {
		m.first = err
	}
	m.mu.Unlock()
	m.in.log.Debug("kafka", "err", err)
	if m.joined.Load() && !errors.Is(err, sarama.ErrOffsetOutOfRange) {
		var of *sarama.ConsumerError
		if errors.As(err, &of) {
			err = of.Err // which partition it is does not matter
		}
		m.say.tell(m.explain(err))
	}
}

// Setup implements sarama.ConsumerGroupHandler: once per session, when the first partitions are known.
func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	if m.in.start != start(sarama.OffsetOldest) {
		for topic, list := range s.Claims() {
			for _, partition := range list {
				if err := m.place(s, topic, partition); err != nil {
					return fmt.Errorf("topic %s partition %d: %w", topic, partition, err)
				}
			}
		}
	}
	m.joined.Store(true)
	m.say.works()
	m.in.log.Info("joined the group", "group", m.in.group, "member", s.MemberID(), "partitions", count(s.Claims()))
	return nil
}

func count(claims map[string][]int32) (n int) {
	for _, list := range claims {
		n += len(list)
	}
	return n
}

// Cleanup implements sarama.ConsumerGroupHandler.
func (*member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim implements sarama.ConsumerGroupHandler: it reads one partition until it is taken away or the session ends.
func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, of sarama.ConsumerGroupClaim) error {
	m.claims.Add(1)
	defer func() {
		m.claims.Add(-1)
		signal(m.left)
	}()
	topic, partition := of.Topic(), of.Partition()
	if of.InitialOffset() < 0 && m.open == nil {
		if again, err := m.begin(s, topic, partition); again || err != nil {
			return err // the session ends; the next one begins where the offset is now
		}
	}
	m.in.rebalances.Add(1)
	flow, _ := of.(pauser)
	c := newClaim(m.in, originOf(topic, partition), flow, func(next int64) { s.MarkOffset(topic, partition, next, "") })
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		c.read(ctx, of.Messages())
	})
	var k *keeper
	if m.open != nil {
		var err error
		if k, err = m.load(ctx, s, of, c); err != nil {
			cancel()
			wg.Wait()
			return nil // the session ends, or is at its end
		}
		wg.Go(func() { k.run(ctx, cancel) })
	}
	err := m.forward(ctx, c)
	cancel()
	wg.Wait()
	m.settle(s, c, k)
	m.in.log.Debug("partition given back", "origin", c.origin)
	return err
}

// forward emits what the claim has read until ctx is done.
func (m *member) forward(ctx context.Context, c *claim) error {
	for {
		batch, ok := c.take(ctx)
		if !ok {
			return nil
		}
		if batch = c.launching.skip(batch); len(batch) == 0 {
			continue
		}
		if c.launching.lock(ctx) != nil {
			return nil
		}
		err := m.pass(ctx, c, batch)
		c.launching.unlock()
		if err != nil {
			return nil
		}
		m.say.flows()
	}
}

// pass emits messages, when it is this claim's turn.
func (m *member) pass(ctx context.Context, c *claim, list []*sarama.ConsumerMessage) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := m.emit(ctx, c.launch(list))
	<-m.turn
	if err != nil {
		c.recall()
		return err
	}
	c.launching.launched(list[len(list)-1].Offset + 1)
	return nil
}

// patience is how long no record of a claim may be finished before the others are not waited for when the input stops.
const patience = 5 * time.Second

// settle waits until what was emitted of a claim is finished, below the rebalance timeout, and if the input is to stop only while
// there is progress; then the last snapshot of its state is written, if it has one, and the claim marks no more.
func (m *member) settle(s sarama.ConsumerGroupSession, c *claim, k *keeper) {
	most := time.NewTimer(m.in.rebalance * 3 / 4)
	defer most.Stop()
	cause := context.Cause(s.Context())
	gone := errors.Is(cause, sarama.ErrUnknownMemberId) || errors.Is(cause, sarama.ErrIllegalGeneration) || errors.Is(cause, sarama.ErrFencedInstancedId)
	if k != nil {
		defer k.part.Close()
		gone = gone || k.fenced
	}
	n := c.inFlight()
	m.in.log.Debug("a partition is being taken away", "origin", c.origin, "records", n)
	for n > 0 && !gone {
		still := time.NewTimer(patience)
		select {
		case <-c.progress:
			still.Stop()
			n = c.inFlight()
			continue
		case <-still.C:
			gone = m.stops.Load()
		case <-most.C:
			gone = true
		}
		still.Stop()
	}
	if k != nil && n == 0 {
		last, stop := context.WithTimeout(context.WithoutCancel(s.Context()), m.in.rebalance/8)
		k.finish(last)
		stop()
	}
	if n := c.revoke(); n > 0 {
		m.in.unfinished.Add(int64(n))
		m.in.log.Warn("a partition is given back with records in flight: they come again", "origin", c.origin, "records", n)
	}
}

// begin looks after a partition in which sarama begins with the oldest record, as there is no offset, or as the brokers have deleted
// what follows it. again says that an offset was set that is to be used.
func (m *member) begin(s sarama.ConsumerGroupSession, topic string, partition int32) (again bool, err error) {
	had, err := m.committed(topic, partition)
	if err != nil {
		return false, err
	}
	if had < 0 {
		if m.in.start == start(sarama.OffsetOldest) {
			return false, nil
		}
		return true, m.place(s, topic, partition)
	}
	oldest, err := m.client.GetOffset(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return false, err
	}
	lost := max(0, oldest-had)
	m.in.lost.Add(lost)
	m.in.log.Error("the brokers do not have what follows the group's offset: reading goes on with the oldest record; raise the topic's retention, or find out why reading is behind (or the topic was made anew)",
		"topic", topic, "partition", partition, "offset", had, "oldest", oldest, "lost", lost)
	s.ResetOffset(topic, partition, oldest, "")
	return false, nil
}

// place marks where to begin in a partition if the group has no offset there: from then on that counts, also after a restart.
func (m *member) place(s sarama.ConsumerGroupSession, topic string, partition int32) error {
	had, err := m.committed(topic, partition)
	if err != nil || had >= 0 {
		return err
	}
	at, err := m.client.GetOffset(topic, partition, int64(m.in.start))
	if err == nil && at < 0 { // nothing is that young
		at, err = m.client.GetOffset(topic, partition, sarama.OffsetNewest)
	}
	if err != nil {
		return err
	}
	m.in.log.Info("the group is new to a partition", "topic", topic, "partition", partition, "offset", at)
	s.MarkOffset(topic, partition, at, "")
	return nil
}

// committed returns the group's offset of a partition, negative if there is none.
func (m *member) committed(topic string, partition int32) (int64, error) {
	coordinator, err := m.client.Coordinator(m.in.group)
	if err != nil {
		return 0, err
	}
	req := &sarama.OffsetFetchRequest{Version: 5, ConsumerGroup: m.in.group}
	req.AddPartition(topic, partition)
	resp, err := coordinator.FetchOffset(req)
	if err != nil {
		return 0, err
	}
	block := resp.GetBlock(topic, partition)
	if resp.Err != sarama.ErrNoError || block == nil {
		return 0, resp.Err
	}
	if block.Err != sarama.ErrNoError {
		return 0, block.Err
	}
	return block.Offset, nil
}
