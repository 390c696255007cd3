// Package stdin reads records from standard input: stdin://.
package stdin

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"

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
	src    io.Reader
	max    int64
	begin  sync.Once
	chunks chan chunk // written and closed by read, read by Run
	next   chunk      // taken from chunks, but not by the engine
}

// chunk is what one read returned.
type chunk struct {
	records []engine.Record
	err     error
}

// New returns the input for another reader than os.Stdin.
func New(p engine.Params, src io.Reader) engine.Input {
	return &input{src: src, max: p.Options.Int("max_line"), chunks: make(chan chunk)}
}

// Run implements engine.Input. A read that waits for input cannot be cancelled: it goes on when ctx ends, and the next Run
// takes what it returns.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	in.begin.Do(func() { go in.read() }) // nobody can wait for it: the process ends it
	for {
		if in.next.records == nil {
			select {
			case next, ok := <-in.chunks:
				if !ok || next.err != nil {
					return next.err
				}
				in.next = next
			case <-ctx.Done():
				return nil
			}
		}
		if emit(ctx, engine.Batch{Origin: "stdin", Records: in.next.records}) != nil {
			return nil
		}
		in.next = chunk{}
	}
}

// read reads the source to its end, one chunk ahead of Run.
func (in *input) read() {
	defer close(in.chunks)
	err := lines.Drain(lines.New(in.src, 0, in.max), func(records []engine.Record, _ int64) error {
		in.chunks <- chunk{records: slices.Clone(records)}
		return nil
	})
	if err != nil {
		in.chunks <- chunk{err: err}
	}
}

// Paths implements engine.PathUser: it uses none.
func (*input) Paths() []engine.PathUse { return nil }
