package feature

import (
	"fmt"

	"dragonfly/engine/packet"
)

// Kind says which vector is computed.
type Kind uint8

// The kinds. None computes nothing.
const (
	None Kind = iota
	NFStream
	CIC
)

// Bytes that the state of one flow takes, whatever its length.
const (
	NFStreamBytes = 704
	CICBytes      = 712
)

// Parse returns the kind that a configuration names: "", "nfstream" or "cic".
func Parse(name string) (Kind, error) {
	switch name {
	case "":
		return None, nil
	case "nfstream":
		return NFStream, nil
	case "cic":
		return CIC, nil
	}
	return None, fmt.Errorf("unknown features %q, want nfstream or cic", name)
}

// Features is the state of one flow. It belongs to the goroutine of its flow.
type Features struct {
	nf  *nfstream
	cic *cic
}

// New returns the state of a flow without packets, or nil for None.
func New(k Kind) *Features {
	switch k {
	case NFStream:
		return &Features{nf: &nfstream{}}
	case CIC:
		f := &Features{cic: &cic{}}
		f.Reset()
		return f
	}
	return nil
}

// Reset empties f for another flow.
func (f *Features) Reset() {
	if f.nf != nil {
		*f.nf = nfstream{}
	}
	if f.cic != nil {
		*f.cic = cic{}
		f.cic.dirs[0].window, f.cic.dirs[1].window = -1, -1
	}
}

// Add counts one packet of the flow.
func (f *Features) Add(p *packet.Packet, toClient bool) {
	dir := 0
	if toClient {
		dir = 1
	}
	if f.nf != nil {
		f.nf.add(p, dir)
	}
	if f.cic != nil {
		f.cic.add(p, dir)
	}
}

// Turn swaps the directions of what was added: the sender of the first packet was the server.
func (f *Features) Turn() {
	if n := f.nf; n != nil {
		n.dirs[0], n.dirs[1] = n.dirs[1], n.dirs[0]
		n.early.back ^= 1<<n.early.n - 1
	}
	if c := f.cic; c != nil {
		c.dirs[0], c.dirs[1] = c.dirs[1], c.dirs[0]
	}
}

// Append appends one JSON member, `"features":{"bidirectional_packets":2, ...}`, to b. It changes nothing: the flow may go on.
func (f *Features) Append(b []byte) []byte {
	w := writer{b: append(b, `"features":{`...)}
	if f.nf != nil {
		f.nf.write(&w)
	}
	if f.cic != nil {
		f.cic.write(&w)
	}
	return append(w.b, '}')
}

// clock makes the times of a flow's packets monotonic.
type clock struct {
	first, last int64 // nanoseconds since 1970
	started     bool
}

// tick returns the packet's time, not before the last one's, and the gap between them; ok is false for the first packet.
func (c *clock) tick(now int64) (at int64, gap uint64, ok bool) {
	if !c.started {
		*c = clock{now, now, true}
		return now, 0, false
	}
	now = max(now, c.last)
	gap = uint64(now) - uint64(c.last)
	c.last = now
	return now, gap, true
}

// duration is in nanoseconds.
func (c *clock) duration() uint64 { return uint64(c.last) - uint64(c.first) }
