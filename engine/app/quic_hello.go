package app

import "encoding/binary"

// helloState is what became of the bytes of a hello.
type helloState int

const (
	helloRead helloState = iota
	helloShort
	helloBad
)

// quicHello is a ClientHello or ServerHello in CRYPTO frames.
type quicHello struct {
	client     bool
	version    uint16
	ciphers    []byte // one of the server, many of the client; 2 bytes each
	extensions []byte
	bare       bool // it has no extensions at all
}

// readQUICHello reads the handshake message that b begins with. Short: it goes on behind b. Bad: it is another message, or
// broken.
func readQUICHello(b []byte) (h quicHello, state helloState) {
	if len(b) < 4 || len(b) < 4+be24(b[1:]) {
		return h, helloShort
	}
	kind := b[0]
	b = b[4 : 4+be24(b[1:])]
	if kind != tlsClientHello && kind != tlsServerHello {
		return h, helloBad
	}
	h.client = kind == tlsClientHello
	if len(b) < 2 {
		return h, helloShort
	}
	h.version = binary.BigEndian.Uint16(b)
	if !h.client && (h.version < tls10 || h.version > tls12) {
		return h, helloBad
	}
	if len(b) < 2+32+1 {
		return h, helloShort
	}
	n := int(b[34]) // bytes of the session
	if n > 32 {
		return h, helloBad
	}
	if b = b[35:]; len(b) < n+2 {
		return h, helloShort
	}
	b = b[n:]
	if !h.client {
		if len(b) < 3 {
			return h, helloShort
		}
		h.ciphers, b = b[:2], b[3:]
	} else {
		n = int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n%2 != 0 || len(b) < n {
			return h, helloBad
		}
		if h.ciphers, b = b[:n], b[n:]; len(b) < 1 {
			return h, helloShort
		}
		if n = 1 + int(b[0]); len(b) < n {
			return h, helloBad
		}
		b = b[n:]
	}
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		h.bare = true
		return h, helloRead
	}
	h.extensions = b[2 : 2+int(binary.BigEndian.Uint16(b))]
	return h, helloRead
}

// quicExtension is an extension of a hello whose length, and form where it has one, are right.
type quicExtension struct {
	kind uint16 // 0xfafa for all of GREASE
	list []byte // of its values, without length
}

// nextExtension takes the first extension of b. ok is false at the end, and where one is broken: what follows is not read.
func nextExtension(b *[]byte) (e quicExtension, ok bool) {
	if len(*b) < 4 {
		return e, false
	}
	n := int(binary.BigEndian.Uint16((*b)[2:]))
	if len(*b) < 4+n {
		return e, false
	}
	e.kind = binary.BigEndian.Uint16(*b)
	data := (*b)[4 : 4+n]
	*b = (*b)[4+n:]
	if e.kind&0x0f0f == 0x0a0a {
		e.kind = 0xfafa
		return e, true
	}
	e.list, ok = extensionList(e.kind, data)
	return e, ok
}

// extensionList checks the form of an extension, and returns the list in it for those that are one list.
func extensionList(kind uint16, b []byte) (list []byte, ok bool) {
	n := len(b)
	switch kind {
	case extServerName:
		if n == 0 {
			return nil, true
		}
		return prefixed(b, 2)
	case extSupportedGroups:
		list, ok = prefixed(b, 2)
		return list, ok && len(list)%2 == 0
	case extSignatureAlgorithms, extALPN, 48: // 48: oid_filters
		return prefixed(b, 2)
	case extPointFormats, 45, 0xff01: // psk_key_exchange_modes, renegotiation_info
		return prefixed(b, 1)
	case 1, 15: // max_fragment_length, heartbeat
		return b, n >= 1
	case 28: // record_size_limit
		return b, n >= 2
	case 22, 23, 49, 13172: // encrypt_then_mac, extended_master_secret, post_handshake_auth, next_protocol_negotiation
		return b, n == 0
	case extEarlyData:
		return b, n == 0 || n >= 4
	case extSupportedVersions:
		if n == 2 {
			return b, true // of a server
		}
		if n == 0 || n%2 == 0 {
			return nil, false
		}
		return b[1:], true
	case 0xffce: // encrypted_server_name
		if n < 4 {
			return nil, false
		}
		rest := b[4:]
		for range 3 {
			field, ok := prefixed(rest, 2)
			if !ok {
				return nil, false
			}
			rest = rest[2+len(field):]
		}
	}
	return b, true
}

// prefixed returns what follows a length of so many bytes, 1 or 2.
func prefixed(b []byte, size int) ([]byte, bool) {
	if len(b) < size {
		return nil, false
	}
	n := int(b[0])
	if size == 2 {
		n = n<<8 | int(b[1])
	}
	if len(b) < size+n {
		return nil, false
	}
	return b[size : size+n], true
}
