package domain

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// publicsuffix allocates on each call, so the answers for names seen last are kept: a name is found again in 20 ns
// instead of 150 (BenchmarkRegistered). A slot is replaced by whatever name hashes to it; that bounds the memory.
var (
	known     [4096]atomic.Pointer[suffixOf]
	knownSeed = maphash.MakeSeed()
)

// suffixOf is the answer for one name.
type suffixOf struct {
	host    string
	at      int
	section Section
}

// maxKnown is the longest name in bytes that is kept: DNS has no longer ones.
const maxKnown = 253

// suffixAt returns where the public suffix of a normal form begins; 0 if all of it is one.
func suffixAt(host string) (at int, section Section) {
	if len(host) > maxKnown {
		return lookUp(host)
	}
	slot := &known[maphash.String(knownSeed, host)%uint64(len(known))]
	if k := slot.Load(); k != nil && k.host == host {
		return k.at, k.section
	}
	at, section = lookUp(host)
	slot.Store(&suffixOf{strings.Clone(host), at, section})
	return at, section
}

func lookUp(host string) (at int, section Section) {
	suffix, icann := publicsuffix.PublicSuffix(host)
	at = len(host) - len(suffix)
	if icann && at > 0 && strings.IndexByte(suffix, '.') >= 0 {
		// Beside longer private suffixes (dualstack.us-east-1.amazonaws.com) the library says icann for what is private.
		_, icann = publicsuffix.PublicSuffix(suffix)
	}
	switch {
	case icann:
		return at, ICANN
	case strings.IndexByte(suffix, '.') >= 0:
		return at, Private
	}
	return at, Unlisted
}
