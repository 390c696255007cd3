package flow

import "strings"

// books carries what a worker's parts count into the counters of the row.
type books struct {
	told map[string]uint64
}

// help says what the counters are; those of the decoder share one text.
var help = map[string]string{
	"frames":              "Frames captured.",
	"packets":             "Packets decoded from them.",
	"packets_not_metered": "Packets of protocols that make no flows, and ICMP errors about flows that are not known.",
	"flows":               "Flows metered.",
	"flows_evicted":       "Flows that were reported before their time because the flow table was full.",
	"flows_app_refused":   "Flows whose application was given up because app_memory was used up.",
}

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
	w.count("frames", w.ring.number)
	if w.meter != nil {
		s := w.meter.Stats()
		w.count("packets_not_metered", s.OtherProtocol+s.ICMPErrors)
		w.count("flows", s.Flows)
		w.count("flows_evicted", s.EndedEvicted)
		w.count("flows_app_refused", s.AppRefused)
	}
	for _, c := range w.decoder.Counters() {
		switch {
		case c.Count == 0 || c.Name == "frames":
		case c.Name == "packets":
			w.count("packets", c.Count)
		default:
			w.count("decoder_"+strings.Map(word, c.Name), c.Count)
		}
	}
}

// count tells the row's counter of a name what n has grown by. Counts of fragments that are held also fall.
func (w *worker) count(name string, n uint64) {
	if n == w.books.told[name] {
		return
	}
	about, ok := help[name]
	if !ok {
		about = "Frames or packets that the decoder counted by this name."
	}
	w.in.counter(name+"_total", about).Add(int64(n - w.books.told[name]))
	w.books.told[name] = n
}

// word makes a part of the name of a metric.
func word(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}
