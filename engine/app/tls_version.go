package app

import "fmt"

// Versions as hellos and records say them; ssl2 by convention.
const (
	ssl2       = 0x0200
	ssl3       = 0x0300
	tls10      = 0x0301
	tls11      = 0x0302
	tls12      = 0x0303
	tls13      = 0x0304
	tls13Early = 0x7f01 // drafts below 16, which cannot be told apart
)

// tlsVersionKnown reports whether v is a version of SSL 3 or TLS that was ever deployed, drafts of TLS 1.3 included.
func tlsVersionKnown(v uint16) bool {
	switch v {
	case ssl3, tls10, tls11, tls12, tls13, tls13Early, 0xfb14, 0xfb15, 0xfb16, 0xfb17, 0xfb1a:
		return true
	}
	return v >= 0x7f10 && v <= 0x7f1c
}

// tlsVersionName is how EVE has the version of a session.
func tlsVersionName(v uint16) string {
	switch v {
	case 0:
		return "UNDETERMINED"
	case ssl2:
		return "SSLv2"
	case ssl3:
		return "SSLv3"
	case tls10:
		return "TLSv1"
	case tls11:
		return "TLS 1.1"
	case tls12:
		return "TLS 1.2"
	case tls13:
		return "TLS 1.3"
	case tls13Early:
		return "TLS 1.3 draft-<16"
	}
	switch {
	case v>>8 == 0xfb && tlsVersionKnown(v):
		return fmt.Sprintf("TLS 1.3 draft-%d-fb", v&0xff)
	case tlsVersionKnown(v):
		return fmt.Sprintf("TLS 1.3 draft-%d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", v)
}

// tlsMessageKnown reports whether kind is a handshake message up to TLS 1.2, which may go over several records.
func tlsMessageKnown(kind byte) bool {
	switch kind {
	case 0, tlsClientHello, tlsServerHello, 4, tlsCertificate, 12, tlsCertificateRequest, 14, 15, 16, 20, 21, 22:
		return true
	}
	return false
}
