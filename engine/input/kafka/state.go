package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
)

// With the option state what scripts keep of a partition goes where the partition goes. When it is claimed its scripts are loaded with
// the last snapshot, and reading begins at the snapshot's offset, whatever is committed. While it is read, and when it is given away,
// its part of the pipeline comes to rest now and then: a snapshot is written, and then its offset is committed.

const (
	snapshotRecords = 100_000 // so many make a snapshot due before state_interval is over
	snapshotShare   = 40      // packing them takes at most 1/snapshotShare of the time, and what comes before about as much
	maxPause        = time.Minute
	firstPatience   = 2 * time.Second
	maxPatience     = 30 * time.Second
	loadAgain       = 2 * time.Second // between two tries to load a state
	tellAgain       = 30 * time.Second
	maxSkip         = 200_000 // records that are read to be skipped; above that the session begins anew
)

// stateCounters count what becomes of states.
type stateCounters struct{ saves, bytes, failures, fenced *atomic.Int64 }

// keeper keeps the state of one claim.
type keeper struct {
	m         *member
	s         sarama.ConsumerGroupSession
	c         *claim
	topic     string
	partition int32
	key       string // in Redis
	owner     string // we, in this claim
	part      *engine.Partition

	saved  int64 // offset of the last snapshot, -1: none
	fenced bool  // another member has the partition
	told   time.Time
}

// launching is held by who emits, and by who takes a snapshot.
type launching struct {
	held chan struct{} // 1 token
	next int64         // offset behind what was emitted, -1: nothing was. With held
	from int64         // what lies below is not emitted: the states have it
	due  chan struct{} // 1 token: many records were emitted since the last snapshot
	base int64         // next as of then. With held
	part *engine.Partition
}

