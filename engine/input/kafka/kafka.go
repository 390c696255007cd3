// Package kafka reads topics of Kafka as a member of a consumer group: kafka://. An offset is committed when all records of its
// partition below it are finished, and never after the partition was given away.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
	"dragonfly/engine/wire/kafka"
)

// Kind is kafka://.
var Kind = engine.InputKind{
	Doc: "`kafka://BROKER,BROKER/TOPIC,TOPIC?group=GROUP`: reads topics as a member of a consumer group, a record per message; offsets are committed when the records below are finished. The port is 9092 by default. A topic that begins with `^` is a regular expression; new topics that match are found within a minute. With `shard_by = \"@origin\"` the records of a partition meet in one worker.",
	Options: append([]engine.Option{
		{Key: "group", Type: engine.String, Doc: "Consumer group, if the URI does not name it."},
		{Key: "topics", Type: engine.Strings, Doc: "Topics, if the URI does not name them (regular expressions with `,` or `?`)."},
		{Key: "start", Type: engine.String, Default: "oldest", Doc: "Where to begin in a partition of which the group has no offset yet: oldest, newest, or a time such as \"2026-11-01T00:00:00Z\"."},
		{Key: "instance_id", Type: engine.String, Doc: "Name that this process keeps over restarts (static membership), different for each member: a restart within session_timeout moves no partitions."},
		{Key: "session_timeout", Type: engine.Duration, Default: 45 * time.Second, Min: 1, Max: 3600, Doc: "After this time without a sign of life the group gives the partitions to others."},
		{Key: "rebalance_timeout", Type: engine.Duration, Default: 60 * time.Second, Min: 2, Max: 3600, Doc: "How long a member may take to give partitions away; for 3/4 of it records in flight are waited for, what is not finished then comes twice."},
		{Key: "isolation", Type: engine.String, Default: "read_committed", Enum: []string{"read_committed", "read_uncommitted"}, Doc: "Whether records of transactions that are open or were aborted are left out."},
		{Key: "state", Type: engine.String, Default: "auto", Secret: true, Doc: "Where the tables `state` of scripts are kept, by partition, so that they go where the partitions go: \"redis\" is the server that config.lua names, or a URL (`redis://HOST:6379`, `rediss://` with TLS). \"auto\" is \"redis\" if config.lua names a server, else \"local\"; \"local\" keeps them in this process. Without a script that keeps state it means nothing."},
		{Key: "state_interval", Type: engine.Duration, Default: time.Second, Min: 0.05, Max: 3600, Doc: "How often a partition comes to rest for a moment and its states are written to that Redis, if they have changed; also after 100,000 records. States that take long are written less often."},
		{Key: "fetch", Type: engine.Bytes, Default: int64(1 << 20), Min: 1024, Max: 64 << 20, Doc: "Bytes of a partition that are asked for at once; about three times as many are held for each."},
		{Key: "max_line", Type: engine.Bytes, Default: int64(16 << 20), Min: 64, Max: 64 << 20, Doc: "Longest record in bytes; the beginning of a longer one goes to the dead letter."},
	}, kafka.Options...),
	New: New,
}

// input may be used by one Run at a time.
type input struct {
	cluster   *kafka.Cluster
	tag       string
	log       *slog.Logger
	group     string
	topics    []string         // names
	patterns  []*regexp.Regexp // of names
	start     start
	instance  string
	session   time.Duration
	rebalance time.Duration
	isolation sarama.IsolationLevel
	fetch     int
	maxLine   int

	redis      func() (engine.RedisConn, error) // nil: the states of scripts stay here
	stateEvery time.Duration

	tombstones, lost, unfinished, rebalances *atomic.Int64
	counts                                   stateCounters
}

// start is where to begin without an offset: sarama.OffsetOldest, sarama.OffsetNewest, or a Unix time in ms.
type start int64

var (
	_ engine.PortUser    = (*input)(nil)
	_ engine.Partitioned = (*input)(nil)
)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	a, err := kafka.ParseAddress(p, "group")
	if err != nil {
		return nil, err
	}
	in := &input{tag: p.Tag, log: p.Log, stateEvery: p.Options.Duration("state_interval"), instance: p.Options.String("instance_id"), session: p.Options.Duration("session_timeout"),
		rebalance: p.Options.Duration("rebalance_timeout"), fetch: int(p.Options.Int("fetch")), maxLine: int(p.Options.Int("max_line")),
		tombstones: p.Counter("tombstones_total", "Messages without a value, which are no records."),
		lost:       p.Counter("expired_total", "Messages that the brokers had deleted before they were read."),
		unfinished: p.Counter("given_away_unfinished_total", "Records in flight when their partition was given away: they come again."),
		rebalances: p.Counter("partitions_taken_total", "Partitions that the group gave to this member.")}
	if p.Options.String("isolation") == "read_committed" {
		in.isolation = sarama.ReadCommitted
	}
	cluster, failed := kafka.NewCluster(p, a.Brokers)
	in.cluster = cluster
	return in, errors.Join(in.setGroup(p, a), in.setTopics(p, a), in.setStart(p.Options.String("start")), in.setState(p), failed)
}

