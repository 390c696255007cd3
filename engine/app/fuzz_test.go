package app

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"

	"dragonfly/engine/packet"
)

// talk is a TCP conversation that the tests make up, one packet at a time.
type talk struct {
	conn   *Conn
	seq    [2]uint32 // next of each direction
	number uint64
	open   bool
	events []string
	t      testing.TB
}

func newTalk(t testing.TB, c *Config, serverPort uint16) *talk {
	k := &talk{conn: New(c, packet.TCP, 40000, serverPort), open: true, t: t, seq: [2]uint32{0xfffffff0, 7}} // one wraps
	k.send(ToServer, packet.SYN, k.seq[ToServer], 0, nil)
	k.send(ToClient, packet.SYN|packet.ACK, k.seq[ToClient], k.seq[ToServer]+1, nil)
	k.seq[ToServer]++
	k.seq[ToClient]++
	k.ack(ToServer)
	return k
}

func (k *talk) send(d Dir, flags uint8, seq, ack uint32, b []byte) {
	k.number++
	if !k.open {
		return
	}
	p := packet.Packet{Time: int64(k.number) * 1e9, Number: k.number, Proto: packet.TCP, TCPFlags: flags, Seq: seq, Ack: ack,
		Payload: b, PayloadLen: uint32(len(b))}
	k.open = k.conn.Packet(&p, d, k.found)
	for _, s := range k.conn.tcp.streams {
		if s.waiting() > k.conn.pending() || len(s.segs) > maxSegments {
			k.t.Fatalf("%d bytes in %d segments wait, more than %d in %d", s.waiting(), len(s.segs), k.conn.pending(), maxSegments)
		}
	}
}

func (k *talk) found(e *Event) {
	if !json.Valid([]byte("{" + string(e.Body) + "}")) {
		k.t.Fatalf("body of event %q is no JSON: %q", e.Type, e.Body)
	}
	k.events = append(k.events, e.Type+" "+string(e.Body))
}

// ack acknowledges all that was sent to d's sender.
func (k *talk) ack(d Dir) { k.send(d, packet.ACK, k.seq[d], k.seq[1-d], nil) }

// say sends b and has it acknowledged.
func (k *talk) say(d Dir, b string) {
	k.send(d, packet.ACK, k.seq[d], k.seq[1-d], []byte(b))
	k.seq[d] += uint32(len(b))
	k.ack(1 - d)
}

func (k *talk) end() []string {
	if k.open {
		k.conn.End(int64(k.number)*1e9, k.found)
	}
	return k.events
}

// FuzzConn sends two streams in turns. However the pieces of one turn are cut, repeated and mixed up, if all have come when they
// are acknowledged, the events are the same.
func FuzzConn(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), uint16(80), int64(1))
	f.Add([]byte("SSH-2.0-a\r\n"), []byte("SSH-2.0-b c\r\n"), uint16(22), int64(2))
	f.Add([]byte("\x00\x11\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"), []byte{}, uint16(53), int64(3))
	f.Add([]byte("EHLO a\r\nSTARTTLS\r\n\x16\x03\x01"), []byte("220 a\r\n220 go\r\n\x16\x03\x01"), uint16(25), int64(4))
	f.Fuzz(func(t *testing.T, client, server []byte, port uint16, seed int64) {
		config := everything
		config.Pending = 4096
		run := func(mix bool) ([]string, string) {
			turns, pieces := rand.New(rand.NewSource(seed)), rand.New(rand.NewSource(seed+1))
			k := newTalk(t, &config, port)
			rest := [2][]byte{client, server}
			for len(rest[0])+len(rest[1]) > 0 {
				d := Dir(turns.Intn(2))
				n := min(1+turns.Intn(600), len(rest[d]))
				if n == 0 {
					continue
				}
				window := rest[d][:n]
				rest[d] = rest[d][n:]
				if mix {
					k.mixed(d, window, pieces)
				} else {
					k.send(d, packet.ACK, k.seq[d], k.seq[1-d], window)
				}
				k.seq[d] += uint32(n)
				k.ack(1 - d)
			}
			events := k.end()
			proto, toServer, toClient := k.conn.Protocols()
			return events, proto + "," + toServer + "," + toClient
		}
		want, wantProto := run(false)
		got, gotProto := run(true)
		if !slices.Equal(got, want) || gotProto != wantProto {
			t.Fatalf("mixed up: %s %q\nin order: %s %q", gotProto, got, wantProto, want)
		}
	})
}

