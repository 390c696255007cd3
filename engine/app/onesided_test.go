package app

import (
	"slices"
	"testing"

	"dragonfly/engine/packet"
)

// TestOneSideSpeaksAnotherProtocol: what the side that is understood has said is reported, and the other's protocol is that of
// the flow, as in Suricata, whose parsers failed at it.
func TestOneSideSpeaksAnotherProtocol(t *testing.T) {
	client := `ssh "ssh":{"client":{"proto_version":"2.0","software_version":"OpenSSH_9.7"}}`
	server := `ssh "ssh":{"server":{"proto_version":"2.0","software_version":"x"}}`
	for _, c := range []struct {
		name  string
		port  uint16
		first Dir
		says  [2]string // first what first says
		proto string
		want  []string
	}{
		{"SSH: an announcement before the server's banner", 22, ToServer, [2]string{"SSH-2.0-OpenSSH_9.7\r\n", "Authorized use only\r\nSSH-2.0-x\r\n"}, "ssh", []string{client}},
		{"SSH: the client has no banner", 22, ToClient, [2]string{"SSH-2.0-x\r\n", "quickly, please\r\n"}, "ssh", []string{server}},
		{"SSH: neither has", 22, ToServer, [2]string{"SSH-\r\n", "quickly, please\r\n"}, "ssh", nil},
		{"TLS: the server speaks HTML", 443, ToServer, [2]string{string(record(tlsHandshake, clientHello(tls10, []uint16{47})...)), "<!DOCTYPE html>\n<html>"}, "tls", nil},
		{"TLS: the server is one of mail", 465, ToServer, [2]string{string(record(tlsHandshake, clientHello(tls10, []uint16{47})...)), "220 mail ESMTP ready\r\n"}, "tls", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(t, &everything, c.port)
			k.say(c.first, c.says[0])
			k.say(1-c.first, c.says[1])
			if got := k.end(); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if proto, toServer, toClient := k.conn.Protocols(); proto != c.proto || toServer != "" || toClient != "" {
				t.Errorf("got app_proto %q, app_proto_ts %q, app_proto_tc %q; want %q alone", proto, toServer, toClient, c.proto)
			}
		})
	}
}

// TestShortFirstWordOfTheClient: two bytes are too few to tell a protocol by, until the flow ends.
func TestShortFirstWordOfTheClient(t *testing.T) {
	k := newTalk(t, &everything, 22)
	k.say(ToClient, "SSH-2.0-x\r\n")
	k.say(ToServer, "\r\n")
	k.say(ToClient, "Invalid banner\r\n")
	k.send(ToClient, packet.FIN|packet.ACK, k.seq[ToClient], k.seq[ToServer], nil)
	k.seq[ToClient]++
	k.send(ToServer, packet.FIN|packet.ACK, k.seq[ToServer], k.seq[ToClient], nil)
	k.seq[ToServer]++
	k.ack(ToClient)
	want := []string{`ssh "ssh":{"server":{"proto_version":"2.0","software_version":"x"}}`}
	if got := k.end(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestHTTPRequestAfterTheServerIsGone: the server answers with a reset, and the request is read at the end of the flow, whole.
func TestHTTPRequestAfterTheServerIsGone(t *testing.T) {
	k := newTalk(t, &Config{HTTP: true}, 8554)
	k.say(ToServer, "GET rtsp://a:8554/1 RTSP/1.0\r\nCSeq: 6\r\n\r\n")
	k.say(ToClient, "RTSP/1.0 200 OK\r\nCSeq: 6\r\nContent-Length: 0\r\n\r\n")
	last := []byte("GET rtsp://a:8554/2 RTSP/1.0\r\nCSeq: 7\r\n\r\n")
	k.send(ToServer, packet.ACK|packet.PSH, k.seq[ToServer], k.seq[ToClient], last)
	k.send(ToClient, packet.RST|packet.ACK, k.seq[ToClient], k.seq[ToServer]+uint32(len(last)), nil)
	got := k.end()
	want := `http "http":{"hostname":"a","http_port":8554,"url":"rtsp://a:8554/2","http_method":"GET","protocol":"RTSP/1.0","length":0}`
	if !slices.Contains(got, want) {
		t.Errorf("got  %q\nwant %q among them", got, want)
	}
}
