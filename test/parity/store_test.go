package parity

import "testing"

// newRig returns a rig of a real server and the store.
func newRig(tb testing.TB) *rig {
	return &rig{real: newServer(tb), ours: newServer(tb), scripts: true}
}
