package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// hashes is a Redis that knows the two scripts only; TestVaultScripts compares it with a real one.
type hashes struct {
	mu   sync.Mutex
	keys map[string]map[string]string
	sets map[string][]string
}

func newHashes() *hashes { return &hashes{keys: map[string]map[string]string{}} }

func (h *hashes) Do(args ...string) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch args[0] {
	case "SADD":
		if h.sets == nil {
			h.sets = map[string][]string{}
		}
		if !slices.Contains(h.sets[args[1]], args[2]) {
			h.sets[args[1]] = append(h.sets[args[1]], args[2])
		}
		return int64(1), nil
	case "SMEMBERS":
		list := []any{}
		for _, key := range h.sets[args[1]] {
			list = append(list, key)
		}
		return list, nil
	case "HMGET":
		var list []any
		for _, field := range args[2:] {
			if value, ok := h.keys[args[1]][field]; ok {
				list = append(list, value)
			} else {
				list = append(list, nil)
			}
		}
		return list, nil
	}
	had := h.keys[args[3]]
	if had == nil {
		had = map[string]string{}
		h.keys[args[3]] = had
	}
	generation, owned := had["generation"]
	stored, _ := strconv.Atoi(generation)
	mine, _ := strconv.Atoi(args[4])
	switch args[1] {
	case claimScript:
		if owned && stored > mine && generation != args[6] {
			return []any{"fenced", generation, had["owner"]}, nil
		}
		had["generation"], had["owner"] = args[4], args[5]
		return []any{"claimed", had["data"]}, nil
	case saveScript:
		if owned && (had["owner"] != args[5] || stored > mine) {
			return []any{"fenced", generation, had["owner"]}, nil
		}
		had["generation"], had["owner"], had["offset"], had["saved"], had["data"] = args[4], args[5], args[6], args[7], args[8]
		return []any{"saved"}, nil
	}
	return nil, errors.New("unknown command")
}

func (*hashes) Close() error { return nil }

func (h *hashes) get(partition int, field string) string { return h.all(partition)[field] }

// all returns the fields of a hash as they are at one moment.
func (h *hashes) all(partition int) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.keys[keyOf("g", "eve", int32(partition))])
}

func (h *hashes) set(partition int, field, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := keyOf("g", "eve", int32(partition))
	if h.keys[key] == nil {
		h.keys[key] = map[string]string{}
	}
	h.keys[key][field] = value
}

// counted adds up what the snapshots of partitions hold, by key, and their offsets.
func (h *hashes) counted(t *testing.T, partitions int) (counts map[string]int, offsets int64) {
	t.Helper()
	v, err := newVault(h)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	counts = map[string]int{}
	for n := range partitions {
		hash := h.all(n)
		if hash["data"] == "" {
			continue
		}
		snap, err := v.decode([]byte(hash["data"]))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(snap.offset) != hash["offset"] {
			t.Errorf("partition %d: offset %d in the snapshot, %s beside it", n, snap.offset, hash["offset"])
		}
		offsets += snap.offset
		for _, state := range snap.states["filter k"].Shards {
			var each map[string]int
			if err := json.Unmarshal(state, &each); err != nil {
				t.Fatal(err)
			}
			for k, n := range each {
				counts[k] += n
			}
		}
	}
	return counts, offsets
}

// line is the connection of one member to hashes: it can be cut, and held.
type line struct {
	*hashes
	cut  atomic.Bool
	hold atomic.Pointer[chan struct{}] // saves wait for its end
	held atomic.Int64                  // saves that wait
}

func (l *line) Do(args ...string) (any, error) {
	if l.cut.Load() {
		return nil, errors.New("connection refused")
	}
	if ch := l.hold.Load(); ch != nil && args[1] == saveScript {
		l.held.Add(1)
		<-*ch
		l.held.Add(-1)
	}
	return l.hashes.Do(args...)
}

// tally is a Program whose scripts count events by their field id.
type tally struct{}

type tallyScript struct {
	out    engine.Route
	counts map[string]int
}

func (tally) KeepsState() bool { return true }

