package wire

import "dragonfly/engine"

// Ahead remembers, for an output that sends a batch at once, what the sink took behind the event at which Write had to stop: the
// engine gives these events again, and they must not be sent twice. The zero value remembers nothing. It is used by one
// goroutine at a time.
type Ahead struct {
	bodies []string // the events that come next
	taken  []bool   // the sink has this one
	// IDs are of the events in bodies that are not taken, so that a second try has the id of the first; "" is none.
	IDs []string
}

// Stop notes the outcome of a batch of which event n is what Write stops at: taken[i] says that the sink has event i. refused
// says that event n does not come again. It returns n and err, for Write to return.
func (a *Ahead) Stop(batch []engine.Event, taken []bool, ids []string, n int, refused bool, err error) (int, error) {
	from := n
	if refused {
		from++
	}
	*a = Ahead{}
	for i := from; i < len(batch); i++ {
		a.bodies = append(a.bodies, batch[i].Body)
		a.taken = append(a.taken, taken[i])
		if ids != nil {
			a.IDs = append(a.IDs, ids[i])
		}
	}
	return n, err
}

// Next returns which events of batch the sink has already, and the ids that the others were sent with, nil if nothing is known
// of batch. What was noted is forgotten.
func (a *Ahead) Next(batch []engine.Event) (taken []bool, ids []string) {
	b := *a
	*a = Ahead{}
	if len(b.bodies) == 0 {
		return nil, nil
	}
	for i := range min(len(batch), len(b.bodies)) {
		if batch[i].Body != b.bodies[i] {
			return nil, nil
		}
	}
	taken = make([]bool, len(batch))
	copy(taken, b.taken)
	if b.IDs != nil {
		ids = make([]string, len(batch))
		copy(ids, b.IDs)
	}
	return taken, ids
}
