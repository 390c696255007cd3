package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// Versions of QUIC that differ in how they are read.
const (
	quicV1   = 1
	quicV2   = 0x6b3343cf // RFC 9369
	quicQ050 = 'Q'<<24 | '0'<<16 | '5'<<8 | '0'
)

// Salts of the keys of Initial packets: RFC 9001 section 5.2 and its drafts, RFC 9369 section 3.3.1.
const (
	saltV1      = "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
	saltV2      = "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"
	saltDraft29 = "\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99" // to 32
	saltDraft23 = "\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02" // to 28
	saltQ050    = "\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"
)

// quicSalt returns the salt of a version, "" if its Initial packets are not protected, or not in a way that is known.
func quicSalt(version uint32) string {
	switch {
	case version == quicV1, version == 0xff000021, version == 0xff000022:
		return saltV1
	case version == quicV2:
		return saltV2
	case version >= 0xff00001d && version <= 0xff000020:
		return saltDraft29
	case version >= 0xff000017 && version <= 0xff00001c, version == 0xfaceb002:
		return saltDraft23
	case version == quicQ050:
		return saltQ050
	}
	return ""
}

// quicKeys open the Initial packets of a connection.
type quicKeys struct{ side [2]quicKey } // of the packets of the client, and the server

type quicKey struct {
	header cipher.Block
	packet cipher.AEAD
	iv     [12]byte
}

// newQUICKeys derives the keys from the connection identifier that the client chose for the server in its first packet. It
// returns nil if packets of the version are not protected.
func newQUICKeys(version uint32, dcid []byte) *quicKeys {
	salt := quicSalt(version)
	if salt == "" {
		return nil
	}
	secret, err := hkdf.Extract(sha256.New, dcid, []byte(salt))
	if err != nil {
		return nil // only in FIPS mode
	}
	k := &quicKeys{}
	for dir, label := range []string{"client in", "server in"} {
		if k.side[dir], err = newQUICKey(version, expandLabel(secret, label, 32)); err != nil {
			return nil
		}
	}
	return k
}

func newQUICKey(version uint32, secret []byte) (k quicKey, err error) {
	prefix := "quic "
	if version == quicV2 {
		prefix = "quicv2 "
	}
	if k.header, err = aes.NewCipher(expandLabel(secret, prefix+"hp", 16)); err != nil {
		return k, err
	}
	block, err := aes.NewCipher(expandLabel(secret, prefix+"key", 16))
	if err != nil {
		return k, err
	}
	copy(k.iv[:], expandLabel(secret, prefix+"iv", 12))
	k.packet, err = cipher.NewGCM(block)
	return k, err
}

// expandLabel is HKDF-Expand-Label of TLS 1.3 (RFC 8446 section 7.1) with an empty context.
func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := make([]byte, 0, 4+len(label))
	info = append(info, byte(n>>8), byte(n), byte(len(label)))
	info = append(append(info, label...), 0)
	key, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		return make([]byte, n) // only in FIPS mode, or if n were above 8160
	}
	return key
}

// open removes the protection of a packet with a long header: b is all of it, its packet number begins at head. The payload is
// appended to dst. ok is false if it was not protected with this key.
func (k *quicKey) open(dst, b []byte, head int) (payload []byte, ok bool) {
	const maxNumber = 4 // bytes of a packet number
	if len(b) < head+maxNumber+aes.BlockSize {
		return nil, false
	}
	var mask [aes.BlockSize]byte
	k.header.Encrypt(mask[:], b[head+maxNumber:head+maxNumber+aes.BlockSize])
	first := b[0] ^ mask[0]&0x0f
	if b[0]&0x80 == 0 {
		first = b[0] ^ mask[0]&0x1f
	}
	n := int(first&3) + 1
	header := make([]byte, head+n)
	copy(header, b)
	header[0] = first
	number := uint64(0)
	for i := range n {
		header[head+i] ^= mask[1+i]
		number = number<<8 | uint64(header[head+i])
	}
	nonce := k.iv
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^number)
	payload, err := k.packet.Open(dst, nonce[:], b[head+n:], header)
	return payload, err == nil
}
