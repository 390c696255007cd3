package feature

import (
	"math"
	"math/big"
	"slices"

	"dragonfly/engine/packet"
)

// seen is a packet as the reference reads it. at is its time, not before that of the packet before.
type seen struct {
	at, size, payload, header int64
	back                      bool
	p                         packet.Packet
}

// list is a list of numbers, summed up the slow way.
type list []int64

func (l list) mean() float64 {
	if len(l) == 0 {
		return 0
	}
	sum := new(big.Int)
	for _, x := range l {
		sum.Add(sum, big.NewInt(x))
	}
	f, _ := new(big.Rat).SetFrac(sum, big.NewInt(int64(len(l)))).Float64()
	return f
}

// variance is the mean square distance from the mean, by its definition.
func (l list) variance() float64 {
	if len(l) < 2 {
		return 0
	}
	sum := new(big.Rat)
	for _, x := range l {
		sum.Add(sum, new(big.Rat).SetInt64(x))
	}
	mean := sum.Quo(sum, new(big.Rat).SetInt64(int64(len(l))))
	squares := new(big.Rat)
	for _, x := range l {
		d := new(big.Rat).Sub(new(big.Rat).SetInt64(x), mean)
		squares.Add(squares, d.Mul(d, d))
	}
	f, _ := squares.Quo(squares, new(big.Rat).SetInt64(int64(len(l)-1))).Float64()
	return f
}

func (l list) sum() (s float64) {
	for _, x := range l {
		s += float64(x)
	}
	return s
}

func (l list) bounds() (least, top float64) {
	if len(l) == 0 {
		return 0, 0
	}
	return float64(slices.Min(l)), float64(slices.Max(l))
}

// read makes the list of one flow.
func read(packets []packet.Packet, back []bool) (all []seen) {
	last := int64(math.MinInt64)
	for i, p := range packets {
		last = max(last, p.Time)
		header := int64(8)
		if p.Proto == packet.TCP {
			header = 20 + int64(len(p.TCPOptions))
		} else if p.Proto == packet.SCTP {
			header = 12
		}
		all = append(all, seen{at: last, size: int64(p.Bytes), payload: int64(p.PayloadLen), header: header, back: back[i], p: p})
	}
	return all
}

func choose(all []seen, back bool) (some []seen) {
	for _, s := range all {
		if s.back == back {
			some = append(some, s)
		}
	}
	return some
}

func column(all []seen, f func(seen) int64) (l list) {
	for _, s := range all {
		l = append(l, f(s))
	}
	return l
}

func gapsOf(all []seen) (l list) {
	for i := 1; i < len(all); i++ {
		l = append(l, all[i].at-all[i-1].at)
	}
	return l
}

func withFlag(all []seen, flag uint8) (n float64) {
	for _, s := range all {
		if s.p.Proto == packet.TCP && s.p.TCPFlags&flag != 0 {
			n++
		}
	}
	return n
}

func lasted(all []seen) float64 {
	if len(all) == 0 {
		return 0
	}
	return float64(all[len(all)-1].at - all[0].at)
}

// wantNFStream computes the vector of a list, but for the lists of the first packets.
func wantNFStream(all []seen) map[string]float64 {
	m := map[string]float64{}
	for prefix, some := range map[string][]seen{"bidirectional_": all, "src2dst_": choose(all, false), "dst2src_": choose(all, true)} {
		sizes, gaps := column(some, func(s seen) int64 { return s.size }), gapsOf(some)
		if len(some) > 0 {
			m[prefix+"first_seen_ms"], m[prefix+"last_seen_ms"] = float64(some[0].at/1e6), float64(some[len(some)-1].at/1e6)
		} else {
			m[prefix+"first_seen_ms"], m[prefix+"last_seen_ms"] = 0, 0
		}
		m[prefix+"duration_ms"] = lasted(some) / 1e6
		m[prefix+"packets"], m[prefix+"bytes"] = float64(len(some)), sizes.sum()
		m[prefix+"min_ps"], m[prefix+"max_ps"] = sizes.bounds()
		m[prefix+"mean_ps"], m[prefix+"stddev_ps"] = sizes.mean(), math.Sqrt(sizes.variance())
		least, top := gaps.bounds()
		m[prefix+"min_piat_ms"], m[prefix+"max_piat_ms"] = least/1e6, top/1e6
		m[prefix+"mean_piat_ms"], m[prefix+"stddev_piat_ms"] = gaps.mean()/1e6, math.Sqrt(gaps.variance())/1e6
		for name, flag := range map[string]uint8{"fin": packet.FIN, "syn": packet.SYN, "rst": packet.RST, "psh": packet.PSH,
			"ack": packet.ACK, "urg": packet.URG, "ece": packet.ECE, "cwr": packet.CWR} {
			m[prefix+name+"_packets"] = withFlag(some, flag)
		}
	}
	return m
}

// bulksOf cuts a flow into runs of packets with payload of one direction, and keeps those that are bulks of that direction.
func bulksOf(all []seen, back bool) (bulks [][]seen) {
	var run []seen
	end := func() {
		if len(run) >= 4 && run[0].back == back {
			bulks = append(bulks, run)
		}
		run = nil
	}
	for _, s := range all {
		if s.payload == 0 {
			continue
		}
		if n := len(run); n > 0 && (run[n-1].back != s.back || s.at-run[n-1].at > 1e9) {
			end()
		}
		run = append(run, s)
	}
	end()
	return bulks
}

