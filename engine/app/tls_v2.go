package app

import "encoding/binary"

// Messages of SSL 2 (draft-hickman-netscape-ssl-00).
const (
	ssl2ClientHello = 1
	ssl2ServerHello = 4
)

// record2 reads a record of SSL 2: the hello of clients that offer it besides SSL 3 or TLS, or a session in it. Events tell of
// the former only.
func (t *tlsStream) record2(s *tlsSide, b []byte) (n int, v recordState) {
	t.setVersion(s, ssl2)
	head, mask := 3, byte(0x3f) // with padding
	if b[0]&0x80 != 0 {
		head, mask = 2, 0x7f
	}
	if len(b) < head+1 {
		return 0, recordHeaderShort
	}
	length := int(b[0]&mask)<<8 | int(b[1])
	if length == 0 {
		return 0, recordBad
	}
	if len(b) < head+length {
		return 0, recordShort
	}
	switch b[head] {
	case ssl2ClientHello:
		if len(b) < head+1+6 { // a hello has so much, even if its length says less
			return 0, recordShort
		}
		t.setVersion(s, binary.BigEndian.Uint16(b[head+1:]))
		t.flags |= tlsClientHelloSeen
	case ssl2ServerHello:
		t.flags |= tlsServerHelloSeen
	}
	return head + length, recordRead
}
