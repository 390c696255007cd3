package e2e

import (
	enc "encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
)

// traffic is a capture in the making. Frames may be added in any order; they are written by time. Checksums are left 0.
type traffic struct{ frames []frame }

type frame struct {
	at   time.Time
	data []byte
}

// endpoint is an address with a port.
type endpoint = netip.AddrPort

func end(text string) endpoint { return netip.MustParseAddrPort(text) }

// Flags of TCP.
const (
	fin = 1
	syn = 2
	rst = 4
	psh = 8
	ack = 16
)

// ip adds a packet of IPv4.
func (w *traffic) ip(at time.Time, proto byte, from, to netip.Addr, payload []byte) {
	b := make([]byte, 34, 34+len(payload))
	copy(b, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00\x45\x00")
	enc.BigEndian.PutUint16(b[16:], uint16(20+len(payload)))
	enc.BigEndian.PutUint16(b[18:], uint16(len(w.frames)))
	b[22], b[23] = 64, proto
	src, dst := from.As4(), to.As4()
	copy(b[26:], src[:])
	copy(b[30:], dst[:])
	w.frames = append(w.frames, frame{at, append(b, payload...)})
}

func (w *traffic) udp(at time.Time, from, to endpoint, payload []byte) {
	b := make([]byte, 8, 8+len(payload))
	enc.BigEndian.PutUint16(b, from.Port())
	enc.BigEndian.PutUint16(b[2:], to.Port())
	enc.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	w.ip(at, 17, from.Addr(), to.Addr(), append(b, payload...))
}

// conversation is a TCP connection that is being written.
type conversation struct {
	w              *traffic
	at             time.Time
	client, server endpoint
	seq            [2]uint32 // of the client, of the server
}

// send adds a segment of n bytes, a millisecond after the last; dir is 0 from the client.
func (c *conversation) send(dir int, flags byte, n int) {
	from, to := c.client, c.server
	if dir == 1 {
		from, to = to, from
	}
	b := make([]byte, 20+n)
	enc.BigEndian.PutUint16(b, from.Port())
	enc.BigEndian.PutUint16(b[2:], to.Port())
	enc.BigEndian.PutUint32(b[4:], c.seq[dir])
	if flags&ack != 0 {
		enc.BigEndian.PutUint32(b[8:], c.seq[1-dir])
	}
	b[12], b[13] = 5<<4, flags
	enc.BigEndian.PutUint16(b[14:], 64240)
	for i := range n {
		b[20+i] = byte('a' + i%26)
	}
	c.w.ip(c.at, 6, from.Addr(), to.Addr(), b)
	c.at = c.at.Add(time.Millisecond)
	c.seq[dir] += uint32(n)
	if flags&(syn|fin) != 0 {
		c.seq[dir]++
	}
}

// open makes a connection.
func (w *traffic) open(at time.Time, client, server endpoint) *conversation {
	c := &conversation{w: w, at: at, client: client, server: server, seq: [2]uint32{1000, 5000}}
	c.send(0, syn, 0)
	c.send(1, syn|ack, 0)
	c.send(0, ack, 0)
	return c
}

// carry sends n bytes and their acknowledgements.
func (c *conversation) carry(dir, n int) {
	for ; n > 0; n -= 1400 {
		c.send(dir, psh|ack, min(n, 1400))
		c.send(1-dir, ack, 0)
	}
}

func (c *conversation) close() {
	c.send(0, fin|ack, 0)
	c.send(1, fin|ack, 0)
	c.send(0, ack, 0)
}

// talk is a whole connection with so many bytes each way.
func (w *traffic) talk(at time.Time, client, server endpoint, up, down int) {
	c := w.open(at, client, server)
	c.carry(0, up)
	c.carry(1, down)
	c.close()
}

// refused and ignored are connections to a port that is closed, and to one behind a firewall.
func (w *traffic) refused(at time.Time, client, server endpoint) {
	c := &conversation{w: w, at: at, client: client, server: server, seq: [2]uint32{1000, 0}}
	c.send(0, syn, 0)
	c.send(1, rst|ack, 0)
}

func (w *traffic) ignored(at time.Time, client, server endpoint) {
	for _, again := range []time.Duration{0, time.Second, 3 * time.Second} {
		c := &conversation{w: w, at: at.Add(again), client: client, server: server, seq: [2]uint32{1000, 0}}
		c.send(0, syn, 0)
	}
}

// Types of DNS records.
const (
	typeA   = 1
	typeTXT = 16
)

// dns is a message with one question, and with one answer if data is given.
func dns(id uint16, name string, kind uint16, data []byte) []byte {
	b := make([]byte, 12)
	enc.BigEndian.PutUint16(b, id)
	b[2], b[5] = 1, 1
	if data != nil {
		b[2], b[3], b[7] = 0x81, 0x80, 1
	}
	for label := range slices.Values(labels(name)) {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, byte(kind>>8), byte(kind), 0, 1)
	if data != nil {
		b = append(b, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 60, byte(len(data)>>8), byte(len(data)))
		b = append(b, data...)
	}
	return b
}

func labels(name string) (list []string) {
	for start, i := 0, 0; i <= len(name); i++ {
		if i == len(name) || name[i] == '.' {
			list = append(list, name[start:i])
			start = i + 1
		}
	}
	return list
}

// ask is a query and, unless data is nil, its answer.
func (w *traffic) ask(at time.Time, client, server endpoint, name string, kind uint16, data []byte) {
	id := uint16(len(w.frames))
	w.udp(at, client, server, dns(id, name, kind, nil))
	if data != nil {
		w.udp(at.Add(5*time.Millisecond), server, client, dns(id, name, kind, data))
	}
}

// write writes the frames as a pcap file with microseconds.
func (w *traffic) write(t *testing.T, path string) {
	t.Helper()
	slices.SortStableFunc(w.frames, func(a, b frame) int { return a.at.Compare(b.at) })
	b := append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0}, make([]byte, 8)...)
	b = enc.LittleEndian.AppendUint32(b, 262144)
	b = enc.LittleEndian.AppendUint32(b, 1)
	for _, f := range w.frames {
		for _, n := range []int64{f.at.Unix(), int64(f.at.Nanosecond() / 1000), int64(len(f.data)), int64(len(f.data))} {
			b = enc.LittleEndian.AppendUint32(b, uint32(n))
		}
		b = append(b, f.data...)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
