package wire

import (
	"crypto/sha512"
	"encoding/hex"
)

// ForwardDigest is the proof of the Fluent forward protocol's handshake that its sender knows a secret: the SHA-512, in hex, of
// the parts behind each other. Of a shared key: salt, sender's host, nonce, key; of a user: salt, name, password.
func ForwardDigest(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}