func (tally) Load(env engine.ScriptEnv, _ *engine.Results) (engine.Script, error) {
	s := &tallyScript{out: env.Router.Output("out"), counts: map[string]int{}}
	for _, data := range env.States {
		if err := json.Unmarshal(data, &s.counts); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *tallyScript) Handle(ev *engine.Event, out *engine.Results) error {
	s.counts[lazyjson.Find(ev.Index, ev.Body, "id").Raw(ev.Body)]++
	out.Emit(s.out, ev.Body, ev.Index)
	return nil
}
func (s *tallyScript) SaveState() ([]byte, error)   { return json.Marshal(s.counts) }
func (s *tallyScript) Finish(*engine.Results) error { return nil }
func (s *tallyScript) Close()                       {}

// sink is an output that counts events by body; it can be held.
type sink struct {
	mu   sync.Mutex
	got  map[string]int
	hold atomic.Bool
}

func (*sink) Open(context.Context) error { return nil }
func (*sink) Close() error               { return nil }
func (s *sink) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if s.hold.Load() {
		return 0, errors.New("held")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range batch {
		s.got[ev.Body]++
	}
	return len(batch), nil
}

func (s *sink) all() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.got)
}

// node is a process: an engine with a kafka input that keeps state, and an output.
type node struct {
	test.Row
	t      *testing.T
	line   *line
	sink   *sink
	engine *engine.Engine
	cancel context.CancelFunc
	wg     sync.WaitGroup
	err    error
}

// join starts a node that reads address; its state is in h.
func join(t *testing.T, address string, h *hashes, options engine.Values) *node {
	t.Helper()
	n := &node{t: t, line: &line{hashes: h}, sink: &sink{got: map[string]int{}}}
	n.Address = address
	n.Options = engine.Values{"rebalance_timeout": 20 * time.Second, "state": "redis", "state_interval": 100 * time.Millisecond}
	maps.Copy(n.Options, options)
	p := n.Params(Kind.Options)
	p.Redis = func(string) (func() (engine.RedisConn, error), error) {
		return func() (engine.RedisConn, error) { return n.line, nil }, nil
	}
	in, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &engine.Config{MaxInFlight: 2048, MaxInFlightBytes: 8 << 20, DrainTimeout: 30 * time.Second, StateMax: 1 << 20,
		Inputs:  []engine.InputRow{{Tag: "k", Filter: engine.StageRow{Tag: "k", Script: "tally", Workers: 2}}},
		Outputs: []engine.OutputRow{{Tag: "out"}}}
	nothing := func() engine.Output { return &sink{got: map[string]int{}} }
	n.engine, err = engine.New(cfg, engine.Parts{Inputs: []engine.Input{in}, Finite: []bool{false}, Filters: []engine.Program{tally{}},
		Outputs: []engine.Output{n.sink}, LogOutput: nothing(), StatsOutput: nothing(), DeadLetterOutput: nothing(), Log: p.Log})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.engine.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.wg.Go(func() { n.err = n.engine.Run(ctx, false) })
	t.Cleanup(func() {
		n.leave()
		if t.Failed() {
			t.Log(n.Log.String())
		}
	})
	return n
}

// leave ends the node.
func (n *node) leave() {
	n.cancel()
	n.wg.Wait()
}

// wait waits until n different events are at the outputs of nodes.
func wait(t *testing.T, n int, nodes ...*node) {
	t.Helper()
	test.WaitFor(t, fmt.Sprintf("%d events", n), func() bool { return len(together(nodes...)) >= n })
}

// together returns how often each event was written.
func together(nodes ...*node) map[string]int {
	all := map[string]int{}
	for _, n := range nodes {
		for body, times := range n.sink.all() {
			all[body] += times
		}
	}
	return all
}

// saved waits until the snapshots are of so many records.
func saved(t *testing.T, h *hashes, partitions int, records int64) {
	t.Helper()
	test.WaitFor(t, fmt.Sprintf("snapshots of %d records", records), func() bool {
		_, offsets := h.counted(t, partitions)
		return offsets == records
	})
}

func (n *node) said(text string) func() bool {
	return func() bool { return strings.Contains(n.Log.String(), text) }
}
