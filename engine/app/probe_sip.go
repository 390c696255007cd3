package app

import (
	"bytes"
	"strings"
)

// probeSIP takes a message whose head is complete and made of the characters that RFC 3261 allows.
func probeSIP(d Dir, b []byte) answer {
	line, rest, ok := bytes.Cut(b, crlf)
	if !ok {
		return maybe
	}
	if d == ToServer {
		ok = sipRequest(line)
	} else {
		ok = sipStatus(line)
	}
	for ok {
		if len(rest) >= 2 && string(rest[:2]) == "\r\n" {
			return yes
		}
		rest, ok = sipHeader(rest)
	}
	return maybe
}

var crlf = []byte("\r\n")

func sipRequest(b []byte) bool {
	for len(b) > 0 && letter(b[0]) {
		b = b[1:]
	}
	if len(b) == 0 || b[0] != ' ' {
		return false
	}
	uri, version, ok := bytes.Cut(b[1:], []byte(" "))
	if !ok || len(uri) == 0 || !sipVersion(version) {
		return false
	}
	for _, c := range uri {
		if !sipToken(c) && strings.IndexByte("~#@:;=?+&$,/", c) < 0 {
			return false
		}
	}
	return true
}

func sipStatus(b []byte) bool {
	version, rest, ok := bytes.Cut(b, []byte(" "))
	if !ok || !sipVersion(version) || len(rest) < 4 || rest[3] != ' ' {
		return false
	}
	for _, c := range rest[4:] {
		if !sipToken(c) && !bytes.ContainsRune([]byte("$&(),/:;=?@[\\]^ "), rune(c)) {
			return false
		}
	}
	return true
}

func sipVersion(b []byte) bool {
	if len(b) < 5 || string(b[:4]) != "SIP/" {
		return false
	}
	for _, c := range b[4:] {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// sipHeader reads one header with its continuations.
func sipHeader(b []byte) (rest []byte, ok bool) {
	i := 0
	for i < len(b) && sipToken(b[i]) {
		i++
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i == len(b) || b[i] != ':' {
		return nil, false
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\n':
			if i+1 == len(b) {
				return nil, false
			}
			if b[i+1] != ' ' && b[i+1] != '\t' {
				return b[i+1:], b[i-1] == '\r'
			}
		case c == '\r' || c == '\t':
		case c < ' ' || c > '~':
			return nil, false
		}
	}
	return nil, false
}

func letter(c byte) bool { c = lower(c); return c >= 'a' && c <= 'z' }

func sipToken(c byte) bool {
	return letter(c) || c >= '0' && c <= '9' || c == '!' || c == '%' || c == '\'' || c == '*' || c == '+' || c == '-' || c == '.' ||
		c == '_' || c == '`' || c == '~'
}