func (in *input) setState(p engine.Params) (err error) {
	address := p.Options.String("state")
	if address == "" || address == "local" || address == "auto" && p.Redis == nil {
		return nil
	}
	if in.redis, err = p.Redis(address); err != nil {
		return &engine.ConfigError{Key: "state", Msg: err.Error()}
	}
	if in.redis == nil {
		return nil
	}
	in.counts = stateCounters{
		saves:    p.Counter("state_saves_total", "Snapshots of the state of partitions."),
		bytes:    p.Counter("state_saved_bytes_total", "Their bytes, packed."),
		failures: p.Counter("state_failures_total", "Snapshots that could not be read or written when it was tried."),
		fenced:   p.Counter("state_fenced_total", "Partitions that were dropped, as another member had claimed them.")}
	return nil
}

func (in *input) setGroup(p engine.Params, a kafka.Address) error {
	in.group = p.Options.String("group")
	if named := a.Query.Get("group"); named != "" {
		if in.group != "" && in.group != named {
			return &engine.ConfigError{Key: "group", Msg: fmt.Sprintf("is %q, but the uri says %q", in.group, named)}
		}
		in.group = named
	}
	if in.group == "" {
		return &engine.ConfigError{Key: "uri", Msg: "names no group, want kafka://HOST:PORT/TOPIC?group=GROUP; members of one group share the partitions"}
	}
	if in.instance != "" && (len(in.instance) > 249 || regexp.MustCompile(`[^a-zA-Z0-9._-]`).MatchString(in.instance)) {
		return &engine.ConfigError{Key: "instance_id", Msg: fmt.Sprintf("is %q, want up to 249 letters, digits, '.', '_' and '-'", in.instance)}
	}
	if in.session < 3*time.Second {
		in.log.Warn("session_timeout is short: a pause of the machine takes this member out of its group", "session_timeout", in.session)
	}
	return nil
}

func (in *input) setTopics(p engine.Params, a kafka.Address) error {
	list := p.Options.Strings("topics")
	key := "topics"
	if a.Path != "" {
		if list != nil {
			return &engine.ConfigError{Key: "topics", Msg: "is set, but the uri names topics too; want one of them"}
		}
		list, key = strings.Split(a.Path, ","), "uri"
	}
	for _, t := range list {
		t = strings.TrimSpace(t)
		switch {
		case strings.HasPrefix(t, "^"):
			re, err := regexp.Compile(t)
			if err != nil {
				return &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q is no regular expression: %v", t, err)}
			}
			in.patterns = append(in.patterns, re)
		case len(t) == 0 || len(t) > 249 || t == "." || t == ".." || regexp.MustCompile(`[^a-zA-Z0-9._-]`).MatchString(t):
			return &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q is no topic: want letters, digits, '.', '_' and '-', or a regular expression that begins with ^", t)}
		default:
			in.topics = append(in.topics, t)
		}
	}
	if len(list) == 0 {
		return &engine.ConfigError{Key: "uri", Msg: "names no topic, want kafka://HOST:PORT/TOPIC?group=GROUP"}
	}
	return nil
}

func (in *input) setStart(text string) error {
	switch text {
	case "oldest":
		in.start = start(sarama.OffsetOldest)
	case "newest":
		in.start = start(sarama.OffsetNewest)
	default:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil || t.UnixMilli() < 0 {
			return &engine.ConfigError{Key: "start", Msg: fmt.Sprintf("is %q, want oldest, newest, or a time such as \"2026-11-01T00:00:00Z\"", text)}
		}
		in.start = start(t.UnixMilli())
	}
	return nil
}

// Paths implements engine.PathUser.
func (*input) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser: brokers name the ports of other brokers.
func (*input) Ports() ([]engine.PortUse, bool) { return nil, true }

// MovesState implements engine.Partitioned.
func (in *input) MovesState() bool { return in.redis != nil }

// RunPartitions implements engine.Partitioned.
func (in *input) RunPartitions(ctx context.Context, emit engine.EmitFunc, open engine.OpenPartition) error {
	v, err := in.openVault()
	if err != nil {
		return err
	}
	defer v.close()
	return in.run(ctx, emit, open, v)
}

