package feature

import (
	"strconv"

	"dragonfly/engine/packet"
)

const (
	microsecond = 1e3        // nanoseconds
	second      = 1e9        // nanoseconds
	idleGap     = 5 * second // above it a flow was idle
	subflowGap  = 1 * second // above it a new subflow begins
	bulkGap     = 1 * second // above it a bulk has ended
	bulkLength  = 4          // packets from which on a run is a bulk
)

// cic is the state behind the vector of CICFlowMeter. Index 0 is Fwd, 1 Bwd.
type cic struct {
	clock        clock
	gaps         sums
	active, idle sums
	activeSince  int64  // time of the first packet after the last idle gap
	pauses       uint64 // gaps that began a subflow
	flags        [8]uint64
	dirs         [2]cicDir
}

type cicDir struct {
	clock   clock
	lengths sums // payload
	gaps    sums
	headers uint64
	psh     uint64
	urg     uint64
	data    uint64 // packets with payload
	segment uint32 // smallest header
	window  int32  // of the first TCP packet; -1 before
	bulk    bulk
}

// bulk counts the bulks of one direction, and the run of packets with payload that may become one.
type bulk struct {
	n, packets, bytes, time uint64 // of all bulks
	run, runBytes, runTime  uint64 // run is 0 where none has begun
	last                    int64  // time of the run's last packet
}

func (b *bulk) add(now int64, length uint64) {
	gap := uint64(now) - uint64(b.last)
	b.last = now
	if b.run == 0 || gap > bulkGap {
		b.run, b.runBytes, b.runTime = 1, length, 0
		return
	}
	b.run++
	b.runBytes += length
	b.runTime += gap
	if b.run == bulkLength {
		b.n++
		b.packets, b.bytes, b.time = b.packets+b.run, b.bytes+b.runBytes, b.time+b.runTime
	}
	if b.run > bulkLength {
		b.packets, b.bytes, b.time = b.packets+1, b.bytes+length, b.time+gap
	}
}

func (f *cic) add(p *packet.Packet, dir int) {
	now, gap, ok := f.clock.tick(p.Time)
	if ok {
		f.gap(now, gap)
	} else {
		f.activeSince = now
	}
	d, length := &f.dirs[dir], uint64(p.PayloadLen)
	if _, gap, ok := d.clock.tick(now); ok {
		d.gaps.add(gap)
	}
	if header := headerLen(p); d.lengths.n == 0 || header < d.segment {
		d.segment = header
	}
	d.headers += uint64(headerLen(p))
	d.lengths.add(length)
	if length > 0 {
		d.data++
		d.bulk.add(now, length)
		f.dirs[1-dir].bulk.run = 0
	}
	if p.Proto == packet.TCP {
		f.tcp(p, d)
	}
}

// gap notes the time between two packets of the flow, of which the second came now.
func (f *cic) gap(now int64, gap uint64) {
	f.gaps.add(gap)
	if gap > subflowGap {
		f.pauses++
	}
	if gap > idleGap {
		f.idle.add(gap)
		if t := uint64(now) - gap - uint64(f.activeSince); t > 0 {
			f.active.add(t)
		}
		f.activeSince = now
	}
}

func (f *cic) tcp(p *packet.Packet, d *cicDir) {
	countFlags(&f.flags, p.TCPFlags)
	if p.TCPFlags&packet.PSH != 0 {
		d.psh++
	}
	if p.TCPFlags&packet.URG != 0 {
		d.urg++
	}
	if d.window < 0 {
		d.window = int32(p.Window)
	}
}

// headerLen is the length of the transport header, with TCP's options.
func headerLen(p *packet.Packet) uint32 {
	switch p.Proto {
	case packet.TCP:
		return 20 + uint32(len(p.TCPOptions))
	case packet.SCTP:
		return 12
	}
	return 8
}

