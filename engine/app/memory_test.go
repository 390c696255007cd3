package app

import (
	"testing"

	"dragonfly/engine/packet"
)

// halfway returns a flow in which both ends wait: the client has sent n bytes that nobody acknowledges, and some with a gap
// before them.
func halfway(c *Config, n int) *Conn {
	conn := New(c, packet.TCP, 40000, 80)
	none := func(*Event) {}
	client := packet.Packet{Proto: packet.TCP, TCPFlags: packet.SYN, Seq: 99, Window: 65535}
	server := packet.Packet{Proto: packet.TCP, TCPFlags: packet.SYN | packet.ACK, Seq: 499, Ack: 100, Window: 65535}
	conn.Packet(&client, ToServer, none)
	conn.Packet(&server, ToClient, none)
	client.TCPFlags, client.Seq, client.Ack = packet.ACK, 100, 500
	conn.Packet(&client, ToServer, none)
	client.Payload = make([]byte, n)
	copy(client.Payload, "GET / HTTP/1.1\r\nX: ")
	client.PayloadLen = uint32(n)
	conn.Packet(&client, ToServer, none)
	client.Seq += uint32(2 * n)
	conn.Packet(&client, ToServer, none)
	return conn
}

func TestMemoryOfAllFlowsIsBounded(t *testing.T) {
	config := everything
	config.Memory.Limit = 1 << 20
	var conns []*Conn
	for range 400 {
		conns = append(conns, halfway(&config, 3000))
		if m := &config.Memory; m.Used > m.Limit+16<<10 {
			t.Fatalf("%d flows keep %d bytes, want at most %d", len(conns), m.Used, m.Limit)
		}
	}
	m := &config.Memory
	if m.Refused < 100 || m.Refused > 300 {
		t.Errorf("%d of 400 flows were refused, want those for which there was no room", m.Refused)
	}
	for _, conn := range conns {
		conn.End(1, func(*Event) {})
	}
	if m.Used != 0 {
		t.Errorf("%d bytes are in use after the end of all flows", m.Used)
	}
	if refused := m.Refused; halfway(&config, 3000).off || m.Refused != refused {
		t.Error("there is room, and a flow is refused")
	}
}

func TestMemoryOfHellosIsCounted(t *testing.T) {
	config := everything
	p := &tlsStream{cfg: &config}
	p.side[ToServer].msg = make([]byte, 100)
	conn := &Conn{config: &config, parser: p}
	conn.charge()
	if config.Memory.Used != 100 {
		t.Errorf("%d bytes, want 100", config.Memory.Used)
	}
	conn.release()
	if config.Memory.Used != 0 {
		t.Errorf("%d bytes are in use after the flow was given up", config.Memory.Used)
	}
}
