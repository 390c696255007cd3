package domain

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// What a scan of a name found.
const (
	hasUpper = 1 << iota
	hasHigh  // bytes from 0x80 on
	hasColon // ':', '[' or ']'
)

// class of each byte for scan.
var scanClass = func() (t [256]byte) {
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = hasUpper
	}
	for c := 0x80; c < 0x100; c++ {
		t[c] = hasHigh
	}
	t[':'], t['['], t[']'] = hasColon, hasColon, hasColon
	return t
}()

// normal returns the normal form of name and its kind. It allocates only if the form differs within the name.
func normal(name string) (string, Kind) {
	var found byte
	for i := range len(name) {
		found |= scanClass[name[i]]
	}
	if found&hasColon != 0 {
		if name = unwrap(name); strings.IndexByte(name, ':') >= 0 {
			if _, err := netip.ParseAddr(name); err == nil {
				return strings.ToLower(name), Address
			}
		}
	}
	if found&hasHigh != 0 {
		name = toASCII(name)
		found |= hasUpper
	}
	if found&hasUpper != 0 {
		name = lower(name)
	}
	name = strings.TrimSuffix(name, ".")
	return name, kindOf(name)
}

// kindOf tells what a normal form is.
func kindOf(host string) Kind {
	if host == "" || host[0] == '.' || host[len(host)-1] == '.' || strings.Contains(host, "..") {
		return Invalid
	}
	last := host[len(host)-1]
	if '0' <= last && last <= '9' {
		tld := host[strings.LastIndexByte(host, '.')+1:]
		if strings.Trim(tld, "0123456789") == "" { // no top level is a number
			if _, err := netip.ParseAddr(host); err == nil {
				return Address
			}
			return Invalid
		}
	}
	if last == 'a' && strings.HasSuffix(host, "arpa") {
		if strings.HasSuffix(host, reverse4) || strings.HasSuffix(host, reverse6) || host == reverse4[1:] || host == reverse6[1:] {
			return Reverse
		}
	}
	return Host
}

// unwrap takes "[::1]:443", "[::1]" and "name:443" down to the host.
func unwrap(s string) string {
	if strings.HasPrefix(s, "[") {
		if end := strings.IndexByte(s, ']'); end > 0 {
			return s[1:end]
		}
		return s
	}
	if i := strings.IndexByte(s, ':'); i >= 0 && i == strings.LastIndexByte(s, ':') && strings.Trim(s[i+1:], "0123456789") == "" {
		return s[:i]
	}
	return s
}

// lower maps A-Z only: the rest may be binary.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// toASCII writes labels outside ASCII as A-labels. The full stops of IDNA (RFC 3490, 3.1) separate labels. Labels that are
// not UTF-8, or too long for DNS, stay as they are.
func toASCII(name string) string {
	name = stops.Replace(name)
	labels := strings.Split(name, ".")
	for i, l := range labels {
		if !utf8.ValidString(l) {
			continue
		}
		if a, ok := toPunycode(strings.ToLower(l)); ok {
			labels[i] = a
		}
	}
	return strings.Join(labels, ".")
}

var stops = strings.NewReplacer("。", ".", "．", ".", "｡", ".")
