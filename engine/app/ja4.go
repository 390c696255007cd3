package app

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// ja4 collects what the JA4 fingerprint of a ClientHello is made of (FoxIO, JA4 technical details).
type ja4 struct {
	quic       bool
	legacy     uint16 // version of the hello itself; 0 where it does not count
	version    uint16 // highest of the extension supported_versions; 0 without
	domain     bool   // an extension server_name
	alpn       [2]byte
	ciphers    []uint16
	extensions []uint16 // without server_name and ALPN
	count      int      // of extensions, with them
	signatures []uint16
}

func (j *ja4) addCipher(v uint16) {
	if !grease(v) {
		j.ciphers = append(j.ciphers, v)
	}
}

func (j *ja4) addExtension(v uint16) {
	if grease(v) {
		return
	}
	j.count++
	switch v {
	case extServerName:
		j.domain = true
	case extALPN:
	default:
		j.extensions = append(j.extensions, v)
	}
}

func (j *ja4) addSignature(v uint16) {
	if !grease(v) {
		j.signatures = append(j.signatures, v)
	}
}

func (j *ja4) addVersion(v uint16) {
	if !grease(v) {
		j.version = max(j.version, v)
	}
}

// setALPN takes the first protocol that the client offers: its first and last character, or those of its hexadecimal form
// where one of them is neither letter nor digit.
func (j *ja4) setALPN(name []byte) {
	if len(name) == 0 || len(name) == 2 && grease(uint16(name[0])<<8|uint16(name[1])) {
		return
	}
	first, last := name[0], name[len(name)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		first, last = lowerHex[first>>4], lowerHex[last&15]
	}
	j.alpn = [2]byte{first, last}
}

const lowerHex = "0123456789abcdef"

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// sum returns the fingerprint, 36 characters. suricata: as Suricata 7.0.10 has it where it deviates from the specification:
// empty lists are hashed, and an underscore stands before signature algorithms that are not there.
func (j *ja4) sum(suricata bool) string {
	out := make([]byte, 0, 36)
	out = append(out, pick(j.quic, 'q', 't'))
	out = append(out, ja4Version(j.tlsVersion(suricata))...)
	out = append(out, pick(j.domain, 'd', 'i'))
	out = appendTwo(out, len(j.ciphers))
	out = appendTwo(out, j.count)
	if j.alpn == [2]byte{} {
		out = append(out, "00"...)
	} else {
		out = append(out, j.alpn[:]...)
	}
	slices.Sort(j.ciphers)
	slices.Sort(j.extensions)
	second := appendHexList(nil, j.ciphers)
	third := appendHexList(nil, j.extensions)
	if suricata || len(j.signatures) > 0 {
		third = append(third, '_')
	}
	third = appendHexList(third, j.signatures)
	out = append(out, '_')
	out = appendShort(out, second, !suricata && len(j.ciphers) == 0)
	out = append(out, '_')
	out = appendShort(out, third, !suricata && len(j.extensions) == 0)
	return string(out)
}

// tlsVersion is the highest that the client supports. Suricata 7.0.10 lets the version of the hello count as well.
func (j *ja4) tlsVersion(suricata bool) uint16 {
	if suricata {
		return max(j.version, j.legacy)
	}
	if j.version != 0 {
		return j.version
	}
	return j.legacy
}

func ja4Version(v uint16) string {
	switch v {
	case tls13:
		return "13"
	case tls12:
		return "12"
	case tls11:
		return "11"
	case tls10:
		return "10"
	case ssl3:
		return "s3"
	case ssl2:
		return "s2"
	}
	return "00"
}

func pick(yes bool, a, b byte) byte {
	if yes {
		return a
	}
	return b
}

func appendTwo(dst []byte, n int) []byte {
	n = min(n, 99)
	return append(dst, '0'+byte(n/10), '0'+byte(n%10))
}

func appendHexList(dst []byte, list []uint16) []byte {
	dst = slices.Grow(dst, 5*len(list))
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, lowerHex[v>>12], lowerHex[v>>8&15], lowerHex[v>>4&15], lowerHex[v&15])
	}
	return dst
}

// appendShort appends the first 12 hexadecimal digits of the SHA-256 of s, or zeros if it is of an empty list.
func appendShort(dst, s []byte, empty bool) []byte {
	if empty {
		return append(dst, strings.Repeat("0", 12)...)
	}
	sum := sha256.Sum256(s)
	return hex.AppendEncode(dst, sum[:6])
}
