package app

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// tlsCaptures are those of testdata/tls, with the packet at which Suricata reports the session.
var tlsCaptures = map[string]uint64{"tls12": 7, "tls13": 7, "retry": 10, "tls10": 7, "fragments": 7, "clientcert": 9, "resumed": 15}

func readTLSCapture(t testing.TB, name string) []packet.Packet {
	t.Helper()
	return readCapture(t, filepath.Join("testdata", "tls", name+".pcap"))
}

// readCapture reads a capture as tcpdump writes it: little endian, microseconds, Ethernet, IPv4, TCP or UDP.
func readCapture(t testing.TB, path string) []packet.Packet {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le, be := binary.LittleEndian, binary.BigEndian
	var list []packet.Packet
	for b = b[24:]; len(b) > 0; {
		n := le.Uint32(b[8:])
		ip := b[16:][14:n]
		ip = ip[:be.Uint16(ip[2:])]
		head := int(ip[0]&15) * 4
		tcp := ip[head:]
		p := packet.Packet{
			Time: int64(le.Uint32(b))*1e9 + int64(le.Uint32(b[4:]))*1e3, Number: uint64(len(list) + 1),
			Src: packet.IPv4(ip[12:]), Dst: packet.IPv4(ip[16:]), Proto: ip[9],
			SrcPort: be.Uint16(tcp), DstPort: be.Uint16(tcp[2:]), Payload: tcp[8:],
		}
		if p.Proto == packet.TCP {
			p.Seq, p.Ack, p.TCPFlags, p.Window = be.Uint32(tcp[4:]), be.Uint32(tcp[8:]), tcp[13], be.Uint16(tcp[14:])
			p.Payload = tcp[int(tcp[12]>>4)*4:]
		}
		p.PayloadLen = uint32(len(p.Payload))
		list = append(list, p)
		b = b[16+n:]
	}
	return list
}

// tlsPiece is what one packet of a capture brings to its stream.
type tlsPiece struct {
	dir Dir
	b   []byte
}

func tlsPieces(t testing.TB, name string) (list []tlsPiece) {
	ps := readTLSCapture(t, name)
	for i := range ps {
		if len(ps[i].Payload) > 0 {
			dir := ToServer
			if ps[i].SrcPort == ps[0].DstPort {
				dir = ToClient
			}
			list = append(list, tlsPiece{dir, ps[i].Payload})
		}
	}
	return list
}

// tlsEvent returns what the parser reports of pieces that come in bits of at most size bytes; "" is nothing.
func tlsEvent(t testing.TB, c *Config, pieces []tlsPiece, size int) (body string) {
	t.Helper()
	found := func(e *Event) {
		if body != "" {
			t.Errorf("got a second event, %s, want one", e.Body)
		}
		body = string(e.Body)
	}
	p := newTLS(c)
	var wait [2][]byte
	more, packets := true, uint64(0)
	for _, piece := range pieces {
		for b := piece.b; len(b) > 0 && more; {
			n := min(size, len(b))
			wait[piece.dir] = append(wait[piece.dir], b[:n]...)
			b = b[n:]
			var used int
			packets++
			used, more = p.stream(piece.dir, wait[piece.dir], at{time: 1, packet: packets, dir: piece.dir}, found)
			if used < 0 || used > len(wait[piece.dir]) {
				t.Fatalf("stream used %d of %d bytes", used, len(wait[piece.dir]))
			}
			wait[piece.dir] = wait[piece.dir][used:]
		}
	}
	p.end(1, found)
	return body
}

func decodeJSON(t testing.TB, body string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte("{"+body+"}"), &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}

