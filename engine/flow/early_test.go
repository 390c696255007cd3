package flow

import (
	"testing"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// TestDataOfASYN: they count with TCP fast open only, as in Suricata; else they are sent again.
func TestDataOfASYN(t *testing.T) {
	request := []byte("GET /a HTTP/1.1\r\nHost: b\r\n\r\n")
	end := 101 + uint32(len(request))
	cookie := []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	with := func(p *packet.Packet, b []byte) *packet.Packet {
		p.Payload, p.PayloadLen = b, uint32(len(b))
		return p
	}
	for _, v := range []struct {
		name    string
		packets []*packet.Packet
		want    []string
	}{
		{"without the option, acknowledged all the same", []*packet.Packet{
			with(tcp(1, 1, packet.SYN, 100, 0, 0), request), tcp(1, 2, packet.SYN|packet.ACK, 500, end, 0), tcp(1, 1, packet.ACK, end, 501, 0)},
			[]string{"event_type=flow app_proto= flow.state=new tcp.state=syn_sent"}},
		{"without the option, sent again", []*packet.Packet{
			with(tcp(1, 1, packet.SYN, 100, 0, 0), request), tcp(1, 2, packet.SYN|packet.ACK, 500, 101, 0), tcp(1, 1, packet.ACK, 101, 501, 0),
			with(tcp(1, 1, packet.ACK, 101, 501, 0), request), tcp(1, 2, packet.ACK, 501, end, 0)},
			[]string{"event_type=http http.url=/a", "event_type=flow app_proto=http flow.state=established tcp.state=established"}},
		{"fast open", []*packet.Packet{
			withOptions(with(tcp(1, 1, packet.SYN, 100, 0, 0), request), cookie...), tcp(1, 2, packet.SYN|packet.ACK, 500, end, 0), tcp(1, 1, packet.ACK, end, 501, 0)},
			[]string{"event_type=http http.url=/a", "event_type=flow app_proto=http flow.state=established tcp.state=established"}},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := newBench(t, Config{App: app.Config{HTTP: true}})
			for _, p := range v.packets {
				p.SrcPort, p.DstPort = 40000, 80
				if p.Src[len(p.Src)-1] == 2 || p.Seq >= 500 && p.Ack < 500 {
					p.SrcPort, p.DstPort = 80, 40000
				}
			}
			b.play(v.packets...).Close()
			b.want(v.want...)
		})
	}
}