// mixed sends the pieces of b in any order, some of them twice and with more around them.
func (k *talk) mixed(d Dir, b []byte, r *rand.Rand) {
	type piece struct{ from, to int }
	var pieces []piece
	for from := 0; from < len(b); {
		to := min(from+1+r.Intn(80), len(b))
		pieces = append(pieces, piece{from, to})
		if r.Intn(4) == 0 {
			pieces = append(pieces, piece{max(0, from-r.Intn(40)), min(to+r.Intn(40), len(b))})
		}
		from = to
	}
	r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	for _, p := range pieces {
		k.send(d, packet.ACK, k.seq[d]+uint32(p.from), k.seq[1-d], b[p.from:p.to])
	}
}

// FuzzSegments sends arbitrary packets: nothing may panic, hang or grow.
func FuzzSegments(f *testing.F) {
	f.Add([]byte("\x00\x02\x00\x00\x00\x00\x05GET / HTTP/1.1\r\n\r\n"), uint16(80))
	f.Add([]byte("\x01\x10\x01\x00\x01\x00\x10HTTP/1.1 200 OK\r\n"), uint16(8080))
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		config := everything
		config.Pending, config.Depth = 512, 8192
		k := newTalk(t, &config, port)
		for len(b) >= 7 {
			d := Dir(b[0] & 1)
			seq := k.seq[d] + uint32(int16(uint16(b[2])|uint16(b[3])<<8))
			ack := k.seq[1-d] + uint32(int16(uint16(b[4])|uint16(b[5])<<8))
			n := min(int(b[6]), len(b)-7)
			k.send(d, b[1], seq, ack, b[7:7+n])
			if b[0]&2 != 0 {
				k.seq[d] += uint32(n)
			}
			b = b[7+n:]
		}
		k.end()
	})
}

