package flow

import (
	"encoding/binary"
	"testing"

	"dragonfly/engine/packet"
)

// frame is a TCP packet of connection n in Ethernet; step 0, 1, 2 are the handshake.
func frame(n uint32, step int) []byte {
	b := make([]byte, 66)
	b[12] = 8
	ip, tcp := b[14:], b[34:]
	ip[0], ip[9] = 0x45, packet.TCP
	binary.BigEndian.PutUint16(ip[2:], 52)
	binary.BigEndian.PutUint32(ip[12:], 0x0a000000+n>>6)
	binary.BigEndian.PutUint32(ip[16:], 0xc0a80001+n&63)
	src, dst := uint16(1024+n%50000), uint16(443)
	seq, ack, flags := uint32(100), uint32(0), byte(packet.SYN)
	switch {
	case step == 1:
		seq, ack, flags = 500, 101, packet.SYN|packet.ACK
	case step > 1:
		seq, ack, flags = 101, 501, packet.ACK
		if step%2 == 1 {
			seq, ack = ack, seq
		}
	}
	if step%2 == 1 {
		src, dst = dst, src
		for i := range 4 {
			ip[12+i], ip[16+i] = ip[16+i], ip[12+i]
		}
	}
	binary.BigEndian.PutUint16(tcp, src)
	binary.BigEndian.PutUint16(tcp[2:], dst)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12], tcp[13] = 8<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 64000)
	copy(tcp[20:], []byte{1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 9})
	return b
}

// feeder decodes frames and meters their packets.
type feeder struct {
	d       *packet.Decoder
	m       *Meter
	f       packet.Frame
	packets []packet.Packet
	events  int
	bytes   int
}

func newFeeder(c Config) *feeder {
	f := &feeder{d: packet.NewDecoder(), f: packet.Frame{Time: 1e18, LinkType: 1}}
	f.m = New(c, func(b []byte) { f.events++; f.bytes += len(b) })
	return f
}

func (f *feeder) feed(b []byte) {
	f.f.Data, f.f.Len = b, len(b)
	f.f.Number++
	f.f.Time += 1000
	f.packets = f.d.Decode(&f.f, f.packets[:0])
	for i := range f.packets {
		f.m.Packet(&f.packets[i])
	}
}

// BenchmarkFlowPacket is one packet of 50,000 established TCP connections, decoded and metered.
func BenchmarkFlowPacket(b *testing.B) {
	const flows = 50000
	f := newFeeder(Config{VLAN: true})
	frames := make([][]byte, 2*flows)
	for n := range uint32(flows) {
		for step := range 3 {
			f.feed(frame(n, step))
		}
		frames[n], frames[flows+n] = frame(n, 2), frame(n, 3)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.feed(frames[i])
		if i += 7919; i >= len(frames) {
			i -= len(frames)
		}
	}
}

// BenchmarkFlow is a connection of four packets, of a million at a time, with its event.
func BenchmarkFlow(b *testing.B) {
	b.ReportAllocs()
	f := newFeeder(Config{VLAN: true})
	frames := make([][]byte, 4*1024)
	for i := range frames {
		frames[i] = frame(uint32(i/4), i%4)
	}
	n := uint32(0)
	for b.Loop() {
		at := int(n%1024) * 4
		for step := range 4 { // a fresh address: the frames are used again
			data := frames[at+step]
			o := 26
			if step%2 == 1 {
				o = 30
			}
			binary.BigEndian.PutUint32(data[o:], 0x0a000000+n)
			f.feed(data)
		}
		if n++; n%1e6 == 0 {
			f.m.Close()
		}
	}
	f.m.Close()
	b.ReportMetric(float64(f.bytes)/float64(max(1, f.events)), "bytes/event")
}
