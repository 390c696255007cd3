package flow

import (
	"dragonfly/engine/flow"
	"dragonfly/engine/input/internal/metering"
)

// drops adds what the kernel has dropped since the last call.
func (w *worker) drops() {
	if dropped, err := w.ring.dropped(); err == nil && dropped > 0 {
		w.in.count.dropped.Add(int64(dropped))
		w.in.tellLoss(w.name, dropped)
	}
}

// tally adds what was counted since the last call.
func (w *worker) tally() {
	w.drops()
	var stats *flow.Stats
	if w.meter != nil {
		s := w.meter.Stats()
		stats = &s
	}
	counts := metering.Counts(stats, w.decoder.Counters())
	counts["frames"] = w.ring.number
	w.books.Tell(counts)
}