func (l *launching) lock(ctx context.Context) error {
	select {
	case l.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *launching) unlock() { <-l.held }

// skip returns those messages that the states do not have.
func (l *launching) skip(list []*sarama.ConsumerMessage) []*sarama.ConsumerMessage {
	for len(list) > 0 && list[0].Offset < l.from {
		list = list[1:]
	}
	return list
}

// launched notes what was emitted.
func (l *launching) launched(next int64) {
	l.next = next
	if l.base < 0 {
		l.base = next
	}
	if next-l.base >= snapshotRecords {
		signal(l.due)
	}
}

var (
	errAgain = errors.New("the session begins anew at another offset")
	errStale = errors.New("the partition belongs to another member")
)

// load claims the state of a partition and loads its scripts, again and again until that works or ctx is done. The error is that of
// ctx, or that the session must end.
func (m *member) load(ctx context.Context, s sarama.ConsumerGroupSession, of sarama.ConsumerGroupClaim, c *claim) (*keeper, error) {
	k := &keeper{m: m, s: s, c: c, topic: of.Topic(), partition: of.Partition(), key: keyOf(m.in.group, of.Topic(), of.Partition()),
		owner: s.MemberID() + " " + rand.Text()}
	for {
		err := k.load(ctx, of.InitialOffset())
		if ctx.Err() != nil {
			if k.part != nil {
				k.part.Close()
			}
			return nil, ctx.Err()
		}
		if err == nil || errors.Is(err, errAgain) || errors.Is(err, errStale) {
			return k, err
		}
		m.in.counts.failures.Add(1)
		k.tell("the state of a partition cannot be loaded: it is not read until it can", err)
		select {
		case <-time.After(loadAgain):
		case <-ctx.Done():
		}
	}
}

// tell logs a fault, again only after some time. A Redis that is away is told once for all partitions.
func (k *keeper) tell(text string, err error) {
	var away unansweredError
	switch {
	case errors.As(err, &away):
		if k.m.vault.fault(k.c.origin) {
			k.m.in.log.Error("redis does not take the states of partitions, trying again: new partitions are not read until it does, and after a crash what was read meanwhile comes again", "err", err)
		}
	case time.Since(k.told) >= tellAgain:
		k.told = time.Now()
		k.m.in.log.Error(text, "origin", k.c.origin, "err", err)
	}
}

// works tells that a fault is over.
func (k *keeper) works() {
	if !k.told.IsZero() {
		k.told = time.Time{}
		k.m.in.log.Info("the state of the partition is loaded and saved again", "origin", k.c.origin)
	}
	if k.m.vault.works(k.c.origin) {
		k.m.in.log.Info("redis takes the states of partitions again")
	}
}

func (k *keeper) load(ctx context.Context, initial int64) error {
	snap, err := k.claim(ctx)
	if err != nil {
		return err
	}
	l := &k.c.launching
	l.next, l.from = max(-1, initial), 0
	var states map[string]engine.StageState
	if snap == nil && initial < 0 {
		if again, err := k.m.begin(k.s, k.topic, k.partition); err != nil {
			return err
		} else if again {
			return errAgain
		}
	}
	if snap != nil {
		if l.from, err = k.place(snap.offset, initial); err != nil {
			return err
		}
		l.next, states = l.from, snap.states
	}
	l.base, k.saved = l.next, l.next
	if k.part, err = k.m.open(k.c.origin, states); err != nil {
		return err
	}
	l.part = k.part
	k.works()
	k.m.in.log.Debug("state of a partition claimed", "origin", k.c.origin, "stages", len(states), "offset", l.next)
	return nil
}

// claim makes the state ours. A later generation than ours is that of a member that took the partition over while we slept, or of
// another life of the group: the brokers know which.
func (k *keeper) claim(ctx context.Context) (*snapshot, error) {
	if err := k.m.vault.enter(ctx, k.m.in.group, k.key); err != nil {
		return nil, err
	}
	generation := k.s.GenerationID()
	snap, err := k.m.vault.claim(ctx, k.key, generation, k.owner, "")
	var fenced *fencedError
	if !errors.As(err, &fenced) {
		return snap, err
	}
	current, failed := k.m.current(k.s.MemberID(), generation)
	if failed != nil {
		return nil, failed
	}
	if !current {
		k.fence(fenced)
		return nil, errStale
	}
	k.m.in.log.Info("the group has begun anew: the state of a partition is of a later generation than the group has now", "origin", k.c.origin, "of", fenced.generation, "generation", generation)
	return k.m.vault.claim(ctx, k.key, generation, k.owner, fenced.generation)
}

// current asks the brokers whether we are a member of the group in its generation.
func (m *member) current(id string, generation int32) (bool, error) {
	coordinator, err := m.client.Coordinator(m.in.group)
	if err != nil {
		return false, err
	}
	req := &sarama.HeartbeatRequest{Version: 3, GroupId: m.in.group, MemberId: id, GenerationId: generation}
	if m.in.instance != "" {
		req.GroupInstanceId = &m.in.instance
	}
	resp, err := coordinator.Heartbeat(req)
	if err != nil {
		return false, err
	}
	switch resp.Err {
	case sarama.ErrNoError, sarama.ErrRebalanceInProgress:
		return true, nil
	case sarama.ErrUnknownMemberId, sarama.ErrIllegalGeneration, sarama.ErrFencedInstancedId:
		return false, nil
	}
	return false, resp.Err
}

// place finds where to begin with a snapshot at offset at, when sarama begins at initial. It may be later than at, if the brokers have
// deleted records.
func (k *keeper) place(at, initial int64) (int64, error) {
	oldest, err := k.m.client.GetOffset(k.topic, k.partition, sarama.OffsetOldest)
	if err != nil {
		return 0, err
	}
	newest, err := k.m.client.GetOffset(k.topic, k.partition, sarama.OffsetNewest)
	if err != nil {
		return 0, err
	}
	from := at
	if at < oldest || at > newest {
		from = oldest
		lost := max(0, oldest-at)
		k.m.in.lost.Add(lost)
		k.m.in.log.Error("the brokers do not have what follows the snapshot of a state: reading goes on with the oldest record, and the state stays as it is; raise the topic's retention, or find out why reading is behind, or why the partition is shorter now (was the topic made anew? then `redis-cli DEL KEY` before the start forgets the state)",
			"origin", k.c.origin, "key", k.key, "offset", at, "oldest", oldest, "end", newest, "lost", lost)
	}
	begins := initial
	if initial < 0 {
		begins = oldest
		k.s.ResetOffset(k.topic, k.partition, from, "") // what is committed may be beyond the end
	}
	switch {
	case begins > from:
		k.m.in.log.Info("the state of a partition is behind what is committed: its records are read again", "origin", k.c.origin, "offset", from, "committed", initial)
		k.s.ResetOffset(k.topic, k.partition, from, "")
		return 0, errAgain
	case from-begins > maxSkip:
		k.s.MarkOffset(k.topic, k.partition, from, "")
		return 0, errAgain
	}
	return from, nil
}

// run writes snapshots until ctx is done or another member has the partition: then it calls drop.
func (k *keeper) run(ctx context.Context, drop func()) {
	patience := firstPatience
	last, held := time.Now(), false // told that it does not come to rest
	for pause := k.m.in.stateEvery; ; {
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-k.c.launching.due:
		case <-ctx.Done():
		}
		wait.Stop()
		pause = k.m.in.stateEvery
		if ctx.Err() != nil {
			return
		}
		took, err := k.snapshot(ctx, patience)
		var fenced *fencedError
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &fenced):
			k.fence(fenced)
			drop()
			return
		case errors.Is(err, context.DeadlineExceeded):
			if since := time.Since(last); since >= maxPatience && !held {
				held = true
				k.m.in.log.Warn("no snapshot of the state of a partition, as its records are not finished: after a crash what was read meanwhile comes again; look for an output that is down", "origin", k.c.origin, "for", since.Round(time.Second))
			}
			pause = patience
			patience = min(2*patience, maxPatience)
			continue
		}
		k.outcome(err)
		last, held, patience = time.Now(), false, firstPatience
		pause = max(pause, min(snapshotShare*took, maxPause))
	}
}

