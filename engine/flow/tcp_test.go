package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

const (
	fin = packet.FIN
	syn = packet.SYN
	rst = packet.RST
	ack = packet.ACK
)

// TestSessionStates plays segments, "c" of the client and "s" of the server, and checks the state after each.
func TestSessionStates(t *testing.T) {
	type step struct {
		p     *packet.Packet
		state tcpState
	}
	c := func(flags uint8, seq, a, n uint32) *packet.Packet { return tcp(1, 1, flags, seq, a, n) }
	s := func(flags uint8, seq, a, n uint32) *packet.Packet { return tcp(1, 2, flags, seq, a, n) }
	opened := []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 101, 0), tcpSynRecv}, {c(ack, 101, 501, 0), tcpEstablished}}
	after := func(more ...step) []step { return append(append([]step{}, opened...), more...) }
	for _, v := range []struct {
		name  string
		steps []step
	}{
		{"closed by the client", after(step{c(ack, 101, 501, 50), tcpEstablished}, step{s(ack, 501, 151, 70), tcpEstablished},
			step{c(fin|ack, 151, 571, 0), tcpCloseWait}, step{s(ack, 571, 152, 0), tcpCloseWait}, step{s(fin|ack, 571, 152, 0), tcpLastAck},
			step{c(ack, 152, 572, 0), tcpClosed})},
		{"closed by the server", after(step{s(fin|ack, 501, 101, 0), tcpFinWait1}, step{c(ack, 101, 502, 0), tcpFinWait2},
			step{c(fin|ack, 101, 502, 0), tcpTimeWait}, step{s(ack, 502, 102, 0), tcpClosed})},
		{"both close at once", after(step{s(fin|ack, 501, 101, 0), tcpFinWait1}, step{c(fin|ack, 101, 501, 0), tcpTimeWait},
			step{s(ack, 502, 102, 0), tcpClosed})},
		{"FIN without ACK", after(step{s(fin, 501, 0, 0), tcpFinWait1}, step{c(fin, 101, 0, 0), tcpClosing}, step{s(ack, 502, 102, 0), tcpTimeWait})},
		{"reset", after(step{s(rst|ack, 501, 101, 0), tcpClosed}, step{c(ack, 101, 501, 9), tcpClosed})},
		{"reset with a wrong number", after(step{s(rst, 777, 0, 0), tcpEstablished}, step{c(rst, 102, 0, 0), tcpEstablished}, step{c(rst, 101, 0, 0), tcpClosed})},
		{"reset with a wrong ack", after(step{c(rst|ack, 101, 90000, 0), tcpEstablished})},
		{"refused", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(rst|ack, 0, 101, 0), tcpClosed}, {s(syn|ack, 500, 101, 0), tcpSynRecv}}},
		{"SYN again", []step{{c(syn, 100, 0, 0), tcpSynSent}, {c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 101, 0), tcpSynRecv}}},
		{"SYN/ACK of another SYN", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 99, 0), tcpSynSent}}},
		{"SYN/ACK with another number", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 101, 0), tcpSynRecv}, {s(syn|ack, 600, 101, 0), tcpSynRecv},
			{c(ack, 101, 601, 0), tcpEstablished}, {s(ack, 601, 101, 5), tcpEstablished}}},
		{"simultaneous open", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn, 500, 0, 0), tcpSynSent}, {c(syn|ack, 100, 501, 0), tcpSynRecv},
			{s(ack, 501, 101, 0), tcpEstablished}}},
		{"ACK of the client lost", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 101, 0), tcpSynRecv}, {s(ack, 501, 101, 10), tcpEstablished}}},
		{"wrong ACK", []step{{c(syn, 100, 0, 0), tcpSynSent}, {s(syn|ack, 500, 101, 0), tcpSynRecv}, {c(ack, 101, 777, 0), tcpSynRecv}}},
		{"midstream", []step{{c(ack, 100, 500, 10), tcpNone}, {s(syn|ack, 500, 101, 0), tcpNone}, {c(fin|ack, 110, 500, 0), tcpNone}, {c(rst, 111, 0, 0), tcpNone}}},
		{"beyond the window", after(step{c(ack, 101+8001, 501, 1), tcpEstablished}, step{c(fin|ack, 20000, 501, 0), tcpEstablished})},
		{"keep-alive", after(step{c(ack, 100, 501, 0), tcpEstablished}, step{s(ack, 501, 101, 0), tcpEstablished}, step{c(fin|ack, 101, 501, 0), tcpCloseWait})},
		{"SYN in a session", after(step{c(syn, 900, 0, 0), tcpEstablished}, step{s(syn, 900, 0, 0), tcpEstablished}, step{s(syn|ack, 500, 101, 0), tcpEstablished})},
		{"numbers wrap", []step{{c(syn, 1<<32-1, 0, 0), tcpSynSent}, {s(syn|ack, 1<<32-1, 0, 0), tcpSynRecv}, {c(ack, 0, 0, 0), tcpEstablished},
			{c(ack, 0, 0, 10), tcpEstablished}, {s(fin|ack, 0, 10, 0), tcpFinWait1}}},
	} {
		t.Run(v.name, func(t *testing.T) {
			var session session
			for i, st := range v.steps {
				dir := app.ToServer
				if st.p.SrcPort == 200 {
					dir = app.ToClient
				}
				session.packet(st.p, dir, false)
				if session.state != st.state {
					t.Fatalf("step %d: got %s, want %s", i, tcpStateNames[session.state], tcpStateNames[st.state])
				}
			}
		})
	}
}

