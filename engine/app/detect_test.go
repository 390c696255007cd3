package app

import (
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

func TestProtocolsOfStreams(t *testing.T) {
	smbHead := "\x00\x00\x00\x40\xffSMB" + strings.Repeat("\x00", 40)
	for _, c := range []struct {
		name           string
		port           uint16
		client, server string
		want           string // app_proto, app_proto_ts, app_proto_tc
	}{
		{"http", 8080, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "http  "},
		{"http, odd case", 8080, "geT / HTTP/1.1\r\n\r\n", "http/1.0 200 OK\r\n\r\n", "http  "},
		{"http, no answer of it", 8080, "GET / HTTP/1.1\r\n\r\n", "hello hello hello\r\n", "http  failed"},
		{"http, answer only", 8080, "xxxxxxxxxxxxxxxxxxxxxx", "HTTP/1.1 400 Bad\r\n\r\n", "http failed "},
		{"nothing", 8080, "xxxxxxxxxxxxxxxxxxxxxx", "yyyyyyyyyyyyyyyyyy", "failed  "},
		{"nothing, and short", 8080, "xx", "yy", "  "},
		{"one side", 8080, "xxxxxxxxxxxxxxxxxxxxxx", "", "  "},
		{"no data", 8080, "", "", "  "},
		{"ssh", 2222, "SSH-2.0-a\r\n", "SSH-2.0-b\r\n", "ssh  "},
		{"smtp", 25, "EHLO a\r\n", "220 mail.example.test ESMTP\r\n", "smtp  failed"},
		{"ftp", 21, "USER a\r\n", "220 (vsFTPd)\r\n", "ftp  "},
		{"ftp, greeting not known", 21, "USER a\r\n", "220 welcome here\r\n", "ftp  failed"},
		{"imap", 143, "1 capability\r\n", "", "imap  "},
		{"smb", 4455, smbHead, smbHead, "smb  "},
		{"dce/rpc", 135, "\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00", "\x05\x00\x0c\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00", "dcerpc  "},
		{"rfb", 5901, "RFB 003.008\n", "RFB 003.008\n", "rfb  "},
		{"telnet by port", 23, "\xff\xfd\x01", "login: ", "telnet  "},
		{"mqtt by port", 1883, "\x10\x0c\x00\x04MQTT", "\x20\x02\x00\x00", "mqtt  "},
		{"not mqtt", 1883, "\x07xxxxxxxxxxxxxxxxxxxx", "\x07xxxxxxxxxxxxxxxxxxxx", "failed  "},
		{"rdp by port", 3389, "\x03\x00\x00\x13", "\x03\x00\x00\x13", "rdp  "},
		{"dns by port", 53, "\x00\x11\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01", "", "dns  "},
		{"http2", 80, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "http2  "},
		{"tls", 443, "\x16\x03\x01\x00\x05", "", "tls  "},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{DNS: true, HTTP: true, SSH: true}
			k := newTalk(t, &config, c.port)
			if c.server != "" && strings.HasPrefix(c.server, "220") {
				k.say(ToClient, c.server)
			}
			if c.client != "" {
				k.say(ToServer, c.client)
			}
			if c.server != "" && !strings.HasPrefix(c.server, "220") {
				k.say(ToClient, c.server)
			}
			k.end()
			if got := strings.Join(three(k.conn.Protocols()), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func three(a, b, c string) []string { return []string{a, b, c} }

func TestProtocolsOfDatagrams(t *testing.T) {
	query := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01"
	for _, c := range []struct {
		name     string
		port     uint16
		data     string
		want     string
		reversed bool
	}{
		{"dns", 53, query, "dns", false},
		{"dns elsewhere", 5353, query, "failed", false},
		{"answer first", 53, "\x12\x34\x81\x00" + query[4:], "dns", true},
		{"ntp", 123, "\x23" + strings.Repeat("\x00", 47), "ntp", false},
		{"ntp of a version that is none", 123, "\x3b" + strings.Repeat("\x00", 47), "failed", false},
		{"snmp", 161, "\x30\x0c\x02\x01\x01\x04\x03abc\xa0\x02\x05\x00", "snmp", false},
		{"dhcp", 67, strings.Repeat("\x00", 240), "dhcp", false},
		{"tftp", 69, "\x00\x01a\x00", "tftp", false},
		{"ike", 500, strings.Repeat("\x00", 17) + "\x10" + strings.Repeat("\x00", 10), "ike", false},
		{"sip", 5060, "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n\r\n", "sip", false},
		{"sip without its end", 5060, "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n", "failed", false},
		{"quic", 443, "\xc3\x00\x00\x00\x01\x08aaaaaaaa\x00\x00\x00", "quic", false},
		{"bittorrent", 6881, "d1:ad2:id20:xxxx", "bittorrent-dht", false},
		{"empty", 53, "", "failed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := New(&Config{DNS: true}, packet.UDP, 40000, c.port)
			conn.Packet(&packet.Packet{Proto: packet.UDP, Payload: []byte(c.data), PayloadLen: uint32(len(c.data))}, ToServer, func(*Event) {})
			if got, _, _ := conn.Protocols(); got != c.want || conn.Reversed() != c.reversed {
				t.Errorf("got %q, reversed %v, want %q, %v", got, conn.Reversed(), c.want, c.reversed)
			}
		})
	}
}

func TestStartTLS(t *testing.T) {
	k := newTalk(t, &Config{}, 25)
	k.say(ToClient, "220 a ESMTP\r\n")
	k.say(ToServer, "EHLO b\r\nSTARTTLS\r\n")
	k.say(ToClient, "250 STARTTLS\r\n")
	k.say(ToClient, "220 go\r\n")
	k.say(ToServer, "\x16\x03\x01\x00\x05hello")
	k.say(ToClient, "\x16\x03\x03\x00\x05hello")
	k.end()
	original, expected := k.conn.Changed()
	if proto, _, _ := k.conn.Protocols(); proto != "tls" || original != "smtp" || expected != "" {
		t.Errorf("got %q after %q, expected %q, want tls after smtp", proto, original, expected)
	}
}

func TestConnectChangesProtocol(t *testing.T) {
	k := newTalk(t, &Config{HTTP: true}, 8080)
	k.say(ToServer, "CONNECT a.test:443 HTTP/1.1\r\n\r\n")
	k.say(ToClient, "HTTP/1.1 200 go\r\n\r\n")
	k.say(ToServer, "\x16\x03\x01\x00\x05hello")
	k.say(ToClient, "\x16\x03\x03\x00\x05hello")
	k.end()
	original, _ := k.conn.Changed()
	if proto, _, _ := k.conn.Protocols(); proto != "tls" || original != "http" || len(k.events) != 1 {
		t.Errorf("got %q after %q with %q, want tls after http with one event", proto, original, k.events)
	}
}

// TestDataConnections: FTP announces them, in both modes.
func TestDataConnections(t *testing.T) {
	for _, c := range []struct {
		name        string
		ask, answer string
		command     string
		port        uint16
		speaks      Dir
		want        string
	}{
		{"passive", "PASV", "227 ok (10,0,0,2,4,1)", "RETR a.txt", 1025, ToClient, "ftp-data"},
		{"extended passive", "EPSV", "229 ok (|||1025|)", "STOR a.txt", 1025, ToServer, "ftp-data"},
		{"active", "PORT 10,0,0,1,4,1", "200 ok", "RETR a.txt", 1025, ToServer, "ftp-data"},
		{"extended active", "EPRT |1|10.0.0.1|1025|", "200 ok", "STOR a.txt", 1025, ToClient, "ftp-data"},
		{"other port", "EPSV", "229 ok (|||1025|)", "RETR a.txt", 1026, ToClient, ""},
		{"no port", "EPSV", "229 ok (|||no|)", "RETR a.txt", 1025, ToClient, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &Config{}
			k := newTalk(t, config, 21)
			k.say(ToClient, "220 (x)\r\n")
			k.say(ToServer, "USER a\r\n"+c.ask+"\r\n")
			k.say(ToClient, c.answer+"\r\n")
			k.say(ToServer, c.command+"\r\n")
			data := newTalk(t, config, c.port)
			data.say(c.speaks, "content of a file")
			data.end()
			if got, _, _ := data.conn.Protocols(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			k.end()
			if n := config.Expected.count.Load(); n != 0 {
				t.Errorf("%d expectations are left after the end of the flow, want 0", n)
			}
		})
	}
}

func TestExpectationsAreBounded(t *testing.T) {
	var x Expectations
	for i := range 3 * maxExpected {
		x.add(packet.Addr{1}, packet.Addr{2}, expectation{port: uint16(i), of: ftpData})
	}
	if n := x.count.Load(); n != maxExpected {
		t.Errorf("%d expectations of two hosts, want %d", n, maxExpected)
	}
	if p, _ := x.match(packet.Addr{2}, packet.Addr{1}, 3*maxExpected-1, ToServer, 1); p != ftpData {
		t.Errorf("the last one: got %q, want ftp-data", p)
	}
	if p, _ := x.match(packet.Addr{1}, packet.Addr{2}, 3*maxExpected-2, ToServer, 2*expectFor); p != ftpData {
		t.Errorf("one that matches: got %q, want ftp-data", p)
	}
	if n := x.count.Load(); n != 0 {
		t.Errorf("%d expectations after their time, want 0", n)
	}
	for i := range maxPairs + 10 {
		x.add(packet.Addr{byte(i), byte(i >> 8)}, packet.Addr{3, 3, 3}, expectation{of: ftpData})
	}
	if len(x.pairs) > maxPairs {
		t.Errorf("%d pairs of hosts, want at most %d", len(x.pairs), maxPairs)
	}
}
