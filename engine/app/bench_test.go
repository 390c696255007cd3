package app

import (
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// BenchmarkConn shows what a packet costs: a long download over HTTP with an acknowledgement for every second packet, and
// queries of DNS with their answers.
func BenchmarkConn(b *testing.B) {
	b.Run("http", func(b *testing.B) {
		body := make([]byte, 1400)
		p := packet.Packet{Proto: packet.TCP, TCPFlags: packet.ACK}
		found := func(*Event) {}
		b.ReportAllocs()
		for n := 0; n < b.N; {
			k := newTalk(b, &everything, 80)
			k.say(ToServer, "GET / HTTP/1.1\r\nHost: example.test\r\nUser-Agent: bench\r\n\r\n")
			k.say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
			for range 600 {
				p.Seq, p.Ack, p.Payload, p.PayloadLen = k.seq[ToClient], k.seq[ToServer], body, uint32(len(body))
				k.conn.Packet(&p, ToClient, found)
				k.seq[ToClient] += uint32(len(body))
				n++
				if n&1 == 0 {
					p.Seq, p.Ack, p.Payload, p.PayloadLen = k.seq[ToServer], k.seq[ToClient], nil, 0
					k.conn.Packet(&p, ToServer, found)
					n++
				}
			}
			k.conn.End(0, found)
		}
	})
	b.Run("chunked", func(b *testing.B) {
		body := []byte("578\r\n" + strings.Repeat("x", 1400) + "\r\n")
		p := packet.Packet{Proto: packet.TCP, TCPFlags: packet.ACK}
		found := func(*Event) {}
		b.ReportAllocs()
		for n := 0; n < b.N; {
			k := newTalk(b, &everything, 80)
			k.say(ToServer, "GET / HTTP/1.1\r\n\r\n")
			k.say(ToClient, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 600 {
				p.Seq, p.Ack, p.Payload, p.PayloadLen = k.seq[ToClient], k.seq[ToServer], body, uint32(len(body))
				k.conn.Packet(&p, ToClient, found)
				k.seq[ToClient] += uint32(len(body))
				p.Seq, p.Ack, p.Payload, p.PayloadLen = k.seq[ToServer], k.seq[ToClient], nil, 0
				k.conn.Packet(&p, ToServer, found)
				n += 2
			}
			k.conn.End(0, found)
		}
	})
	b.Run("dns", func(b *testing.B) {
		query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x04test\x00\x00\x01\x00\x01")
		answer := []byte("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03www\x07example\x04test\x00\x00\x01\x00\x01" +
			"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04\x01\x02\x03\x04")
		c := New(&everything, packet.UDP, 40000, 53)
		events := 0
		found := func(*Event) { events++ }
		b.ReportAllocs()
		for b.Loop() {
			p := packet.Packet{Proto: packet.UDP, Payload: query, PayloadLen: uint32(len(query))}
			c.Packet(&p, ToServer, found)
			p.Payload, p.PayloadLen = answer, uint32(len(answer))
			c.Packet(&p, ToClient, found)
		}
		if events != 2*b.N {
			b.Fatalf("%d events of %d packets", events, 2*b.N)
		}
	})
}