func withOptions(p *packet.Packet, options ...byte) *packet.Packet {
	p.TCPOptions = options
	return p
}

func timestamp(p *packet.Packet, val, ecr uint32) *packet.Packet {
	o := []byte{1, 1, 8, 10}
	o = binary.BigEndian.AppendUint32(o, val)
	return withOptions(p, binary.BigEndian.AppendUint32(o, ecr)...)
}

func TestTimestampsDecideWhatIsOld(t *testing.T) {
	var s session
	s.packet(timestamp(tcp(1, 1, syn, 100, 0, 0), 1000, 0), app.ToServer, false)
	s.packet(timestamp(tcp(1, 2, syn|ack, 500, 101, 0), 5000, 999), app.ToClient, false)
	if s.state != tcpSynSent {
		t.Fatal("a SYN/ACK that echoes another timestamp is taken")
	}
	s.packet(timestamp(tcp(1, 2, syn|ack, 500, 101, 0), 5000, 1000), app.ToClient, false)
	s.packet(timestamp(tcp(1, 1, ack, 101, 501, 0), 1001, 5000), app.ToServer, false)
	if s.packet(timestamp(tcp(1, 1, ack, 101, 501, 9), 900, 5000), app.ToServer, false) {
		t.Error("a segment with an old timestamp is taken")
	}
	if !s.packet(timestamp(tcp(1, 1, ack, 101, 501, 9), 1000, 5000), app.ToServer, false) {
		t.Error("a segment with a timestamp one below the last is not taken")
	}
	if s.packet(timestamp(tcp(1, 1, rst, 110, 0, 0), 900, 0), app.ToServer, false); s.state != tcpEstablished {
		t.Error("a RST with an old timestamp closes the session")
	}
}

func TestSYNAgainWithAnotherTimestamp(t *testing.T) {
	var s session
	s.packet(timestamp(tcp(1, 1, syn, 100, 0, 0), 1000, 0), app.ToServer, false)
	s.packet(timestamp(tcp(2, 1, syn, 100, 0, 0), 2000, 0), app.ToServer, false)
	s.packet(timestamp(tcp(2, 2, syn|ack, 500, 101, 0), 5000, 1000), app.ToClient, false) // answers the first
	s.packet(timestamp(tcp(2, 1, ack, 101, 501, 0), 1999, 5000), app.ToServer, false)
	if s.state != tcpEstablished {
		t.Errorf("got %s, want established", tcpStateNames[s.state])
	}
}

func TestWindowScale(t *testing.T) {
	var s session
	s.packet(withOptions(tcp(1, 1, syn, 100, 0, 0), 3, 3, 4), app.ToServer, false)
	s.packet(withOptions(tcp(1, 2, syn|ack, 500, 101, 0), 3, 3, 5), app.ToClient, false)
	s.packet(tcp(1, 1, ack, 101, 501, 0), app.ToServer, false)
	s.packet(tcp(1, 2, ack, 501, 101, 0), app.ToClient, false)
	if !s.packet(tcp(1, 1, ack, 101+8000<<5-9, 501, 9), app.ToServer, false) {
		t.Error("a segment within the scaled window is not taken")
	}
	if s.packet(tcp(1, 1, ack, 101+8000<<5, 501, 9), app.ToServer, false) {
		t.Error("a segment beyond the scaled window is taken")
	}
}

