// Package domain takes domain names apart and measures how they are written: by the public suffix list, by character
// statistics and by letter sequences that are usual in names chosen by people. It serves the search for generated
// names (DGA). Everything in it is safe for concurrent use, takes any bytes and never panics.
package domain

import (
	"net/netip"
	"strings"
)

// Kind says what a text in the place of a name is.
type Kind uint8

// The kinds of names.
const (
	Invalid Kind = iota // empty, an empty label, or a last label of digits that is no address
	Host                // a name, with or without a registered part
	Address             // an IP literal, also "[::1]"
	Reverse             // below in-addr.arpa or ip6.arpa
)

// String returns the kind as scripts see it.
func (k Kind) String() string { return [...]string{"invalid", "host", "address", "reverse"}[k&3] }

// Section says which part of the public suffix list a suffix is from.
type Section uint8

// The sections. Names below a private suffix (github.io, ddns.net) belong to customers of its owner.
const (
	Unlisted Section = iota // not in the list: the last label counts as the suffix (local, corp)
	ICANN                   // a registry's: com, co.uk
	Private                 // a company's: github.io, dyndns.org
)

// String returns the section as scripts see it.
func (s Section) String() string { return [...]string{"unlisted", "icann", "private", ""}[s&3] }

// Name is a domain name in parts, all of them parts of Host: "mail.shop.example.co.uk" has the suffix "co.uk", the
// registered domain "example.co.uk", the label "example" and the sub name "mail.shop". Parts that are not there are "".
type Name struct {
	Host       string // normal form: lower case, A-labels, no final dot, no port, no brackets
	Suffix     string
	Registered string // "" for addresses, reverse zones, single labels and public suffixes
	Label      string // first label of Registered
	Sub        string // what stands before Registered
	Kind       Kind
	Section    Section // of Suffix
}

// Split takes a name apart. It does not allocate for a name in normal form that was seen before.
func Split(name string) Name {
	host, kind := normal(name)
	n := Name{Host: host, Kind: kind}
	if kind != Host && kind != Reverse {
		return n
	}
	at, section := suffixAt(host)
	n.Suffix, n.Section = host[at:], section
	if kind == Reverse || at == 0 {
		return n
	}
	start := strings.LastIndexByte(host[:at-1], '.') + 1
	n.Registered, n.Label = host[start:], host[start:at-1]
	if start > 0 {
		n.Sub = host[:start-1]
	}
	return n
}

// Registered returns the registered domain of name in normal form: "example.co.uk" of "www.Example.co.uk.". It is ""
// for addresses, reverse zones, single labels, public suffixes and text that is no name.
func Registered(name string) string {
	host, kind := normal(name)
	if kind != Host {
		return ""
	}
	at, _ := suffixAt(host)
	if at == 0 {
		return ""
	}
	return host[strings.LastIndexByte(host[:at-1], '.')+1:]
}

// Suffix returns the public suffix of name and where it is from; "" for what has none.
func Suffix(name string) (string, Section) {
	host, kind := normal(name)
	if kind != Host && kind != Reverse {
		return "", Unlisted
	}
	at, section := suffixAt(host)
	return host[at:], section
}

// Normal returns name in normal form: lower case, labels outside ASCII as A-labels (RFC 3492, no Unicode normalization),
// without final dot, port or the brackets of an IPv6 address. What is no name is returned likewise.
func Normal(name string) string {
	host, _ := normal(name)
	return host
}

const (
	reverse4 = ".in-addr.arpa"
	reverse6 = ".ip6.arpa"
)

// ReverseAddress returns the address that a name such as "4.3.2.1.in-addr.arpa" stands for (RFC 1035, RFC 3596); ok is
// false for zones and other names.
func ReverseAddress(name string) (addr netip.Addr, ok bool) {
	host, kind := normal(name)
	if kind != Reverse {
		return addr, false
	}
	if digits, v4 := strings.CutSuffix(host, reverse4); v4 {
		var ip [4]byte
		for i := 3; i >= 0; i-- {
			part, rest, more := strings.Cut(digits, ".")
			n, valid := octet(part)
			if !valid || more != (i > 0) {
				return addr, false
			}
			ip[i], digits = n, rest
		}
		return netip.AddrFrom4(ip), true
	}
	digits := strings.TrimSuffix(host, reverse6)
	if len(digits) != 63 {
		return addr, false
	}
	var ip [16]byte
	for i := range 32 {
		n := strings.IndexByte("0123456789abcdef", digits[2*i])
		if n < 0 || i < 31 && digits[2*i+1] != '.' {
			return addr, false
		}
		ip[15-i/2] |= byte(n) << (4 * (i & 1))
	}
	return netip.AddrFrom16(ip), true
}

// octet reads "0" to "255".
func octet(s string) (byte, bool) {
	if s == "" || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return byte(n), n < 256
}
