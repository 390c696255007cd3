// Package dummy makes records from config.lua: dummy://, for trying scripts and for tests.
package dummy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"dragonfly/engine"
)

// Kind is dummy://.
var Kind = engine.InputKind{
	Doc:    "`dummy://`: makes records from `data`, round by round.",
	Finite: true,
	Options: []engine.Option{
		{Key: "data", Type: engine.JSON, Doc: "The record of a round, or a list of them. Required."},
		{Key: "repeat", Type: engine.Int, Default: int64(1), Min: -1, Max: 1 << 40, Doc: "Rounds; -1 goes on until the engine stops."},
		{Key: "interval", Type: engine.Duration, Default: time.Duration(0), Max: 86400 * 365, Doc: "Pause between two rounds."},
	},
	New: New,
}

type input struct {
	bodies   []string
	rounds   int64
	interval time.Duration
}

var _ engine.Finite = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	in := &input{rounds: p.Options.Int("repeat"), interval: p.Options.Duration("interval")}
	data := p.Options.String("data")
	if data == "" {
		return nil, &engine.ConfigError{Key: "data", Msg: "is missing, want the record to make, or a list of them"}
	}
	var list []json.RawMessage
	if json.Unmarshal([]byte(data), &list) != nil {
		list = []json.RawMessage{json.RawMessage(data)}
	}
	for i, m := range list {
		if len(m) == 0 || m[0] != '{' {
			return nil, &engine.ConfigError{Key: "data", Msg: fmt.Sprintf("record %d is %s, want a table with named fields", i+1, m)}
		}
		in.bodies = append(in.bodies, string(m))
	}
	if len(in.bodies) == 0 {
		return nil, &engine.ConfigError{Key: "data", Msg: "is empty"}
	}
	return in, nil
}

// Finite implements engine.Finite.
func (in *input) Finite() bool { return in.rounds >= 0 }

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	offset := int64(0)
	records := make([]engine.Record, len(in.bodies))
	for round := int64(0); in.rounds < 0 || round < in.rounds; round++ {
		for i, body := range in.bodies {
			records[i] = engine.Record{Body: body, Offset: offset}
			offset++
		}
		if err := emit(ctx, engine.Batch{Origin: "dummy", Records: records}); err != nil {
			return nil
		}
		if last := in.rounds >= 0 && round == in.rounds-1; in.interval > 0 && !last {
			select {
			case <-time.After(in.interval):
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// Paths implements engine.PathUser: it uses none.
func (*input) Paths() []engine.PathUse { return nil }
