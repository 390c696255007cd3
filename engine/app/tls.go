package app

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
)

// Bounds of what is read and kept of a flow.
const (
	tlsRecordLimit  = 1<<14 + 1024 // bytes of a record: RFC 5246 section 6.2.2
	tlsMessageLimit = 64 << 10     // bytes of a handshake message that are kept: a chain may be longer, its first certificate is not
)

// Content types of records, and handshake messages that are read.
const (
	tlsChangeCipherSpec = 20
	tlsAlert            = 21
	tlsHandshake        = 22
	tlsApplication      = 23
	tlsHeartbeat        = 24

	tlsClientHello        = 1
	tlsServerHello        = 2
	tlsCertificate        = 11
	tlsCertificateRequest = 13
)

type tlsFlags uint32

const (
	tlsClientHelloSeen tlsFlags = 1 << iota
	tlsServerHelloSeen
	tlsCipherSpecSeen // one side changed to encryption
	tlsResumed        // by session or ticket
	tlsOffersVersions // the client has the extension supported_versions
	tlsEarlyData
	tlsWithoutCert // TLS 1.3: certificates are encrypted
	tlsNeedsClientCert
	tlsDone // the handshake
	tlsHeartbeatOut
	tlsHeartbeatServer // asked by the server
	tlsHeartbeatClient
)

// tlsStream reads SSL 2 to TLS 1.3 of one stream and reports its handshake with one event: when the server's certificate was seen,
// or, without one, with the first encrypted data; at the latest at the end of what can be read. TLS up to 1.2 that ends before
// a certificate, and is not resumed, is not reported. All as in Suricata 7.0.10.
type tlsStream struct {
	cfg   *Config
	from  string // protocol that the stream began with (STARTTLS, CONNECT); "" is none
	flags tlsFlags
	side  [2]tlsSide // what the client sent, and the server

	heartbeat int     // length of the encrypted heartbeat that waits for an answer
	decided   bool    // the event is out, or there will be none
	failed    bool    // by a gap, or bytes that cannot be TLS: nothing more is read ...
	deaf      [2]bool // ... of these directions, and of the other after this packet
	failedAt  uint64
	closed    [2]bool
}

var (
	_ parser  = (*tlsStream)(nil)
	_ closer  = (*tlsStream)(nil)
	_ quitter = (*tlsStream)(nil)
	_ failer  = (*tlsStream)(nil)
)

// tlsSide is one direction.
type tlsSide struct {
	version uint16
	any     bool // bytes came

	// The record that is being read. inside: its header was.
	inside bool
	kind   byte
	length int
	left   int // of a record of application data, which is not kept until it is whole

	// A handshake message that goes on in the next record.
	message bool
	msgType byte
	msgLen  int
	msgGot  int    // above len(msg) if it is longer than what is kept
	msg     []byte // at most tlsMessageLimit

	sni      []byte
	session  []byte // at most 255
	ja3      []byte
	ja3Hash  string
	ja4      string
	ja4Hello *ja4 // what it was made of: only with Config.SuricataJA
	chain    bool // a Certificate message was read
	cert     *certificate
}

func newTLS(c *Config) *tlsStream { return &tlsStream{cfg: c} }

// after says which protocol the stream spoke before TLS: "smtp" before STARTTLS; "" is none.
func (t *tlsStream) after(proto string) *tlsStream {
	t.from = proto
	return t
}

// recordState is what became of some bytes.
type recordState int

const (
	recordRead recordState = iota
	recordHeaderShort
	recordShort // its header is there, the rest is not
	recordBad   // nothing of this stream can be read any longer
)

func (t *tlsStream) stream(dir Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	if t.decided {
		return len(b), false
	}
	if t.failed && (t.deaf[dir] || t.failedAt != at.packet) {
		t.report(at, found)
		return len(b), false
	}
	t.side[dir].any = true
	v := recordRead
	for v == recordRead && n < len(b) {
		var used int
		used, v = t.record(dir, b[n:])
		n += used
	}
	if v == recordBad {
		// As in Suricata the same packet may still bring what the other side sent.
		t.failed, t.failedAt, t.deaf[dir] = true, at.packet, true
		if t.reportable() || t.deaf[1-dir] {
			t.report(at, found)
		}
		return len(b), !t.decided
	}
	if v != recordShort && t.haveCertificate() {
		t.flags |= tlsDone
	}
	if t.flags&tlsDone != 0 || t.failed && t.reportable() {
		t.report(at, found)
	}
	return n, !t.decided
}

// haveCertificate reports whether the certificate was seen that ends the interesting part: the server's, or the client's if
// the server asked for it.
func (t *tlsStream) haveCertificate() bool {
	if t.flags&tlsNeedsClientCert != 0 {
		return t.side[ToServer].cert.named()
	}
	return t.side[ToClient].cert.named()
}

func (t *tlsStream) gap(Dir, int) bool {
	t.failed, t.deaf = true, [2]bool{true, true}
	return t.reportable()
}

func (t *tlsStream) datagram(Dir, []byte, at, func(*Event)) bool { return false }