func TestTLSReportsWhatSuricataDoes(t *testing.T) {
	for name, number := range tlsCaptures {
		want, err := os.ReadFile(filepath.Join("testdata", "tls", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		ps := readTLSCapture(t, name)
		c := New(&Config{TLS: true, JA3: true, JA4: true, SuricataJA: true}, packet.TCP, ps[0].SrcPort, ps[0].DstPort)
		n, more := 0, true
		for i := 0; i < len(ps) && more; i++ {
			dir := ToServer
			if ps[i].SrcPort == ps[0].DstPort {
				dir = ToClient
			}
			more = c.Packet(&ps[i], dir, func(e *Event) {
				if n++; string(e.Body) != strings.TrimSpace(string(want)) {
					t.Errorf("%s: got\n%s, want\n%s", name, e.Body, want)
				}
				if e.Type != "tls" || e.Packet != number || e.Time != ps[number-1].Time || e.TxID != -1 {
					t.Errorf("%s: got %s of packet %d, want tls of %d", name, e.Type, e.Packet, number)
				}
			})
		}
		if n != 1 {
			t.Errorf("%s: got %d events, want 1", name, n)
		}
	}
}

// The fingerprints were made from the fields that tshark 4.0 shows.
func TestTLSHasJA4OfTheSpecification(t *testing.T) {
	c := &Config{TLS: true, JA4: true}
	for name, want := range map[string]string{
		"tls12": "t12d2808h2_d943125447b4_e7e480e5a997", "tls13": "t13d3111h1_e8f1e7e78f70_1f22a2ca17c4",
		"retry": "t13d311000_e8f1e7e78f70_1f22a2ca17c4", "tls10": "t10i090500_c491f621fb4c_195413a0cc0f",
		"resumed": "t12d280700_d943125447b4_e7e480e5a997",
	} {
		got := decodeJSON(t, tlsEvent(t, c, tlsPieces(t, name), 1<<20))["tls"].(map[string]any)
		if got["ja4"] != want {
			t.Errorf("%s: got %v, want %s", name, got["ja4"], want)
		}
		if got["ja3"] != nil || got["ja3s"] != nil {
			t.Errorf("%s: got %v and %v, want no ja3", name, got["ja3"], got["ja3s"])
		}
	}
}

func TestTLSDoesNotDependOnPieces(t *testing.T) {
	c := &Config{TLS: true, JA3: true, JA4: true}
	for name := range tlsCaptures {
		pieces := tlsPieces(t, name)
		want := tlsEvent(t, c, pieces, 1<<20)
		for _, size := range []int{1, 2, 3, 5, 6, 7, 100, 1000} {
			if got := tlsEvent(t, c, pieces, size); got != want {
				t.Errorf("%s in pieces of %d: got\n%s, want\n%s", name, size, got, want)
			}
		}
	}
}

// Whatever of a session is lost: no panic, and no event that is not JSON.
func TestTLSTakesAnyPart(t *testing.T) {
	c := &Config{TLS: true, JA3: true, JA4: true}
	for name := range tlsCaptures {
		pieces := tlsPieces(t, name)
		for i, piece := range pieces {
			for cut := 0; cut < len(piece.b); cut += 1 + len(piece.b)/50 {
				part := append([]tlsPiece{}, pieces[:i]...)
				part = append(part, tlsPiece{piece.dir, piece.b[:cut]}, tlsPiece{piece.dir, piece.b[min(cut+3, len(piece.b)):]})
				if body := tlsEvent(t, c, append(part, pieces[i+1:]...), 1<<20); body != "" {
					decodeJSON(t, body)
				}
			}
		}
	}
}

// record puts a header of TLS 1.0 before b.
func record(kind byte, b ...byte) []byte {
	return append([]byte{kind, 3, 1, byte(len(b) >> 8), byte(len(b))}, b...)
}

// message puts a handshake header before b.
func message(kind byte, b ...byte) []byte {
	return append([]byte{kind, 0, byte(len(b) >> 8), byte(len(b))}, b...)
}

// clientHello is a hello without session and compression.
func clientHello(version uint16, ciphers []uint16, extensions ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, version)
	b = append(b, make([]byte, 33)...)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(ciphers)))
	for _, c := range ciphers {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	b = append(b, 1, 0)
	if len(extensions) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(extensions)))
	}
	return message(tlsClientHello, append(b, extensions...)...)
}

// extension is one of a hello.
func extension(kind uint16, b ...byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind), byte(len(b) >> 8), byte(len(b))}, b...)
}

var ticket = extension(extSessionTicket) // makes a session worth an event that has no certificate