func (in *input) openVault() (*vault, error) {
	conn, err := in.redis()
	if err != nil {
		return nil, err
	}
	v, err := newVault(conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return v, nil
}

// Run implements engine.Input. It tries again by itself after every fault, so that a fault that lasts is told once.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	return in.run(ctx, emit, nil, nil)
}

func (in *input) run(ctx context.Context, emit engine.EmitFunc, open engine.OpenPartition, v *vault) error {
	c := &complaints{log: in.log}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		worked, err := in.member(ctx, emit, c, open, v)
		if ctx.Err() != nil {
			return nil
		}
		c.tell(err)
		if worked {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// member connects and reads as a member of the group until ctx is done or something breaks. worked says that it was let in.
func (in *input) member(ctx context.Context, emit engine.EmitFunc, c *complaints, open engine.OpenPartition, v *vault) (worked bool, err error) {
	client, err := in.cluster.Connect(ctx, in.configure)
	if err != nil {
		return false, err
	}
	defer client.Close()
	coordination, err := in.cluster.Connect(ctx, func(c *sarama.Config) {
		in.configure(c)
		c.Net.ReadTimeout += in.rebalance // a join waits that long for the other members
	})
	if err != nil {
		return false, err
	}
	defer coordination.Close()
	both := &twoClients{Client: client, coordination: coordination}
	group, err := sarama.NewConsumerGroupFromClient(in.group, both)
	if err != nil {
		return false, client.Explain(err)
	}
	m := &member{in: in, client: both, cut: func() { client.Cut(); coordination.Cut() }, explain: client.Explain, emit: emit, say: c, open: open, vault: v,
		turn: make(chan struct{}, 1), left: make(chan struct{}, 1), ended: make(chan struct{})}
	defer m.end(group)
	m.wg.Go(func() { m.hurry(ctx) })
	m.wg.Go(func() {
		for err := range group.Errors() { // closed by group.Close
			m.fault(err)
		}
	})
	for ctx.Err() == nil {
		topics, err := in.subscription(client)
		if err != nil {
			return m.joined.Load(), client.Explain(err)
		}
		if err := m.consume(ctx, group, topics); err != nil {
			return m.joined.Load(), client.Explain(err)
		}
	}
	return true, nil
}

// twoClients talks to the group's coordinator on connections of its own: a broker answers the requests of one connection one after
// the other, and a fetch, or a join, may wait long.
type twoClients struct {
	sarama.Client
	coordination sarama.Client
}

func (c *twoClients) Coordinator(group string) (*sarama.Broker, error) {
	return c.coordination.Coordinator(group)
}

func (c *twoClients) RefreshCoordinator(group string) error {
	return c.coordination.RefreshCoordinator(group)
}

func (in *input) configure(c *sarama.Config) {
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.RefreshFrequency = time.Minute
	c.Net.MaxOpenRequests = 5
	c.Consumer.Return.Errors = true
	c.Consumer.IsolationLevel = in.isolation
	c.Consumer.Fetch.Default = int32(in.fetch)
	c.Consumer.MaxWaitTime = 500 * time.Millisecond
	c.Consumer.Offsets.Initial = sarama.OffsetOldest // the rest of start is done by claims
	c.Consumer.Offsets.AutoCommit.Enable = true      // of what is marked; without it sarama commits nothing when partitions are given away
	c.Consumer.Offsets.AutoCommit.Interval = time.Second
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	c.Consumer.Group.Rebalance.Timeout = in.rebalance
	c.Consumer.Group.Rebalance.Retry.Backoff = 500 * time.Millisecond
	c.Consumer.Group.Session.Timeout = in.session
	c.Consumer.Group.Heartbeat.Interval = min(3*time.Second, in.session/3)
	c.Consumer.Group.InstanceId = in.instance
}

// subscription returns the topics to read now.
func (in *input) subscription(client sarama.Client) ([]string, error) {
	if len(in.patterns) == 0 {
		return in.topics, nil
	}
	if err := client.RefreshMetadata(); err != nil {
		return nil, err
	}
	all, err := client.Topics()
	if err != nil {
		return nil, err
	}
	list := slices.Clone(in.topics)
	for _, t := range all {
		matches := func(re *regexp.Regexp) bool { return re.MatchString(t) }
		if !strings.HasPrefix(t, "__") && slices.ContainsFunc(in.patterns, matches) && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no topic matches %v: create one, or correct the uri", in.patterns)
	}
	slices.Sort(list)
	return list, nil
}
