package engine

import (
	"context"
	"time"
)

// KeptState is what an input keeps of one partition elsewhere than in the checkpoint file.
type KeptState struct {
	Origin string                // of the partition's batches
	Place  string                // where it is kept: a key
	Offset int64                 // States have what lies below; -1: there is no snapshot yet
	Saved  time.Time             // zero: never
	Owner  string                // who claimed it last, and may have ended since
	Bytes  int                   // of the snapshot, as it is kept
	States map[string]StageState // by stage, as in a Cut
	Err    error                 // the snapshot cannot be read
}

// StateHolder is an Input that keeps states of scripts elsewhere than in the checkpoint file. Its methods may be called in a process
// that does not run the input, while others do.
type StateHolder interface {
	Input
	// KeptStates returns what is kept, in the order of the partitions.
	KeptStates(ctx context.Context) ([]KeptState, error)
	// ForgetStates removes the states of stages and returns those that there were. A process that reads such a partition begins it
	// anew, without them.
	ForgetStates(ctx context.Context, stages []string) ([]string, error)
}