func TestTLSEndsWithFaults(t *testing.T) {
	hello := record(tlsHandshake, clientHello(tls10, []uint16{47, 0x1a1a}, ticket...)...)
	c := &Config{TLS: true, JA3: true}
	const event = `"tls":{"version":"UNDETERMINED","ja3":{"hash":"ecf972f7f7a22280727192a099d8aedb","string":"769,47,35,,"}}`
	for name, v := range map[string]struct {
		then tlsPiece
		want string
	}{
		"nothing":             {tlsPiece{ToClient, nil}, event},
		"unknown record":      {tlsPiece{ToClient, []byte{9, 3, 1, 0, 1, 0}}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
		"empty record":        {tlsPiece{ToClient, []byte{22, 3, 3, 0, 0, 0}}, strings.Replace(event, "UNDETERMINED", "TLS 1.2", 1)},
		"unknown version":     {tlsPiece{ToClient, []byte{22, 9, 9, 0, 1, 0}}, strings.Replace(event, "UNDETERMINED", "0x0909", 1)},
		"too long":            {tlsPiece{ToClient, []byte{22, 3, 0, 0xff, 0xff, 0}}, strings.Replace(event, "UNDETERMINED", "SSLv3", 1)},
		"text":                {tlsPiece{ToClient, []byte("220 mail")}, strings.Replace(event, "UNDETERMINED", "0x3230", 1)},
		"short message":       {tlsPiece{ToClient, record(tlsHandshake, 2, 0)}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
		"wrong heartbeat":     {tlsPiece{ToClient, record(tlsHeartbeat, 7, 0, 0)}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
		"bleeding heartbeat":  {tlsPiece{ToClient, record(tlsHeartbeat, 1, 0x40, 0)}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
		"alert, then nothing": {tlsPiece{ToClient, record(tlsAlert, 2, 40)}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
		"encrypted data":      {tlsPiece{ToClient, record(tlsApplication, 1, 2, 3)}, strings.Replace(event, "UNDETERMINED", "TLSv1", 1)},
	} {
		if got := tlsEvent(t, c, []tlsPiece{{ToServer, hello}, v.then}, 1<<20); got != v.want {
			t.Errorf("%s: got %s, want %s", name, got, v.want)
		}
	}
	plain := record(tlsHandshake, clientHello(tls10, []uint16{47})...)
	if got := tlsEvent(t, c, []tlsPiece{{ToServer, plain}}, 1<<20); got != "" {
		t.Errorf("without ticket and certificate: got %s, want no event", got)
	}
}

func TestTLSReadsHelloOfSSL2(t *testing.T) {
	hello := []byte{0x80, 0x1c, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 47}
	hello = append(hello, make([]byte, 16)...)
	pieces := tlsPieces(t, "tls10")
	pieces[0].b = hello
	for _, size := range []int{1, 4, 1 << 20} {
		got := decodeJSON(t, tlsEvent(t, &Config{TLS: true, JA3: true}, pieces, size))["tls"].(map[string]any)
		if got["version"] != "TLSv1" || got["ja3"] != nil || got["ja3s"] == nil || got["subject"] == nil {
			t.Errorf("got %v, want TLSv1 with a subject, ja3s and no ja3", got)
		}
	}
}

func TestTLSSaysWhatCameBefore(t *testing.T) {
	p := newTLS(&Config{TLS: true}).after("smtp")
	var body string
	found := func(e *Event) { body = string(e.Body) }
	p.stream(ToServer, record(tlsHandshake, clientHello(tls12, nil, ticket...)...), at{}, found)
	if p.gap(ToClient, 100) != true {
		t.Error("gap: got no more, want to be asked once more for the event")
	}
	n, more := p.stream(ToClient, []byte("abc"), at{packet: 5}, found)
	if want := `"tls":{"version":"UNDETERMINED","from_proto":"smtp"}`; body != want || n != 3 || more || !p.broken() {
		t.Errorf("got %s, %d bytes, more %v, broken %v, want %s, 3, no more, broken", body, n, more, p.broken(), want)
	}
}

// As in Suricata the packet that shows the client to be unreadable may still bring what its server sent.
func TestTLSTellsOfServerOfUnreadableClient(t *testing.T) {
	var answer []byte
	for _, piece := range tlsPieces(t, "tls10") {
		if piece.dir == ToClient {
			answer = append(answer, piece.b...)
		}
	}
	for packet, want := range map[uint64]int{5: 1, 6: 0} {
		n := 0
		found := func(e *Event) {
			if n++; !strings.Contains(string(e.Body), "example.org") {
				t.Errorf("got %s, want the server's certificate", e.Body)
			}
		}
		p := newTLS(&Config{TLS: true})
		if _, more := p.stream(ToServer, []byte{22, 9, 9, 0, 4, 1, 0, 0, 0}, at{packet: 5}, found); !more || p.broken() {
			t.Error("client: got no more, want the server's side")
		}
		if _, more := p.stream(ToClient, answer, at{packet: packet, dir: ToClient}, found); more || !p.broken() || n != want {
			t.Errorf("server with packet %d: got %d events, more %v, want %d and no more", packet, n, more, want)
		}
	}
}

func TestTLSClosesWithItsSession(t *testing.T) {
	hello := record(tlsHandshake, clientHello(tls12, nil, ticket...)...)
	f := func(answer []byte, closes []Dir, packet uint64, want int) {
		t.Helper()
		n := 0
		found := func(*Event) { n++ }
		p := newTLS(&Config{TLS: true})
		p.stream(ToServer, hello, at{packet: 1}, found)
		p.stream(ToClient, answer, at{packet: 2}, found)
		for _, d := range closes {
			p.close(d, at{packet: packet, dir: d}, found)
		}
		if n != want {
			t.Errorf("got %d events, want %d", n, want)
		}
	}
	alert := record(tlsAlert, 2, 40)
	f(alert, []Dir{ToServer}, 3, 0)
	f(alert, []Dir{ToServer, ToClient}, 3, 1)
	f(alert, []Dir{ToServer}, 0, 1)
	f(alert, []Dir{ToServer, ToServer}, 3, 0)
}

// What of a stream is kept while it goes on is bounded.
func TestTLSKeepsLittle(t *testing.T) {
	p := newTLS(&Config{TLS: true, JA3: true, JA4: true})
	found := func(*Event) { t.Error("got an event, want none") }
	part := make([]byte, 16000)
	for i := range 1000 {
		b := record(tlsHandshake, part...)
		if i == 0 {
			copy(b[5:], []byte{tlsCertificate, 0xff, 0xff, 0xff})
		}
		if _, more := p.stream(ToClient, b, at{}, found); !more {
			t.Fatal("got no more, want a message of 16 MiB read")
		}
		if n := cap(p.side[ToClient].msg); n > 2*tlsMessageLimit {
			t.Fatalf("got %d bytes kept, want at most %d", n, 2*tlsMessageLimit)
		}
	}
}

// The captures are read from ../shared; what is wanted is Suricata's.
func TestReferenceCaptures(t *testing.T) {
	const dir = "../../../shared/data/reference/flows/"
	for name, want := range map[string][]string{
		"sv-tls.pcap": {
			"21 TLS 1.2 www.google.com 27:2e:56:1b:56:00:b7:8d:84:07:c7:62:41:02:94:f3:9a:a0:c3:5e a64c29923906f2a1be278be1da0714fa a27e76e64afe9199440ad714848966f8 t12d8008h2_9cedc1f1428b_046e095b7c4a",
		},
		"sv-quic.pcap": {
			"1 1 msquic.net 292bd0719190dff4cb1033de8573310d",
			"2 1 2253c82f03b621c5144709b393fde2c9",
		},
	} {
		if _, err := os.Stat(dir + name); err != nil {
			t.Skip("needs ../shared/data/reference/flows/" + name)
		}
		ps := readCapture(t, dir+name)
		c := New(&Config{TLS: true, QUIC: true, JA3: true, JA4: true, SuricataJA: true}, ps[0].Proto, ps[0].SrcPort, ps[0].DstPort)
		var got []string
		for i, more := 0, true; i < len(ps) && more; i++ {
			side := ToServer
			if ps[i].SrcPort == ps[0].DstPort {
				side = ToClient
			}
			more = c.Packet(&ps[i], side, func(e *Event) {
				v := decodeJSON(t, string(e.Body))[e.Type].(map[string]any)
				line := fmt.Sprint(e.Packet)
				for _, key := range []string{"version", "sni", "fingerprint", "ja3", "ja3s", "ja4"} {
					if o, ok := v[key].(map[string]any); ok {
						v[key] = o["hash"]
					}
					if v[key] != nil {
						line += fmt.Sprint(" ", v[key])
					}
				}
				got = append(got, line)
			})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestTLSIsSmall(t *testing.T) {
	if n := reflect.TypeOf(tlsStream{}).Size(); n > 1024 {
		t.Errorf("a stream takes %d bytes, want at most 1024", n)
	}
	if n := reflect.TypeOf(quicFlow{}).Size(); n > 256 {
		t.Errorf("a flow of QUIC takes %d bytes, want at most 256", n)
	}
}
