package nats

import "unsafe"

// unsafeBytes returns the bytes of s, which nobody may change: what they are handed to copies them.
func unsafeBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