func (t *tlsStream) end(time int64, found func(*Event)) {
	if !t.decided {
		t.report(at{time: time}, found)
	}
}

// broken reports whether the stream turned out not to be TLS: the Conn then looks at nothing of it any longer.
func (t *tlsStream) broken() bool { return t.failed && t.decided }

func (t *tlsStream) senseless() bool { return t.failed }

// close ends a direction. It ends both if the other sent nothing, and, as in Suricata, at the end of the flow (at no packet):
// what the other sent last, and was not acknowledged, is then not told.
func (t *tlsStream) close(dir Dir, at at, found func(*Event)) {
	t.closed[dir] = true
	if !t.decided && (t.closed[1-dir] || !t.side[1-dir].any || at.packet == 0) {
		t.report(at, found)
	}
}

func (t *tlsStream) cut(dir Dir, at at, found func(*Event)) {
	t.closed[dir] = true
	if !t.decided && t.closed[1-dir] {
		t.report(at, found)
	}
}

// record reads one record, or as much of it as can be.
func (t *tlsStream) record(dir Dir, b []byte) (n int, v recordState) {
	s := &t.side[dir]
	if !s.inside {
		if b[0]&0xc0 != 0 {
			return t.record2(s, b)
		}
		if s.version == ssl2 {
			t.setVersion(s, 0)
		}
		if len(b) < 5 {
			return 0, recordHeaderShort
		}
		if n, v = t.header(dir, b); v != recordRead || !s.inside {
			return n, v
		}
		b = b[n:]
	}
	if s.kind == tlsApplication {
		used := min(len(b), s.left)
		if used > 0 {
			t.application()
		}
		s.left -= used
		s.inside = s.left > 0
		return n + used, recordRead
	}
	if len(b) < s.length {
		return n, recordShort
	}
	s.inside = false
	if !t.content(dir, b[:s.length]) {
		return n, recordBad
	}
	return n + s.length, recordRead
}

// header reads the 5 bytes before a record of SSL 3 and TLS.
func (t *tlsStream) header(dir Dir, b []byte) (n int, v recordState) {
	s := &t.side[dir]
	before := s.version
	seen := tlsClientHelloSeen
	if dir == ToClient {
		seen = tlsServerHelloSeen
	}
	if t.flags&seen == 0 || s.version == 0 {
		t.setVersion(s, binary.BigEndian.Uint16(b[1:]))
	}
	s.kind, s.length = b[0], int(binary.BigEndian.Uint16(b[3:]))
	if s.kind < tlsChangeCipherSpec || s.kind > tlsHeartbeat {
		if before != tls10 && before != tls11 {
			return 0, recordBad
		}
		t.setVersion(s, before)
		return len(b), recordRead // as Suricata does: nothing of these bytes
	}
	if s.length == 0 || s.length > tlsRecordLimit || !tlsVersionKnown(s.version) {
		return 0, recordBad
	}
	s.inside, s.left = true, s.length
	return 5, recordRead
}

// settled reports whether all that an event tells is known: what comes after it in the same packet must not change it.
func (t *tlsStream) settled() bool { return t.flags&tlsDone != 0 || t.side[ToClient].cert.named() }

func (t *tlsStream) setVersion(s *tlsSide, v uint16) {
	if !t.settled() {
		s.version = v
	}
}

// application takes note of encrypted data: the handshake is over, unless they are data of the client before it.
func (t *tlsStream) application() {
	if t.flags&tlsEarlyData != 0 && t.flags&tlsServerHelloSeen == 0 {
		return
	}
	t.flags |= tlsDone
}

// content reads a whole record; false: nothing after it can be read.
func (t *tlsStream) content(dir Dir, b []byte) bool {
	switch t.side[dir].kind {
	case tlsChangeCipherSpec:
		t.flags |= tlsCipherSpecSeen
	case tlsHandshake:
		// After it messages are encrypted, except in TLS 1.3, where it means nothing before the ServerHello.
		if t.flags&tlsCipherSpecSeen != 0 {
			early := t.flags&tlsClientHelloSeen != 0 && t.side[ToServer].version > tls12 && t.flags&tlsServerHelloSeen == 0
			if !early {
				return true
			}
		}
		return len(b) >= 4 && t.messages(dir, b)
	case tlsHeartbeat:
		return t.beat(dir, b)
	}
	return true
}

// messages reads the handshake messages of a record.
func (t *tlsStream) messages(dir Dir, b []byte) bool {
	s := &t.side[dir]
	for len(b) > 0 {
		if s.message {
			n := min(s.msgLen-s.msgGot, len(b))
			s.keep(b[:n])
			b = b[n:]
			if s.msgGot == s.msgLen {
				msg := s.msg
				s.message, s.msg = false, nil
				t.handshake(dir, s.msgType, msg, s.msgLen)
			}
			continue
		}
		if len(b) < 4 {
			return false
		}
		kind, n := b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])
		b = b[4:]
		switch {
		case !tlsMessageKnown(kind):
			n = min(n, len(b))
		case n > len(b):
			s.message, s.msgType, s.msgLen, s.msgGot, s.msg = true, kind, n, 0, nil
			s.keep(b)
			return true
		case n > 0:
			t.handshake(dir, kind, b[:n], n)
		}
		b = b[n:]
	}
	return true
}

