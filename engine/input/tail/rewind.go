package tail

import "dragonfly/engine"

var _ engine.Rewinder = (*input)(nil)

// Rewind implements engine.Rewinder: the next Run opens the files again and reads from the checkpoints on. Without
// checkpoints it goes on where it was.
func (in *input) Rewind() {
	if !in.remember {
		return
	}
	for _, f := range in.files {
		f.close()
	}
	in.files, in.past, in.started = nil, nil, false
}
