package metering

import (
	"strings"
	"sync/atomic"

	"dragonfly/engine/flow"
	"dragonfly/engine/packet"
)

// Books carries counts that grow into the counters of a row. It belongs to one goroutine.
type Books struct {
	counter func(name, help string) *atomic.Int64
	told    map[string]uint64
}

// help says what the counters of an input are; those of the decoder share the last.
var help = map[string]string{
	"frames":              "Frames captured or read.",
	"packets":             "Packets decoded from them.",
	"packets_not_metered": "Packets of protocols that make no flows, and ICMP errors about flows that are not known.",
	"capture_dropped":     "Frames that were lost when the capture was made, as it says.",
	"flows":               "Flows metered.",
	"flows_evicted":       "Flows that were reported before their time because the flow table was full.",
	"flows_app_refused":   "Flows whose application was given up because app_memory was used up.",
	"decoder":             "Frames or packets that the decoder counted by this name.",
}

// NewBooks returns books for the counters of a row, as in engine.Params.
func NewBooks(counter func(name, help string) *atomic.Int64) *Books {
	return &Books{counter: counter, told: map[string]uint64{}}
}

// Tell adds what counts have grown by since the last call. Counts of fragments that are held also fall.
func (b *Books) Tell(counts map[string]uint64) {
	for name, n := range counts {
		if n == b.told[name] {
			continue
		}
		about, ok := help[name]
		if !ok {
			about = help["decoder"]
		}
		b.counter(name+"_total", about).Add(int64(n - b.told[name]))
		b.told[name] = n
	}
}

// NewMeter says that the counts of flows begin anew, as there is another meter.
func (b *Books) NewMeter() {
	for name := range flowCounts(&flow.Stats{}) {
		delete(b.told, name)
	}
}

// Counts returns what a decoder and meters have counted by name, for metrics and for Tell: counts of the decoder that are not 0
// with "decoder_" before their names. s is nil where there is no meter.
func Counts(s *flow.Stats, decoder []packet.Counter) map[string]uint64 {
	counts := map[string]uint64{}
	if s != nil {
		counts = flowCounts(s)
	}
	for _, c := range decoder {
		switch {
		case c.Count == 0 || c.Name == "frames":
		case c.Name == "packets":
			counts["packets"] = c.Count
		default:
			counts["decoder_"+strings.Map(word, c.Name)] = c.Count
		}
	}
	return counts
}

func flowCounts(s *flow.Stats) map[string]uint64 {
	return map[string]uint64{"packets_not_metered": s.OtherProtocol + s.ICMPErrors, "flows": s.Flows, "flows_evicted": s.EndedEvicted, "flows_app_refused": s.AppRefused}
}

// word makes a part of the name of a metric.
func word(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}
