package app

import (
	"bytes"
	"encoding/binary"
)

// Extensions of a hello that are looked into (https://www.iana.org/assignments/tls-extensiontype-values).
const (
	extServerName          = 0
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extSessionTicket       = 35
	extEarlyData           = 42
	extSupportedVersions   = 43
)

// helloLimit bounds the hellos that are read, in bytes; real ones have 0.2 to 4 KiB.
const helloLimit = 32 << 10

// maxSNI is the longest server name that is believed: that of a domain name.
const maxSNI = 255

// hello reads a ClientHello or ServerHello that the side s sent. What comes before a fault in it counts, as in Suricata: a
// hello that breaks off has a version, and perhaps a JA3 string without hash.
func (t *tlsStream) hello(s *tlsSide, b []byte, client bool) {
	h := helloReader{t: t, s: s, client: client}
	switch {
	case !client || !t.cfg.JA4:
	case s.ja4 == "":
		h.ja4 = &ja4{}
	default:
		h.ja4 = s.ja4Hello // Suricata adds a second hello to the first, after a HelloRetryRequest
	}
	if t.cfg.JA3 && s.ja3Hash == "" {
		h.ja3 = true
	}
	if h.read(b) && h.ja3 {
		s.ja3Hash = ja3Hash(s.ja3)
	}
	if h.ja4 != nil {
		s.ja4 = h.ja4.sum(t.cfg.SuricataJA)
		if t.cfg.SuricataJA {
			s.ja4Hello = h.ja4
		}
	}
}

// helloReader reads one hello into its tlsSide.
type helloReader struct {
	t       *tlsStream
	s       *tlsSide
	client  bool // it is a ClientHello
	ja3     bool // add to the JA3 string of the side
	ja4     *ja4 // nil: not wanted
	groups  []byte
	formats []byte
}

