package feature

import (
	"math/bits"
	"strconv"

	"dragonfly/engine/packet"
)

// splt is how many packets the lists show.
const splt = 20

const millisecond = 1e6 // nanoseconds

// nfstream is the state behind the vector of NFStream. Index 0 is src2dst, 1 dst2src.
type nfstream struct {
	clock clock // of both directions
	gaps  sums
	dirs  [2]struct {
		clock clock
		sizes sums
		gaps  sums
		flags [8]uint64 // packets with flag 1<<i
	}
	early struct { // the first packets
		n     uint8
		back  uint32 // bit i: packet i is dst2src
		sizes [splt]uint32
		gaps  [splt]uint64 // nanoseconds
	}
}

func (f *nfstream) add(p *packet.Packet, dir int) {
	now, gap, ok := f.clock.tick(p.Time)
	if ok {
		f.gaps.add(gap)
	}
	if i := f.early.n; i < splt {
		f.early.n++
		f.early.back |= uint32(dir) << i
		f.early.sizes[i], f.early.gaps[i] = p.Bytes, gap
	}
	d := &f.dirs[dir]
	if _, gap, ok := d.clock.tick(now); ok {
		d.gaps.add(gap)
	}
	d.sizes.add(uint64(p.Bytes))
	if p.Proto == packet.TCP {
		countFlags(&d.flags, p.TCPFlags)
	}
}

func countFlags(counts *[8]uint64, flags uint8) {
	for ; flags != 0; flags &= flags - 1 {
		counts[bits.TrailingZeros8(flags)&7]++
	}
}

func (f *nfstream) write(w *writer) {
	out, back := &f.dirs[0], &f.dirs[1]
	both := out.sizes.plus(&back.sizes)
	flags := out.flags
	for i := range flags {
		flags[i] += back.flags[i]
	}
	writeTotals(w, "bidirectional_", &f.clock, &both)
	writeTotals(w, "src2dst_", &out.clock, &out.sizes)
	writeTotals(w, "dst2src_", &back.clock, &back.sizes)
	writeSpread(w, "bidirectional_", &both, &f.gaps)
	writeSpread(w, "src2dst_", &out.sizes, &out.gaps)
	writeSpread(w, "dst2src_", &back.sizes, &back.gaps)
	writeFlags(w, "bidirectional_", &flags)
	writeFlags(w, "src2dst_", &out.flags)
	writeFlags(w, "dst2src_", &back.flags)
	f.writeEarly(w)
}

func writeTotals(w *writer, prefix string, c *clock, sizes *sums) {
	w.key(prefix, "first_seen_ms")
	w.b = strconv.AppendInt(w.b, c.first/millisecond, 10)
	w.key(prefix, "last_seen_ms")
	w.b = strconv.AppendInt(w.b, c.last/millisecond, 10)
	w.time(prefix, "duration_ms", c.duration(), millisecond)
	w.count(prefix, "packets", sizes.n)
	w.count(prefix, "bytes", sizes.sum)
}

func writeSpread(w *writer, prefix string, sizes, gaps *sums) {
	w.count(prefix, "min_ps", sizes.least)
	w.number(prefix, "mean_ps", sizes.mean())
	w.number(prefix, "stddev_ps", sizes.deviation())
	w.count(prefix, "max_ps", sizes.top)
	w.time(prefix, "min_piat_ms", gaps.least, millisecond)
	w.number(prefix, "mean_piat_ms", gaps.mean()/millisecond)
	w.number(prefix, "stddev_piat_ms", gaps.deviation()/millisecond)
	w.time(prefix, "max_piat_ms", gaps.top, millisecond)
}

func writeFlags(w *writer, prefix string, flags *[8]uint64) {
	w.count(prefix, "syn_packets", flags[1])
	w.count(prefix, "cwr_packets", flags[7])
	w.count(prefix, "ece_packets", flags[6])
	w.count(prefix, "urg_packets", flags[5])
	w.count(prefix, "ack_packets", flags[4])
	w.count(prefix, "psh_packets", flags[3])
	w.count(prefix, "rst_packets", flags[2])
	w.count(prefix, "fin_packets", flags[0])
}

func (f *nfstream) writeEarly(w *writer) {
	e := &f.early
	w.key("splt_", "direction")
	w.list(int(e.n), func(b []byte, i int) []byte { return append(b, '0'+byte(e.back>>i&1)) })
	w.key("splt_", "ps")
	w.list(int(e.n), func(b []byte, i int) []byte { return strconv.AppendUint(b, uint64(e.sizes[i]), 10) })
	w.key("splt_", "piat_ms")
	w.list(int(e.n), func(b []byte, i int) []byte {
		return strconv.AppendFloat(b, float64(e.gaps[i])/millisecond, 'f', -1, 64)
	})
}

// list writes n values, then -1 up to splt.
func (w *writer) list(n int, value func(b []byte, i int) []byte) {
	w.b = append(w.b, '[')
	for i := range splt {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if i >= n {
			w.b = append(w.b, "-1"...)
			continue
		}
		w.b = value(w.b, i)
	}
	w.b = append(w.b, ']')
}
