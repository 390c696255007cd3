package app

import (
	"crypto/sha1"
	"strings"
	"time"
)

// certificate is what events tell of the first certificate of a chain.
type certificate struct {
	subject, issuer     string // names as certName has them
	hasIssuer           bool   // false: the issuer cannot be shown, and nothing below is known
	serial              string // 0A:1B
	fingerprint         string // SHA-1 of it all, 0a:1b
	notBefore, notAfter time.Time
}

// named reports whether there is a certificate with subject and issuer.
func (c *certificate) named() bool { return c != nil && c.hasIssuer }

// readChain reads a Certificate message of TLS up to 1.2 of n bytes, of which b are the first. ok: it has the length that it
// says. The certificate is the first that can be read, or nil.
func readChain(b []byte, n int) (ok bool, c *certificate) {
	if len(b) < 3 {
		return false, nil
	}
	length := be24(b)
	if 3+length > n {
		return false, nil
	}
	for b = b[3:min(len(b), 3+length)]; len(b) >= 3; {
		size := be24(b)
		if b = b[3:]; len(b) < size {
			break
		}
		if c, ok := readCertificate(b[:size]); ok {
			return true, c
		}
		b = b[size:]
	}
	return true, nil
}

func be24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// readCertificate reads an X.509 certificate (RFC 5280). It is as tolerant as the reader in Suricata: fields have to be there
// and of their type, and values are not judged. ok: that is so. c is nil if its subject cannot be shown.
func readCertificate(b []byte) (c *certificate, ok bool) {
	whole, ok := (&der{b}).sequence()
	if !ok {
		return nil, false
	}
	tbs, ok := whole.sequence()
	if !ok || !whole.algorithm() || !whole.bitString() {
		return nil, false
	}
	v, found, ok := tbs.context(0)
	if !ok {
		return nil, false
	}
	if found {
		if number, ok := v.plain(tagInteger); !ok || !small(number) {
			return nil, false
		}
	}
	serial, ok := tbs.take(tagInteger)
	if !ok || !tbs.algorithm() {
		return nil, false
	}
	issuer, ok := tbs.sequence()
	if !ok {
		return nil, false
	}
	validity, ok := tbs.sequence()
	if !ok {
		return nil, false
	}
	c = &certificate{}
	if c.notBefore, ok = validity.time(); !ok {
		return nil, false
	}
	if c.notAfter, ok = validity.time(); !ok {
		return nil, false
	}
	subject, ok := tbs.sequence()
	if !ok || !tbs.publicKey() || !tbs.extensions() {
		return nil, false
	}
	if c.subject = certName(subject); strings.IndexByte(c.subject, 0) >= 0 {
		return nil, true // Suricata stops at such a chain as well
	}
	if c.issuer = certName(issuer); strings.IndexByte(c.issuer, 0) >= 0 {
		c.issuer = ""
		return c, true
	}
	c.hasIssuer = true
	c.serial = colons(serial, "0123456789ABCDEF")
	sum := sha1.Sum(b)
	c.fingerprint = colons(sum[:], lowerHex)
	return c, true
}

// small reports whether a DER integer fits into 32 bits, unsigned.
func small(b []byte) bool {
	if len(b) == 0 || b[0]&0x80 != 0 {
		return false
	}
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return len(b) <= 4
}

// publicKey passes over the SubjectPublicKeyInfo.
func (d *der) publicKey() bool {
	key, ok := d.sequence()
	return ok && key.algorithm() && key.bitString()
}

// extensions passes over the unique identifiers and the extensions of a certificate; these have to be well formed.
func (d *der) extensions() bool {
	for _, tag := range []uint32{1, 2} {
		if id, found, ok := d.context(tag); !ok || found && !id.bitString() {
			return false
		}
	}
	if len(d.b) == 0 {
		return true
	}
	e, _, ok := d.head() // Suricata does not look at its length, if it is not too long
	if !ok || e.tag != 3 {
		return false
	}
	list, ok := d.sequence()
	if !ok || len(d.b) > 0 {
		return false
	}
	for len(list.b) > 0 {
		ext, ok := list.sequence()
		if !ok {
			return false
		}
		if _, ok := ext.oid(); !ok {
			return false
		}
		if critical, ok := ext.plain(tagBoolean); ok && len(critical) != 1 {
			return false
		}
		if _, ok := ext.plain(tagOctetString); !ok {
			return false
		}
	}
	return true
}

// colons returns b in hexadecimal with colons between the bytes.
func colons(b []byte, digits string) string {
	var s strings.Builder
	s.Grow(3 * len(b))
	for i, c := range b {
		if i > 0 {
			s.WriteByte(':')
		}
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// certTime is how EVE has the dates of certificates.
func certTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }
