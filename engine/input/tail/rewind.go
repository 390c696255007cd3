package tail

import "dragonfly/engine"

var _ engine.Rewinder = (*input)(nil)

// Rewind implements engine.Rewinder: the next Run opens the files again and reads from the checkpoints on.
func (in *input) Rewind() {
	for _, f := range in.files {
		f.file.Close()
	}
	in.files, in.started = nil, false
}
