package engine

import "context"

// Handover is the cause of the end of a Run's context (context.Cause) when another engine goes on with some of the inputs: a
// reload. An input that holds more than its place in the source, such as flows, keeps it then for its next Run.
type Handover struct{ Kept map[any]bool } // inputs and outputs that the next engine takes over

func (h *Handover) Error() string { return "another engine takes over" }

// HandedOver reports whether ctx, that of in's Run, is done because of a Handover that keeps in.
func HandedOver(ctx context.Context, in Input) bool {
	h, ok := context.Cause(ctx).(*Handover)
	return ok && h.Kept[in]
}

// Permitter is a component that needs a right of the process (a capability) to be opened. Before a reload opens a new one the
// command asks: the process may have given the right up. The error says what is missing and how it is got.
type Permitter interface {
	Permitted() error
}