// outcome tells when snapshots cannot be written, and when they can again.
func (k *keeper) outcome(err error) {
	if err == nil {
		k.works()
		return
	}
	k.m.in.counts.failures.Add(1)
	k.tell("the state of a partition cannot be saved, trying again: after a crash what was read meanwhile comes again", err)
}

// snapshot brings the partition to rest and writes a snapshot, if there is something new.
func (k *keeper) snapshot(ctx context.Context, patience time.Duration) (took time.Duration, err error) {
	l := &k.c.launching
	try, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := l.lock(try); err != nil {
		return 0, err
	}
	if l.next < 0 || l.next == k.saved && !k.part.Touched() {
		l.unlock()
		return 0, nil
	}
	states, err := k.part.Save(try)
	snap := &snapshot{l.next, states}
	if err == nil {
		l.base = l.next
	}
	l.unlock()
	if err != nil {
		return 0, err
	}
	return k.write(ctx, snap)
}

// write writes a snapshot and lets its offset be committed. took is the time that packing it took.
func (k *keeper) write(ctx context.Context, snap *snapshot) (took time.Duration, err error) {
	start := time.Now()
	data, err := k.m.vault.encode(k.m.in.tag, k.c.origin, snap)
	took = time.Since(start)
	if err != nil {
		k.saved = -1 // so that it is tried again
		return took, err
	}
	if err := k.m.vault.save(ctx, k.key, k.s.GenerationID(), k.owner, snap.offset, data); err != nil {
		k.saved = -1
		return took, err
	}
	k.saved = snap.offset
	k.m.in.counts.saves.Add(1)
	k.m.in.counts.bytes.Add(int64(len(data)))
	k.c.commit(snap.offset)
	return took, nil
}

// fence gives the partition up: another member has it.
func (k *keeper) fence(err *fencedError) {
	k.fenced = true
	k.c.revoke()
	k.m.in.counts.fenced.Add(1)
	k.m.in.log.Warn("a partition is dropped, as another member has claimed it while this process did not run or was cut off: what was read since the last snapshot does not count here, and comes there too", "origin", k.c.origin, "err", err)
}

// finish writes the last snapshot of a claim whose records are finished, within ctx.
func (k *keeper) finish(ctx context.Context) {
	defer k.m.vault.works(k.c.origin)
	if k.fenced {
		return
	}
	states, err := k.part.Finish(ctx)
	if err == nil && k.c.launching.next >= 0 {
		_, err = k.write(ctx, &snapshot{k.c.launching.next, states})
	}
	var fenced *fencedError
	switch {
	case errors.As(err, &fenced):
		k.fence(fenced)
	case err != nil:
		k.m.in.counts.failures.Add(1)
		k.m.in.log.Error("the last snapshot of the state of a partition cannot be written: who takes the partition goes on from the one before, and what was read since comes again", "origin", k.c.origin, "err", err)
	}
}
