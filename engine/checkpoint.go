package engine

// Checkpoints remembers, per input, how far each of its source files is read and finished.
type Checkpoints struct{}

func NewCheckpoints() *Checkpoints { return &Checkpoints{} }

func (c *Checkpoints) Save() error { return nil }
