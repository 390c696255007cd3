package app

import (
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// TestNTP: what Suricata 7.0.10 takes for NTP and what not, by what is behind the head.
func TestNTP(t *testing.T) {
	four, three := "\x23"+strings.Repeat("\x00", 47), "\x1b"+strings.Repeat("\x00", 47)
	mac := strings.Repeat("\xaa", 20)
	for _, c := range []struct{ name, datagram, want string }{
		{"4, no more", four, "ntp"},
		{"4, MAC", four + mac, "ntp"},
		{"4, MAC of zeros", four + strings.Repeat("\x00", 20), "ntp"},
		{"4, an extension and a MAC", four + "\x00\x01\x00\x10" + strings.Repeat("\x00", 16) + mac, "ntp"},
		{"4, an extension and more", four + "\x00\x01\x00\x10" + strings.Repeat("\x00", 16) + mac + "\xaa\xaa\xaa\xaa", "ntp"},
		{"4, two extensions", four + strings.Repeat("\x00\x01\x00\x1c"+strings.Repeat("\x00", 24), 2), "ntp"},
		{"4, no extension", four + "\x57\xea\x53\x0f" + strings.Repeat("\x00", 20), "failed"},
		{"4, an extension alone", four + "\x00\x00\x00\x14" + mac, "failed"},
		{"4, MAC of 24 bytes", four + "\x00\x00\x00\x0b" + mac, "failed"},
		{"4, an extension without its end", four + "\x00\x01\x00\x10" + strings.Repeat("\x00", 12), "failed"},
		{"4, an extension and a MAC that is cut off", four + "\x00\x01\x00\x10" + strings.Repeat("\x00", 12) + mac, "failed"},
		{"4, one byte", four + "\x00", "failed"},
		{"3, whatever", three + mac[:7], "ntp"},
		{"3, MAC of 24 bytes", three + "\x00\x00\x00\x0b" + mac, "ntp"},
		{"5", "\x2b" + four[1:], "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := New(&everything, packet.UDP, 5000, 123)
			b := []byte(c.datagram)
			conn.Packet(&packet.Packet{Proto: packet.UDP, Payload: b, PayloadLen: uint32(len(b))}, ToServer, func(*Event) {})
			conn.End(0, func(*Event) {})
			if got, _, _ := conn.Protocols(); got != c.want {
				t.Errorf("got app_proto %q, want %q", got, c.want)
			}
		})
	}
}