// activity returns the times of activity and of the gaps between them.
func activity(all []seen) (active, idle list) {
	begin := 0
	for i := 1; i <= len(all); i++ {
		if i < len(all) && all[i].at-all[i-1].at <= 5e9 {
			continue
		}
		if t := all[i-1].at - all[begin].at; t > 0 {
			active = append(active, t)
		}
		if i < len(all) {
			idle = append(idle, all[i].at-all[i-1].at)
		}
		begin = i
	}
	return active, idle
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// wantCIC computes the vector of a list, by the columns' names.
func wantCIC(all []seen) map[string]float64 {
	m := map[string]float64{}
	fwd, bwd := choose(all, false), choose(all, true)
	payload := func(s seen) int64 { return s.payload }
	lengths := func(prefix string, some []seen) {
		l := column(some, payload)
		m[prefix+"Length Min"], m[prefix+"Length Max"] = l.bounds()
		m[prefix+"Length Mean"], m[prefix+"Length Std"] = l.mean(), math.Sqrt(l.variance())
	}
	times := func(prefix string, l list) {
		least, top := l.bounds()
		m[prefix+"Min"], m[prefix+"Max"], m[prefix+"Mean"], m[prefix+"Std"] = least/1e3, top/1e3, l.mean()/1e3, math.Sqrt(l.variance())/1e3
	}
	seconds := lasted(all) / 1e9
	m["Flow Duration"] = lasted(all) / 1e3
	m["Total Fwd Packet"], m["Total Bwd packets"] = float64(len(fwd)), float64(len(bwd))
	m["Total Length of Fwd Packet"], m["Total Length of Bwd Packet"] = column(fwd, payload).sum(), column(bwd, payload).sum()
	lengths("Fwd Packet ", fwd)
	lengths("Bwd Packet ", bwd)
	lengths("Packet ", all)
	m["Packet Length Variance"] = column(all, payload).variance()
	m["Flow Bytes/s"], m["Flow Packets/s"] = ratio(column(all, payload).sum(), seconds), ratio(float64(len(all)), seconds)
	m["Fwd Packets/s"], m["Bwd Packets/s"] = ratio(float64(len(fwd)), seconds), ratio(float64(len(bwd)), seconds)
	times("Flow IAT ", gapsOf(all))
	times("Fwd IAT ", gapsOf(fwd))
	times("Bwd IAT ", gapsOf(bwd))
	m["Fwd IAT Total"], m["Bwd IAT Total"] = lasted(fwd)/1e3, lasted(bwd)/1e3
	m["Fwd PSH Flags"], m["Bwd PSH Flags"] = withFlag(fwd, packet.PSH), withFlag(bwd, packet.PSH)
	m["Fwd URG Flags"], m["Bwd URG Flags"] = withFlag(fwd, packet.URG), withFlag(bwd, packet.URG)
	header := func(s seen) int64 { return s.header }
	m["Fwd Header Length"], m["Bwd Header Length"] = column(fwd, header).sum(), column(bwd, header).sum()
	for name, flag := range map[string]uint8{"FIN": packet.FIN, "SYN": packet.SYN, "RST": packet.RST, "PSH": packet.PSH,
		"ACK": packet.ACK, "URG": packet.URG, "CWR": packet.CWR, "ECE": packet.ECE} {
		m[name+" Flag Count"] = withFlag(all, flag)
	}
	m["Down/Up Ratio"] = ratio(float64(len(bwd)), float64(len(fwd)))
	m["Average Packet Size"] = column(all, payload).mean()
	m["Fwd Segment Size Avg"], m["Bwd Segment Size Avg"] = column(fwd, payload).mean(), column(bwd, payload).mean()
	for prefix, back := range map[string]bool{"Fwd ": false, "Bwd ": true} {
		var packets, bytes, time float64
		bulks := bulksOf(all, back)
		for _, b := range bulks {
			packets, bytes, time = packets+float64(len(b)), bytes+column(b, payload).sum(), time+lasted(b)
		}
		n := float64(len(bulks))
		m[prefix+"Bytes/Bulk Avg"], m[prefix+"Packet/Bulk Avg"], m[prefix+"Bulk Rate Avg"] = ratio(bytes, n), ratio(packets, n), ratio(bytes, time/1e9)
	}
	subflows := 1.0
	for _, gap := range gapsOf(all) {
		if gap > 1e9 {
			subflows++
		}
	}
	m["Subflow Fwd Packets"], m["Subflow Fwd Bytes"] = float64(len(fwd))/subflows, column(fwd, payload).sum()/subflows
	m["Subflow Bwd Packets"], m["Subflow Bwd Bytes"] = float64(len(bwd))/subflows, column(bwd, payload).sum()/subflows
	window := func(some []seen) float64 {
		for _, s := range some {
			if s.p.Proto == packet.TCP {
				return float64(s.p.Window)
			}
		}
		return -1
	}
	m["FWD Init Win Bytes"], m["Bwd Init Win Bytes"] = window(fwd), window(bwd)
	m["Fwd Act Data Pkts"] = float64(len(slices.DeleteFunc(column(fwd, payload), func(n int64) bool { return n == 0 })))
	m["Fwd Seg Size Min"], _ = column(fwd, header).bounds()
	active, idle := activity(all)
	times("Active ", active)
	times("Idle ", idle)
	return m
}
