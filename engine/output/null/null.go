// Package null takes events and forgets them: null://.
package null

import (
	"context"

	"dragonfly/engine"
)

// Kind is null://.
var Kind = engine.OutputKind{
	Doc: "`null://`: counts events and forgets them.",
	New: func(engine.Params) (engine.Output, error) { return output{}, nil },
}

type output struct{}

func (output) Open(context.Context) error                                 { return nil }
func (output) Close() error                                               { return nil }
func (output) Write(_ context.Context, batch []engine.Event) (int, error) { return len(batch), nil }

// Paths implements engine.PathUser: it uses none.
func (output) Paths() []engine.PathUse { return nil }