func (f *cic) write(w *writer) {
	fwd, bwd := &f.dirs[0], &f.dirs[1]
	all := fwd.lengths.plus(&bwd.lengths)
	seconds := float64(f.clock.duration()) / second
	w.time("", "flow_duration", f.clock.duration(), microsecond)
	w.count("", "total_fwd_packet", fwd.lengths.n)
	w.count("", "total_bwd_packets", bwd.lengths.n)
	w.count("", "total_length_of_fwd_packet", fwd.lengths.sum)
	w.count("", "total_length_of_bwd_packet", bwd.lengths.sum)
	writeLengths(w, "fwd_packet_length_", &fwd.lengths)
	writeLengths(w, "bwd_packet_length_", &bwd.lengths)
	w.number("", "flow_bytes_s", share(float64(all.sum), seconds))
	w.number("", "flow_packets_s", share(float64(all.n), seconds))
	writeTimes(w, "flow_iat_", &f.gaps)
	w.time("", "fwd_iat_total", fwd.gaps.sum, microsecond)
	writeTimes(w, "fwd_iat_", &fwd.gaps)
	w.time("", "bwd_iat_total", bwd.gaps.sum, microsecond)
	writeTimes(w, "bwd_iat_", &bwd.gaps)
	w.count("", "fwd_psh_flags", fwd.psh)
	w.count("", "bwd_psh_flags", bwd.psh)
	w.count("", "fwd_urg_flags", fwd.urg)
	w.count("", "bwd_urg_flags", bwd.urg)
	w.count("", "fwd_header_length", fwd.headers)
	w.count("", "bwd_header_length", bwd.headers)
	w.number("", "fwd_packets_s", share(float64(fwd.lengths.n), seconds))
	w.number("", "bwd_packets_s", share(float64(bwd.lengths.n), seconds))
	w.count("", "packet_length_min", all.least)
	w.count("", "packet_length_max", all.top)
	w.number("", "packet_length_mean", all.mean())
	w.number("", "packet_length_std", all.deviation())
	w.number("", "packet_length_variance", all.variance())
	f.writeCounts(w)
	w.number("", "down_up_ratio", share(float64(bwd.lengths.n), float64(fwd.lengths.n)))
	w.number("", "average_packet_size", all.mean())
	w.number("", "fwd_segment_size_avg", fwd.lengths.mean())
	w.number("", "bwd_segment_size_avg", bwd.lengths.mean())
	fwd.bulk.write(w, "fwd_")
	bwd.bulk.write(w, "bwd_")
	f.writeSubflows(w)
	w.key("", "fwd_init_win_bytes")
	w.b = strconv.AppendInt(w.b, int64(fwd.window), 10)
	w.key("", "bwd_init_win_bytes")
	w.b = strconv.AppendInt(w.b, int64(bwd.window), 10)
	w.count("", "fwd_act_data_pkts", fwd.data)
	w.count("", "fwd_seg_size_min", uint64(fwd.segment))
	active := f.active
	if t := uint64(f.clock.last) - uint64(f.activeSince); t > 0 {
		active.add(t)
	}
	writeTimes(w, "active_", &active)
	writeTimes(w, "idle_", &f.idle)
}

func writeLengths(w *writer, prefix string, s *sums) {
	w.count(prefix, "max", s.top)
	w.count(prefix, "min", s.least)
	w.number(prefix, "mean", s.mean())
	w.number(prefix, "std", s.deviation())
}

func writeTimes(w *writer, prefix string, s *sums) {
	w.number(prefix, "mean", s.mean()/microsecond)
	w.number(prefix, "std", s.deviation()/microsecond)
	w.time(prefix, "max", s.top, microsecond)
	w.time(prefix, "min", s.least, microsecond)
}

func (f *cic) writeCounts(w *writer) {
	w.count("", "fin_flag_count", f.flags[0])
	w.count("", "syn_flag_count", f.flags[1])
	w.count("", "rst_flag_count", f.flags[2])
	w.count("", "psh_flag_count", f.flags[3])
	w.count("", "ack_flag_count", f.flags[4])
	w.count("", "urg_flag_count", f.flags[5])
	w.count("", "cwr_flag_count", f.flags[7])
	w.count("", "ece_flag_count", f.flags[6])
}

func (b *bulk) write(w *writer, prefix string) {
	n := float64(b.n)
	w.number(prefix, "bytes_bulk_avg", share(float64(b.bytes), n))
	w.number(prefix, "packet_bulk_avg", share(float64(b.packets), n))
	w.number(prefix, "bulk_rate_avg", share(float64(b.bytes), float64(b.time)/second))
}

func (f *cic) writeSubflows(w *writer) {
	n := float64(f.pauses + 1)
	w.number("subflow_", "fwd_packets", float64(f.dirs[0].lengths.n)/n)
	w.number("subflow_", "fwd_bytes", float64(f.dirs[0].lengths.sum)/n)
	w.number("subflow_", "bwd_packets", float64(f.dirs[1].lengths.n)/n)
	w.number("subflow_", "bwd_bytes", float64(f.dirs[1].lengths.sum)/n)
}
