package pcap

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"dragonfly/engine/flow"
	"dragonfly/engine/packet"
)

// Summary is what a pass has seen so far.
type Summary struct {
	Frames  uint64
	Packets uint64 // that were decoded: more than one of a frame with tunnels, none of a fragment
	Dropped uint64 // lost when the captures were made, as far as they say
	// First and Last are the earliest and the latest time of a frame, nanoseconds since 1970; both 0 without frames.
	First, Last int64
	Decoder     []packet.Counter // what else the decoder has counted
	Flows       flow.Stats       // of all meters together
}

// Progress says how far a pass is. It may be asked by any goroutine.
type Progress struct {
	read atomic.Int64

	mu  sync.Mutex
	sum Summary
}

// Read returns how many bytes of the sources were read, packed as they are.
func (p *Progress) Read() int64 { return p.read.Load() }

// Summary returns what was seen up to a moment ago, and all when Run has returned.
func (p *Progress) Summary() Summary {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sum
}

func (p *Progress) addRead(n int) { p.read.Add(int64(n)) }

// tally is what a pass counts. Only meters may be touched by several goroutines.
type tally struct {
	frames, packets, dropped uint64
	first, last, now         int64 // times: earliest, latest, of the last frame
	counters                 []packet.Counter

	mu     sync.Mutex
	meters []flow.Stats // guarded by mu
}

func newTally(meters int) *tally { return &tally{meters: make([]flow.Stats, meters)} }

func (t *tally) frame(f *packet.Frame) {
	if t.frames++; t.frames == 1 {
		t.first, t.last = f.Time, f.Time
	}
	t.first, t.last, t.now = min(t.first, f.Time), max(t.last, f.Time), f.Time
}

func (t *tally) decoder(d *packet.Decoder) { t.counters = d.Counters() }

// meter notes what a meter has counted; its own goroutine calls it.
func (t *tally) meter(number int, m *flow.Meter) {
	s := m.Stats()
	t.mu.Lock()
	t.meters[number] = s
	t.mu.Unlock()
}

// take publishes a tally. The goroutine that reads calls it.
func (p *Progress) take(t *tally) {
	s := Summary{Frames: t.frames, Packets: t.packets, Dropped: t.dropped, First: t.first, Last: t.last, Decoder: t.counters}
	t.mu.Lock()
	for i := range t.meters {
		addStats(&s.Flows, &t.meters[i])
	}
	t.mu.Unlock()
	p.mu.Lock()
	p.sum = s
	p.mu.Unlock()
}

func addStats(to, s *flow.Stats) {
	to.Packets += s.Packets
	to.OtherProtocol += s.OtherProtocol
	to.ICMPErrors += s.ICMPErrors
	to.Reported += s.Reported
	to.Flows += s.Flows
	to.EndedIdle += s.EndedIdle
	to.EndedActive += s.EndedActive
	to.EndedReused += s.EndedReused
	to.EndedEvicted += s.EndedEvicted
	to.EndedClosed += s.EndedClosed
	to.EvictedNew += s.EvictedNew
	to.EvictedEstablished += s.EvictedEstablished
	to.EvictedClosed += s.EvictedClosed
	to.Active += s.Active
	to.Bytes += s.Bytes
}

// Counts returns the numbers of a summary that are not 0 by name, for metrics: those of the decoder with "decoder_" before
// their names.
func (s *Summary) Counts() map[string]uint64 {
	counts := map[string]uint64{
		"frames": s.Frames, "packets": s.Packets, "capture_dropped": s.Dropped,
		"packets_not_metered": s.Flows.OtherProtocol + s.Flows.ICMPErrors,
		"flows":               s.Flows.Flows, "flows_evicted": s.Flows.EndedEvicted,
	}
	for _, c := range s.Decoder {
		if c.Name != "frames" && c.Name != "packets" {
			counts["decoder_"+strings.Map(word, c.Name)] = c.Count
		}
	}
	maps.DeleteFunc(counts, func(_ string, n uint64) bool { return n == 0 })
	return counts
}

// word makes a part of the name of a metric.
func word(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}
