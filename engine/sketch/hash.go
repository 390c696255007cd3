// Package sketch keeps statistics of streams in bounded memory: distinct counts, heavy hitters, frequencies, quantiles,
// sliding counts and caches. Every type belongs to one goroutine. What is estimated, and how far it may be off, stands
// with each type; what is not called an estimate is exact.
package sketch

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// The constants of xxHash64, from its specification.
const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

// Hash returns xxHash64 of text with the given seed (XXH64, github.com/Cyan4973/xxHash, doc/xxhash_spec.md). It is the
// same on every machine.
func Hash(text string, seed uint64) uint64 {
	p := unsafe.Slice(unsafe.StringData(text), len(text))
	var h uint64
	if len(p) >= 32 {
		lanes := [4]uint64{seed + prime1, seed + prime2, seed, seed - prime1}
		lanes[0] += prime2
		for ; len(p) >= 32; p = p[32:] {
			for i := range lanes {
				lanes[i] = round(lanes[i], binary.LittleEndian.Uint64(p[8*i:]))
			}
		}
		h = bits.RotateLeft64(lanes[0], 1) + bits.RotateLeft64(lanes[1], 7) + bits.RotateLeft64(lanes[2], 12) + bits.RotateLeft64(lanes[3], 18)
		for _, v := range lanes {
			h = (h^round(0, v))*prime1 + prime4
		}
	} else {
		h = seed + prime5
	}
	h += uint64(len(text))
	for ; len(p) >= 8; p = p[8:] {
		h ^= round(0, binary.LittleEndian.Uint64(p))
		h = bits.RotateLeft64(h, 27)*prime1 + prime4
	}
	if len(p) >= 4 {
		h ^= uint64(binary.LittleEndian.Uint32(p)) * prime1
		h = bits.RotateLeft64(h, 23)*prime2 + prime3
		p = p[4:]
	}
	for _, b := range p {
		h ^= uint64(b) * prime5
		h = bits.RotateLeft64(h, 11) * prime1
	}
	h ^= h >> 33
	h *= prime2
	h ^= h >> 29
	h *= prime3
	return h ^ h>>32
}

func round(lane, input uint64) uint64 {
	return bits.RotateLeft64(lane+input*prime2, 31) * prime1
}
