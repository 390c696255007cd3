package app

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"
)

// grease reports whether v is one of the values that clients throw in to keep servers tolerant (RFC 8701): 0x0a0a, 0x1a1a ...
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// appendJA3 appends one number to a list of a JA3 string.
func appendJA3(list []byte, v uint16) []byte {
	if len(list) > 0 {
		list = append(list, '-')
	}
	return strconv.AppendUint(list, uint64(v), 10)
}

// ja3Hash is the MD5 of a JA3 string, in hexadecimal.
func ja3Hash(s []byte) string {
	sum := md5.Sum(s)
	return hex.EncodeToString(sum[:])
}

// appendJA3Object appends `"name":{"hash":"...","string":"..."}`. A hello that broke off has a string without a hash.
func appendJA3Object(dst []byte, name, hash string, s []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":{`...)
	if hash != "" {
		dst = append(dst, `"hash":"`...)
		dst = append(dst, hash...)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"string":"`...)
	dst = append(dst, s...)
	return append(dst, `"}`...)
}