func TestSignedResetMayBeForged(t *testing.T) {
	var s session
	for _, p := range handshake(1) {
		s.packet(p, app.Dir(p.SrcPort/200), false)
	}
	signed := append([]byte{19, 18}, make([]byte, 16)...)
	s.packet(withOptions(tcp(1, 1, rst, 101, 0, 0), signed...), app.ToServer, false)
	if s.state != tcpClosed {
		t.Fatal("the RST is not taken")
	}
	s.packet(tcp(1, 1, ack, 101, 501, 9), app.ToServer, false)
	if s.state != tcpEstablished {
		t.Errorf("its sender goes on, and the session is %s", tcpStateNames[s.state])
	}
}

func TestFastOpen(t *testing.T) {
	var s session
	if !s.packet(withOptions(tcp(1, 1, syn, 100, 0, 20), 34, 10, 1, 2, 3, 4, 5, 6, 7, 8), app.ToServer, false) {
		t.Error("the data of the SYN is not taken")
	}
	s.packet(tcp(1, 2, syn|ack, 500, 121, 0), app.ToClient, false)
	if got := s.flowState(stateNew); got != stateEstablished {
		t.Errorf("the flow is %s", stateNames[got])
	}
	s.packet(tcp(1, 1, ack, 121, 501, 0), app.ToServer, false)
	if s.state != tcpEstablished {
		t.Errorf("got %s", tcpStateNames[s.state])
	}
}

func TestPortsAreReused(t *testing.T) {
	for _, v := range []struct {
		name  string
		first []*packet.Packet
		next  *packet.Packet
		flows int
	}{
		{"after a RST", append(handshake(1), tcp(1, 2, rst, 501, 0, 0)), tcp(2, 1, syn, 900, 0, 0), 2},
		{"from the other side", append(handshake(1), tcp(1, 2, rst, 501, 0, 0)), tcp(2, 2, syn, 900, 0, 0), 2},
		{"the same SYN again", append(handshake(1), tcp(1, 2, rst, 501, 0, 0)), tcp(2, 1, syn, 100, 0, 0), 1},
		{"in a session", handshake(1), tcp(2, 1, syn, 900, 0, 0), 1},
		{"of a flow without SYN", []*packet.Packet{tcp(1, 1, ack, 5, 5, 0)}, tcp(2, 1, syn, 900, 0, 0), 2},
		{"with FIN", append(handshake(1), tcp(1, 2, rst, 501, 0, 0)), tcp(2, 1, syn|fin, 900, 0, 0), 1},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.play(v.first...).play(v.next).Close()
			if len(b.events) != v.flows {
				t.Errorf("got %d flows, want %d:\n%s", len(b.events), v.flows, strings.Join(b.lines, "\n"))
			}
		})
	}
}

// FuzzTCPOptions checks that no options and no order of segments disturb a session.
func FuzzTCPOptions(f *testing.F) {
	f.Add([]byte{2, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 3, 3, 7, 4, 2, 5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 34, 2, 253, 4, 0xf9, 0x89})
	f.Add([]byte{8, 1})
	f.Add([]byte{5, 200, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var o options
		o.read(b)
		if o.wscale > 14 || o.sacked > 1<<24 {
			t.Errorf("%+v", o)
		}
		r := rand.New(rand.NewPCG(uint64(len(b)), 1))
		var s session
		for i := range b {
			p := tcp(1, 1+byte(r.IntN(2)), b[i], r.Uint32N(4)+97, r.Uint32N(4)+97, r.Uint32N(3))
			p.TCPOptions = b[i:]
			s.packet(p, app.Dir(p.SrcPort/200), r.IntN(2) == 0)
			if int(s.state) >= len(tcpStateNames) || s.flowState(stateNew) >= states {
				t.Fatalf("state %d", s.state)
			}
		}
	})
}
