package luabind

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/sketch"
)

// hashModule is about bytes: Lua strings hold any.
func hashModule() module {
	text := func(f func(text string) string) lua.LGFunction {
		return func(L *lua.LState) int { return pushText(L, f(str(L, 1))) }
	}
	number := func(f func(text string) uint32) lua.LGFunction {
		return func(L *lua.LState) int { return pushNumber(L, float64(f(str(L, 1)))) }
	}
	return module{
		Name: "hash",
		Doc: "Hashes and encodings of strings. Cryptographic ones (md5, sha1, sha256, hmac_sha256) are for fingerprints and pseudonyms, the short ones for keys, sampling and partitions. " +
			"64-bit values are hexadecimal text, because Lua's numbers do not hold them. A number is hashed as it prints; nil raises an error.",
		Funcs: []hostFunc{
			{"md5", "md5(text) -> text", "MD5 as 32 hexadecimal digits.", `assert(hash.md5("abc") == "900150983cd24fb0d6963f7d28e17f72")`, text(func(s string) string {
				sum := md5.Sum([]byte(s))
				return hex.EncodeToString(sum[:])
			})},
			{"sha1", "sha1(text) -> text", "SHA-1 as 40 hexadecimal digits.", `assert(hash.sha1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")`, text(func(s string) string {
				sum := sha1.Sum([]byte(s))
				return hex.EncodeToString(sum[:])
			})},
			{"sha256", "sha256(text) -> text", "SHA-256 as 64 hexadecimal digits.", `assert(#hash.sha256("abc") == 64)`, text(func(s string) string {
				sum := sha256.Sum256([]byte(s))
				return hex.EncodeToString(sum[:])
			})},
			{"hmac_sha256", "hmac_sha256(key, text) -> text",
				"HMAC-SHA-256 (RFC 2104) as 64 hexadecimal digits: a pseudonym that only the owner of key can link.", `assert(#hash.hmac_sha256("key", "10.0.0.1") == 64)`, func(L *lua.LState) int {
					m := hmac.New(sha256.New, []byte(str(L, 1)))
					m.Write([]byte(str(L, 2)))
					return pushText(L, hex.EncodeToString(m.Sum(nil)))
				}},
			{"crc32", "crc32(text) -> n", "CRC-32 (IEEE, as in zip and gzip), 0 to 4294967295.", `assert(hash.crc32("123456789") == 0xcbf43926)`,
				number(func(s string) uint32 { return crc32.ChecksumIEEE([]byte(s)) })},
			{"fnv1a", "fnv1a(text) -> n", "FNV-1a with 32 bits, 0 to 4294967295.", `assert(hash.fnv1a("a") == 0xe40c292c)`, number(func(s string) uint32 {
				h := fnv.New32a()
				h.Write([]byte(s))
				return h.Sum32()
			})},
			{"murmur2", "murmur2(text) -> n", "Murmur2 as Kafka's default partitioner computes it, 0 to 2147483647: the partition of a key is murmur2(key) % partitions.",
				`assert(hash.murmur2("21") == 1173551340)`, number(func(s string) uint32 { return murmur2(s) & 0x7fffffff })},
			{"xxh64", "xxh64(text [, seed]) -> text", "xxHash64 as 16 hexadecimal digits: the fastest here. seed is a whole number from 0 to 2^53, default 0.",
				`assert(hash.xxh64("") == "ef46db3751d8e999")`, func(L *lua.LState) int {
					seed := 0.0
					if L.Get(2) != lua.LNil {
						seed = num(L, 2)
					}
					if !(seed >= 0 && seed <= 1<<53) || seed != math.Floor(seed) {
						L.ArgError(2, "seed expected, a whole number from 0 to 2^53")
					}
					return pushText(L, fmt.Sprintf("%016x", sketch.Hash(str(L, 1), uint64(seed))))
				}},
			{"bucket", "bucket(text, n) -> 0 .. n-1", "The bucket that text falls in of n equally likely ones (1 to 2^31), always the same: bucket(flow_id, 100) == 0 keeps 1 % of flows.",
				`assert(hash.bucket("a", 10) < 10)`, func(L *lua.LState) int {
					n := num(L, 2)
					if !(n >= 1 && n <= 1<<31) || n != math.Floor(n) {
						L.ArgError(2, "buckets expected, a whole number from 1 to 2^31")
					}
					return pushNumber(L, float64((sketch.Hash(str(L, 1), 0)>>32)*uint64(n)>>32))
				}},
			{"hex", "hex(text) -> text", "Two hexadecimal digits per byte, in lower case.", `assert(hash.hex("az") == "617a")`,
				text(func(s string) string { return hex.EncodeToString([]byte(s)) })},
			{"unhex", "unhex(text) -> text | nil, message", "The bytes that hexadecimal digits stand for; spaces and colons between bytes are skipped.",
				`assert(hash.unhex("61:7A") == "az" and hash.unhex("6") == nil)`, func(L *lua.LState) int {
					b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(str(L, 1)))
					if err != nil {
						return failed(L, err)
					}
					return pushText(L, string(b))
				}},
			{"base64", "base64(text) -> text", "Base64 with padding (RFC 4648).", `assert(hash.base64("ab") == "YWI=")`,
				text(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })},
			{"unbase64", "unbase64(text) -> text | nil, message", "The bytes that base64 stands for: alert.payload and packet of EVE. The URL alphabet, missing padding and line ends are accepted.",
				`assert(hash.unbase64("YWI=") == "ab" and hash.unbase64("YWI") == "ab" and hash.unbase64("!") == nil)`, func(L *lua.LState) int {
					s := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(str(L, 1)), "=")
					b, err := base64.RawStdEncoding.DecodeString(s)
					if err != nil {
						return failed(L, err)
					}
					return pushText(L, string(b))
				}},
		},
	}
}

// murmur2 is the 32-bit Murmur2 of Kafka's Java client, with its seed.
func murmur2(s string) uint32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		k := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for i := len(s) - 1; i >= 0; i-- {
		h ^= uint32(s[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
