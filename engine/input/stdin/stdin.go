// Package stdin reads records from standard input: stdin://.
package stdin

import (
	"context"
	"io"
	"os"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// Kind is stdin://.
var Kind = engine.InputKind{
	Doc:     "`stdin://`: reads standard input to its end, a record per line. It reads only what can be queued.",
	Finite:  true,
	Options: []engine.Option{lines.MaxLine},
	New:     func(p engine.Params) (engine.Input, error) { return New(p, os.Stdin), nil },
}

type input struct {
	src io.Reader
	max int64
}

// New returns the input for another reader than os.Stdin.
func New(p engine.Params, src io.Reader) engine.Input {
	return &input{src: src, max: p.Options.Int("max_line")}
}

// Run implements engine.Input. A read that waits for input cannot be cancelled: it is left behind when ctx ends, with
// at most one chunk that nobody has seen.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	ended := make(chan error, 1) // written by the reading goroutine
	go func() {
		ended <- lines.Drain(lines.New(in.src, 0, in.max), func(records []engine.Record, _ int64) error {
			return emit(ctx, engine.Batch{Origin: "stdin", Records: records})
		})
	}()
	select {
	case err := <-ended:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case <-ctx.Done():
		return nil
	}
}