// FuzzDNS reads a message over UDP and, cut anywhere, over TCP: what can be read is the same.
func FuzzDNS(f *testing.F) {
	f.Add([]byte("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04"), 5, true)
	f.Add([]byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x10\x00\x01"), 1, false)
	f.Add([]byte("\x12\x34\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00\x01a\xc0\x0e\x00\x10\x00\x01\x00\x00\x00\x01\x00\x02\x01x"), 3, true)
	f.Fuzz(func(t *testing.T, b []byte, cut int, answer bool) {
		if len(b) == 0 || len(b) > 65535 {
			return
		}
		d := ToServer
		if answer {
			d = ToClient
		}
		for _, version := range []int{2, 3} {
			c := Config{DNS: true, DNSVersion: version}
			read := func(feed func(p parser, found func(*Event))) (events []string) {
				feed(newDNS(&c), func(e *Event) {
					if !json.Valid([]byte("{" + string(e.Body) + "}")) {
						t.Fatalf("no JSON: %q", e.Body)
					}
					events = append(events, string(e.Body))
				})
				return events
			}
			want := read(func(p parser, found func(*Event)) { p.datagram(d, b, at{}, found) })
			stream := append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
			got := read(func(p parser, found func(*Event)) {
				i := 0
				if cut > 0 {
					i = cut % len(stream)
				}
				n, more := p.stream(d, stream[:i], at{}, found)
				if more {
					p.stream(d, stream[n:], at{}, found)
				}
			})
			if !slices.Equal(got, want) {
				t.Fatalf("over TCP %q, over UDP %q", got, want)
			}
		}
	})
}

// FuzzHTTP reads two streams in chunks of any size, with gaps.
func FuzzHTTP(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a:80\r\n b\r\n\r\nPOST http://u@b:1/ HTTP/1.0\nContent-Length: 2\n\nab"),
		[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 304 x\n\n"), []byte{10, 200, 3})
	f.Add([]byte("CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03"), []byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\x16\x03"), []byte{255})
	f.Add([]byte("GET /\r\nx"), []byte("HTTP/1.1 101 S\rUpgrade: h2c\n\r\r\n\r\n"), []byte{1})
	f.Fuzz(func(t *testing.T, client, server, sizes []byte) {
		if len(sizes) == 0 {
			return
		}
		p := newHTTP(&Config{HTTP: true}).(*httpParser)
		found := func(e *Event) {
			if !json.Valid([]byte("{" + string(e.Body) + "}")) {
				t.Fatalf("no JSON: %q", e.Body)
			}
		}
		rest := [2][]byte{client, server}
		for i := 0; len(rest[0])+len(rest[1]) > 0; i++ {
			size := int(sizes[i%len(sizes)])
			d := Dir(i & 1)
			n := min(size+1, len(rest[d]))
			if n == 0 {
				continue
			}
			b := rest[d][:n]
			rest[d] = rest[d][n:]
			switch {
			case size%7 == 6:
				p.gap(d, n)
			case p.skip(d) >= int64(n):
				if !p.skipped(d, n, at{}, found) {
					return
				}
			default:
				if used, more := p.stream(d, b, at{}, found); used > n || !more {
					return
				}
				p.change()
			}
			if p.kept < 0 || len(p.txs) > httpMaxOpen+1 {
				t.Fatalf("%d transactions with %d bytes", len(p.txs), p.kept)
			}
		}
		p.close(ToServer, at{}, found)
		p.close(ToClient, at{}, found)
		p.end(0, found)
	})
}

// FuzzHTTP2 reads the frames of both sides in chunks of any size.
func FuzzHTTP2(f *testing.F) {
	f.Add([]byte(h2Magic+"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x01\x00\x00\x10\x00"+"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86"),
		[]byte("\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88"+"\x00\x00\x02\x00\x01\x00\x00\x00\x01ab"), []byte{5, 200})
	f.Add([]byte(h2Magic+"\x00\x00\x0b\x01\x00\x00\x00\x00\x03\x40\x01a\x01b\x40\x82\x94\xe7\x01c"+"\x00\x00\x01\x09\x04\x00\x00\x00\x03\xbe"),
		[]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"), []byte{1})
	f.Fuzz(func(t *testing.T, client, server, sizes []byte) {
		if len(sizes) == 0 {
			return
		}
		p := newHTTP2(&Config{HTTP: true}, nil).(*http2Parser)
		found := func(e *Event) {
			if !json.Valid([]byte("{" + string(e.Body) + "}")) {
				t.Fatalf("no JSON: %q", e.Body)
			}
		}
		rest, left := [2][]byte{client, server}, [2][]byte{}
		for i := 0; len(rest[0])+len(rest[1]) > 0; i++ {
			size, d := int(sizes[i%len(sizes)]), Dir(i&1)
			n := min(size+1, len(rest[d]))
			if n == 0 {
				continue
			}
			more := true
			if len(left[d]) == 0 && p.skip(d) >= int64(n) {
				more = p.skipped(d, n, at{}, found)
			} else {
				left[d] = append(left[d], rest[d][:n]...)
				var used int
				used, more = p.stream(d, left[d], at{}, found)
				left[d] = left[d][used:]
			}
			if !more {
				return
			}
			rest[d] = rest[d][n:]
			if len(p.txs) > h2MaxOpen || p.kept < 0 || p.kept > 3*h2MaxKept {
				t.Fatalf("%d streams with %d bytes", len(p.txs), p.kept)
			}
		}
		p.end(0, found)
		if p.waiting() {
			t.Fatal("something is left to report after the end")
		}
	})
}

// FuzzDatagram recognises and reads single datagrams.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x00\x04\x06public\xa0\x00"), uint16(161), true)
	f.Add([]byte("INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n"), uint16(5060), false)
	f.Add([]byte("\x04\x00\x00\x00\x10\x00\x00"), uint16(53), false)
	f.Fuzz(func(t *testing.T, b []byte, port uint16, twice bool) {
		c := New(&everything, packet.UDP, 40000, port)
		p := packet.Packet{Proto: packet.UDP, Payload: b, PayloadLen: uint32(len(b))}
		found := func(e *Event) {}
		open := c.Packet(&p, ToServer, found)
		if open && twice {
			open = c.Packet(&p, ToClient, found)
		}
		if open {
			c.End(0, found)
		}
		if proto, _, _ := c.Protocols(); proto == "" {
			t.Fatal("a datagram was looked at, and app_proto is empty")
		}
	})
}
