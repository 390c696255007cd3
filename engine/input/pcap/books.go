package pcap

import "strings"

// help says what the counters of an input are; those of the decoder share the last.
var help = map[string]string{
	"frames":              "Frames read.",
	"packets":             "Packets decoded from them.",
	"packets_not_metered": "Packets of protocols that make no flows, and ICMP errors about flows that are not known.",
	"capture_dropped":     "Frames that were lost when the capture was made, as it says.",
	"flows":               "Flows metered.",
	"flows_evicted":       "Flows that were reported before their time because the flow table was full.",
	"decoder":             "Frames or packets that the decoder counted by this name.",
}

// books carries what a pass counts into the counters of its row.
type books struct {
	in       *input
	progress *Progress
	told     map[string]uint64
}

// tell adds what has been counted since the last call.
func (b *books) tell() {
	sum := b.progress.Summary()
	for name, n := range sum.Counts() {
		if n == b.told[name] {
			continue
		}
		about, ok := help[name]
		if !ok && strings.HasPrefix(name, "decoder_") {
			about = help["decoder"]
		}
		b.in.counter(name+"_total", about).Add(int64(n - b.told[name]))
		b.told[name] = n
	}
}