// read reports whether the hello is whole up to its extensions, and these are as long as they say.
func (h *helloReader) read(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	h.version(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < 32 {
		return false
	}
	b = b[32:] // the random
	// Until draft 22 of TLS 1.3 a ServerHello had neither session nor compression.
	short := !h.client && h.t.flags&tlsWithoutCert != 0
	if !short {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return false
		}
		h.session(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	n := 2
	if h.client {
		if len(b) < 2 {
			return false
		}
		n, b = int(binary.BigEndian.Uint16(b)), b[2:]
	}
	if n%2 != 0 || len(b) < n {
		return false
	}
	h.ciphers(b[:n])
	b = b[n:]
	if !short {
		if len(b) < 1 {
			return false
		}
		n = 1
		if h.client {
			n += int(b[0])
		}
		if len(b) < n {
			return false
		}
		b = b[n:]
	}
	return h.extensions(b)
}

func (h *helloReader) version(v uint16) {
	h.s.version = v
	if h.ja4 != nil {
		h.ja4.legacy = v
	}
	// Drafts 1 to 21 of TLS 1.3 say so here, not in an extension.
	if !h.client && (v == tls13 || v>>8 == 0x7f) {
		h.t.flags |= tlsWithoutCert
	}
	if v == tls13 || v >= 0x7f01 && v < 0x7f10 {
		h.s.version = tls13Early
	}
	if h.ja3 && h.s.ja3 == nil {
		h.s.ja3 = appendJA3(nil, v)
	}
}

// session takes the session that the client wants to resume, or that the server begins or resumes.
func (h *helloReader) session(id []byte) {
	if len(id) == 0 || h.s.session != nil {
		return
	}
	h.s.session = bytes.Clone(id)
	if !h.client && h.s == &h.t.side[ToClient] && bytes.Equal(id, h.t.side[ToServer].session) {
		h.t.flags |= tlsResumed
	}
}

func (h *helloReader) ciphers(b []byte) {
	var list []byte
	for ; len(b) > 1; b = b[2:] {
		v := binary.BigEndian.Uint16(b)
		if grease(v) {
			continue
		}
		if h.ja4 != nil {
			h.ja4.addCipher(v)
		}
		if h.ja3 {
			list = appendJA3(list, v)
		}
	}
	if h.ja3 {
		h.s.ja3 = append(append(h.s.ja3, ','), list...)
	}
}

// extensions reports false if one is longer than the hello: such a hello has no JA3 hash.
func (h *helloReader) extensions(b []byte) bool {
	var list []byte
	if len(b) >= 2 {
		end := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < end {
			return false
		}
		for done := 0; done < end; {
			if len(b) < 4 {
				return false
			}
			kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
			if b = b[4:]; len(b) < n {
				return false
			}
			used, ok := h.extension(kind, b[:n])
			if !ok {
				break // what follows cannot be trusted; what came before stands
			}
			b = b[used:]
			if h.ja3 && !grease(kind) {
				list = appendJA3(list, kind)
			}
			if h.ja4 != nil {
				h.ja4.addExtension(kind)
			}
			done += n + 4
		}
	}
	if h.ja3 {
		h.s.ja3 = append(append(h.s.ja3, ','), list...)
		if h.client {
			h.s.ja3 = append(append(h.s.ja3, ','), h.groups...)
			h.s.ja3 = append(append(h.s.ja3, ','), h.formats...)
		}
	}
	return true
}

// extension reads one extension. used is what Suricata takes for its length: less than that of b if a list inside it is
// shorter, and then the rest is read as the next extension.
func (h *helloReader) extension(kind uint16, b []byte) (used int, ok bool) {
	if len(b) == 0 && kind != extSessionTicket && kind != extEarlyData {
		return 0, true
	}
	switch kind {
	case extServerName:
		return h.serverName(b)
	case extSupportedGroups:
		return h.supportedGroups(b)
	case extPointFormats:
		n := int(b[0])
		if len(b) < 1+n {
			return 0, false
		}
		if h.ja3 && h.client {
			for _, v := range b[1 : 1+n] {
				h.formats = appendJA3(h.formats, uint16(v))
			}
		}
		return 1 + n, true
	case extSignatureAlgorithms:
		return h.signatureAlgorithms(b)
	case extALPN:
		return len(b), h.protocols(b)
	case extEarlyData:
		if h.client {
			h.t.flags |= tlsEarlyData
		}
	case extSessionTicket:
		if h.client {
			h.t.flags |= tlsResumed // unless the server sends a certificate
		}
	case extSupportedVersions:
		return h.supportedVersions(b)
	}
	return len(b), true
}

func (h *helloReader) serverName(b []byte) (used int, ok bool) {
	if len(b) < 5 || b[2] != 0 { // length of the list, kind of name, length of the name
		return 0, false
	}
	n := int(binary.BigEndian.Uint16(b[3:]))
	if n == 0 || n > maxSNI || len(b) < 5+n {
		return 0, false
	}
	if h.s.sni == nil {
		h.s.sni = bytes.Clone(b[5 : 5+n])
	}
	return 5 + n, true
}

func (h *helloReader) supportedGroups(b []byte) (used int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return 0, false
	}
	if !h.ja3 || !h.client {
		return 2 + n, true
	}
	for used = 2; used < 2+n; used += 2 {
		if len(b) < used+2 {
			return 0, false
		}
		if v := binary.BigEndian.Uint16(b[used:]); !grease(v) {
			h.groups = appendJA3(h.groups, v)
		}
	}
	return used, true
}

func (h *helloReader) signatureAlgorithms(b []byte) (used int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n%2 != 0 || len(b) < 2+n {
		return 0, false
	}
	if h.ja4 != nil {
		for i := 2; i < 2+n; i += 2 {
			h.ja4.addSignature(binary.BigEndian.Uint16(b[i:]))
		}
	}
	return 2 + n, true
}

// protocols reads the names of ALPN.
func (h *helloReader) protocols(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; len(b) < n {
		return false
	}
	if h.ja4 == nil {
		return true
	}
	for i := 0; i < n; {
		name := int(b[i])
		first := i == 0
		if i++; len(b) < i+name {
			return false
		}
		if i+name > n {
			break
		}
		if first {
			h.ja4.setALPN(b[i : i+name])
		}
		i += name
	}
	return true
}

// supportedVersions is where TLS 1.3 says its version.
func (h *helloReader) supportedVersions(b []byte) (used int, ok bool) {
	if !h.client {
		if len(b) < 2 {
			return 0, false
		}
		v := binary.BigEndian.Uint16(b)
		if h.t.flags&tlsOffersVersions != 0 && v > tls12 {
			h.t.flags |= tlsWithoutCert
		}
		h.s.version = v
		return 2, true
	}
	n := int(b[0])
	if n < 2 || len(b) < 1+n {
		return 0, false
	}
	chosen := false
	for i := 1; i+1 <= n; i += 2 {
		v := binary.BigEndian.Uint16(b[i:])
		first := !chosen && tlsVersionKnown(v)
		if first {
			chosen, h.s.version = true, v
		}
		if h.ja4 != nil && (first || !h.t.cfg.SuricataJA) {
			h.ja4.addVersion(v)
		}
	}
	h.t.flags |= tlsOffersVersions
	return 1 + n, true
}
