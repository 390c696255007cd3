package app

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// TestStreamKeepsFirstCopy: what came first wins, but for a piece that a later one covers on both sides.
func TestStreamKeepsFirstCopy(t *testing.T) {
	type piece struct {
		off  int64
		data string
	}
	for _, c := range []struct {
		name   string
		pieces []piece
		want   string
	}{
		{"in order", []piece{{0, "abc"}, {3, "def"}}, "abcdef"},
		{"repeated", []piece{{0, "abc"}, {0, "xyz"}, {2, "xde"}}, "abcde"},
		{"late", []piece{{3, "def"}, {0, "abc"}}, "abcdef"},
		{"overlap before", []piece{{3, "def"}, {1, "xxx"}, {0, "a"}}, "axxdef"},
		{"overlap after", []piece{{3, "def"}, {5, "xxx"}, {0, "abc"}}, "abcdefxx"},
		{"covered", []piece{{3, "d"}, {1, "xxxxx"}, {0, "a"}}, "axxxxx"},
		{"two gaps", []piece{{6, "g"}, {3, "d"}, {4, "ef"}, {0, "abc"}}, "abcdefg"},
		{"gap stays", []piece{{0, "a"}, {2, "c"}}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s stream
			for _, p := range c.pieces {
				if !s.insert(p.off, []byte(p.data), 100, 0) {
					t.Fatalf("no room for %q", p.data)
				}
			}
			if string(s.buf) != c.want {
				t.Errorf("got %q, want %q", s.buf, c.want)
			}
		})
	}
}

func TestStreamIsBounded(t *testing.T) {
	var s stream
	if !s.insert(10, make([]byte, 60), 100, 0) || s.insert(200, make([]byte, 60), 100, 0) {
		t.Error("60 bytes of 100 and then 60 more: got room, want none for the second")
	}
	s = stream{}
	for i := range 2 * maxSegments {
		s.insert(int64(2+2*i), []byte{1}, 1<<20, 0)
	}
	if len(s.segs) != maxSegments {
		t.Errorf("got %d segments, want %d", len(s.segs), maxSegments)
	}
	s = stream{}
	if !s.insert(0, make([]byte, 500), 100, 0) {
		t.Error("one segment larger than the limit: got no room, want it")
	}
	s = stream{}
	if !s.insert(0, make([]byte, 5000), 100, 5000) || s.waiting() != 0 || s.edge() != 5000 {
		t.Errorf("got %d bytes kept up to %d, want 0 up to 5000", s.waiting(), s.edge())
	}
}

// TestSequenceNumbersWrap: newTalk begins 16 bytes below the wrap.
func TestSequenceNumbersWrap(t *testing.T) {
	k := newTalk(t, &everything, 80)
	k.say(ToServer, "GET /"+strings.Repeat("a", 40)+" HTTP/1.1\r\n")
	k.say(ToServer, "Host: b\r\n\r\n")
	k.say(ToClient, "HTTP/1.1 204 x\r\n\r\n")
	want := []string{`http "http":{"hostname":"b","url":"/` + strings.Repeat("a", 40) + `","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`}
	if got := k.end(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEventsHaveThePacketOfTheAcknowledgement: as in Suricata.
func TestEventsHaveThePacketOfTheAcknowledgement(t *testing.T) {
	c := everything
	conn := New(&c, packet.TCP, 40000, 22)
	number := uint64(0)
	var at []string
	send := func(d Dir, flags uint8, seq, ack uint32, b string) {
		number++
		conn.Packet(&packet.Packet{Number: number, Time: int64(number), Proto: packet.TCP, TCPFlags: flags, Seq: seq, Ack: ack,
			Payload: []byte(b), PayloadLen: uint32(len(b))}, d, func(e *Event) { at = append(at, fmt.Sprintln(e.Type, e.Packet, e.Time, e.Dir)) })
	}
	send(ToServer, packet.SYN, 0, 0, "")
	send(ToClient, packet.SYN|packet.ACK, 0, 1, "")
	send(ToServer, packet.ACK, 1, 1, "SSH-2.0-a\r\n")
	send(ToClient, packet.ACK, 1, 12, "SSH-2.0-b\r\n")
	if len(at) != 0 {
		t.Errorf("before the acknowledgement: got %q", at)
	}
	send(ToServer, packet.ACK, 12, 12, "")
	if want := []string{"ssh 5 5 0\n"}; !reflect.DeepEqual(at, want) {
		t.Errorf("got %q, want %q", at, want)
	}
}

func TestMidstreamIsNotRead(t *testing.T) {
	c := everything
	conn := New(&c, packet.TCP, 40000, 80)
	b := []byte("GET / HTTP/1.1\r\n\r\n")
	for i := range 3 {
		conn.Packet(&packet.Packet{Proto: packet.TCP, TCPFlags: packet.ACK, Seq: uint32(1 + i*len(b)), Ack: 1, Payload: b, PayloadLen: uint32(len(b))},
			ToServer, func(*Event) { t.Error("got an event") })
	}
	conn.End(0, func(*Event) { t.Error("got an event") })
	if proto, a, b := conn.Protocols(); proto+a+b != "" {
		t.Errorf("got protocols %q %q %q, want none", proto, a, b)
	}
}

func TestDepthEndsReading(t *testing.T) {
	c := everything
	c.Depth = 1000
	k := newTalk(t, &c, 80)
	k.say(ToServer, "GET / HTTP/1.1\r\n\r\n")
	k.say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"+strings.Repeat("x", 500))
	if len(k.events) != 0 {
		t.Fatalf("within the depth: got %q", k.events)
	}
	k.say(ToClient, strings.Repeat("x", 600))
	want := []string{`http "http":{"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":500}`}
	if !reflect.DeepEqual(k.events, want) {
		t.Errorf("got %q, want %q", k.events, want)
	}
}

// TestGapInBody: bytes that were lost but acknowledged count as body.
func TestGapInBody(t *testing.T) {
	k := newTalk(t, &everything, 80)
	k.say(ToServer, "GET / HTTP/1.1\r\n\r\n")
	k.say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n0123456789")
	k.seq[ToClient] += 10
	k.say(ToClient, "0123456789")
	want := []string{`http "http":{"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":30}`}
	if got := k.end(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDataInTheSYN is read when it is acknowledged, or at the end (RFC 7413).
func TestDataInTheSYN(t *testing.T) {
	request := "GET / HTTP/1.1\r\n\r\n"
	for _, taken := range []uint32{0, uint32(len(request))} {
		c := everything
		k := &talk{conn: New(&c, packet.TCP, 40000, 80), open: true, t: t}
		k.send(ToServer, packet.SYN, 0, 0, []byte(request))
		k.send(ToClient, packet.SYN|packet.ACK, 0, 1+taken, nil)
		if got := k.end(); len(got) != 1 {
			t.Errorf("%d bytes acknowledged: got %q, want one event", taken, got)
		}
	}
}