// keep adds to the message that goes over several records. Only those are kept that are read.
func (s *tlsSide) keep(b []byte) {
	s.msgGot += len(b)
	switch s.msgType {
	case tlsClientHello, tlsServerHello, tlsCertificate:
		s.msg = append(s.msg, b[:min(len(b), tlsMessageLimit-len(s.msg))]...)
	}
}

// handshake reads one message of n bytes, of which b are the first. When all is settled only a certificate of the client may
// still be awaited.
func (t *tlsStream) handshake(dir Dir, kind byte, b []byte, n int) {
	s := &t.side[dir]
	switch kind {
	case tlsClientHello, tlsServerHello:
		if t.settled() {
			return
		}
		t.hello(s, b[:min(len(b), helloLimit)], kind == tlsClientHello)
		if kind == tlsClientHello {
			t.flags |= tlsClientHelloSeen
		} else {
			t.flags |= tlsServerHelloSeen
		}
	case tlsCertificate:
		if !s.chain && t.flags&tlsDone == 0 {
			s.chain, s.cert = readChain(b, n)
		}
	case tlsCertificateRequest:
		if dir == ToClient {
			t.flags |= tlsNeedsClientCert
		}
	}
}

// beat follows heartbeats (RFC 6520): Suricata gives a stream up that sends wrong ones.
func (t *tlsStream) beat(dir Dir, b []byte) bool {
	if len(b) < 3 {
		return true
	}
	encrypted := t.flags&tlsCipherSpecSeen != 0
	if !encrypted && b[0] != 1 && b[0] != 2 {
		return false
	}
	mine, other := tlsHeartbeatClient, tlsHeartbeatServer
	if dir == ToClient {
		mine, other = other, mine
	}
	if t.flags&tlsHeartbeatOut == 0 {
		t.flags |= tlsHeartbeatOut | mine
		if encrypted {
			t.heartbeat = len(b)
			return true
		}
		return len(b)-3-int(binary.BigEndian.Uint16(b[1:])) >= 16 // the padding
	}
	if t.flags&mine != 0 {
		return false
	}
	t.flags &^= tlsHeartbeatOut | mine | other
	leak := encrypted && t.heartbeat > 0 && t.heartbeat < len(b)
	t.heartbeat = 0
	return !leak
}

// reportable reports whether the stream is one of which an event tells.
func (t *tlsStream) reportable() bool {
	c := t.side[ToClient].cert
	return c != nil && c.hasIssuer || t.flags&(tlsResumed|tlsWithoutCert) != 0
}

func (t *tlsStream) report(at at, found func(*Event)) {
	t.decided = true
	if t.reportable() {
		found(&Event{Type: "tls", Time: at.time, Packet: at.packet, Dir: at.dir, TxID: -1, Body: t.body()})
	}
	t.side = [2]tlsSide{} // nothing of it is needed again
}

func (t *tlsStream) body() []byte {
	client, server := &t.side[ToServer], &t.side[ToClient]
	b := make([]byte, 0, 1024)
	b = append(b, `"tls":{`...)
	if c := server.cert; c != nil {
		b = appendMember(b, "subject", c.subject)
		if c.hasIssuer {
			b = appendMember(b, "issuerdn", c.issuer)
		}
	}
	if server.cert == nil && t.flags&tlsResumed != 0 && t.flags&tlsServerHelloSeen != 0 && t.flags&tlsWithoutCert == 0 {
		b = append(b, `"session_resumed":true,`...)
	}
	if c := server.cert; c.named() {
		b = appendMember(b, "serial", c.serial)
		b = appendMember(b, "fingerprint", c.fingerprint)
	}
	if sni, _, _ := bytes.Cut(client.sni, []byte{0}); client.sni != nil && utf8.Valid(sni) {
		b = appendMember(b, "sni", string(sni))
	}
	b = appendMember(b, "version", tlsVersionName(server.version))
	if c := server.cert; c.named() {
		if c.notBefore.Unix() != 0 {
			b = appendMember(b, "notbefore", certTime(c.notBefore))
		}
		if c.notAfter.Unix() != 0 {
			b = appendMember(b, "notafter", certTime(c.notAfter))
		}
	}
	if client.ja3 != nil {
		b = append(appendJA3Object(b, "ja3", client.ja3Hash, client.ja3), ',')
	}
	if server.ja3 != nil {
		b = append(appendJA3Object(b, "ja3s", server.ja3Hash, server.ja3), ',')
	}
	if client.ja4 != "" {
		b = appendMember(b, "ja4", client.ja4)
	}
	if t.from != "" {
		b = appendMember(b, "from_proto", t.from)
	}
	b[len(b)-1] = '}' // the version is always there
	return b
}

// appendMember appends `"name":"value",`. The name needs no quoting, value is valid UTF-8.
func appendMember(b []byte, name, value string) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, `":`...)
	return append(lazyjson.AppendQuoted(b, value), ',')
}
