package app

import (
	"bytes"
	"strconv"
)

// httpTx is a request with its response: what of them is reported, or decides how they are read. nil is missing.
type httpTx struct {
	id              int
	asked, answered bool // both halves are complete
	nine            bool // HTTP/0.9
	size            int  // bytes kept

	method, uri, protocol     []byte
	host                      []byte
	port                      int // -1: none; 0: there is no host either, in Suricata
	hostHeader                httpValue
	agent, referer, forwarded httpValue
	encoding, expect          httpValue
	requestLength             httpValue
	lines                     []byte // all headers, if upgrades
	upgrades                  bool   // the request asks for another protocol
	lengthGiven               bool
	expects                   int64 // length of the request's body
	headers                   int   // how many, for the bound

	statusSeen                   bool
	eleven                       bool // the response is HTTP/1.1
	statusText                   []byte
	status                       int // -1: none
	kind, rng, location, upgrade httpValue
	coding, size1                httpValue
	sized                        bool // there is a Content-Length, size1
	length                       int64
}

// httpValue is that of a header; of one that came more than once, all of them.
type httpValue = []byte

// keep returns a copy of b, counted.
func (t *httpTx) keep(b []byte) []byte {
	t.size += len(b)
	return append(make([]byte, 0, len(b)), b...)
}

// readRequest reads `GET /index.html HTTP/1.1`.
func (t *httpTx) readRequest(line []byte) {
	method, rest := httpWord(line)
	t.method = t.keep(method)
	rest = bytes.TrimRight(rest, " \t\r\n\v\f")
	if len(rest) == 0 {
		return
	}
	i := bytes.IndexByte(rest, ' ')
	if i < 0 {
		if i = bytes.IndexFunc(rest, func(r rune) bool { return r < 128 && space(byte(r)) }); i < 0 {
			t.uri = t.keep(rest)
			return
		}
	}
	t.uri = t.keep(rest[:i])
	for i < len(rest) && space(rest[i]) {
		i++
	}
	t.protocol = t.keep(rest[i:])
}

// splitHeader splits a header line. Without a colon, all of it is the value of a header without a name.
func splitHeader(b []byte) (name, value []byte) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return nil, b
	}
	return bytes.TrimRight(b[:i], " \t\v\f\r\n"), bytes.Trim(b[i+1:], " \t\v\f\r\n")
}

// add puts a header to what is known of it.
func (t *httpTx) add(to *httpValue, value []byte) {
	if *to == nil {
		*to = t.keep(value)
		return
	}
	t.size += len(value) + 2
	*to = append(append(*to, ", "...), value...)
}

// requestHeader takes a header of the request; it is false if there are too many.
func (t *httpTx) requestHeader(b []byte) bool {
	if t.headers++; t.headers > httpMaxHeaders || t.size > httpMaxHead {
		return false
	}
	name, value := splitHeader(b)
	if bytes.IndexByte(name, 0) >= 0 {
		name, value = nil, b
	}
	if i := bytes.IndexByte(value, 0); i >= 0 && name != nil {
		value = bytes.TrimRight(value[:i], " \t")
	}
	switch {
	case fold(name, "host"):
		t.add(&t.hostHeader, value)
	case fold(name, "user-agent"):
		t.add(&t.agent, value)
	case fold(name, "referer"):
		t.add(&t.referer, value)
	case fold(name, "x-forwarded-for"):
		t.add(&t.forwarded, value)
	case fold(name, "transfer-encoding"):
		t.add(&t.encoding, value)
	case fold(name, "upgrade"):
		t.upgrades = true
	case fold(name, "expect"):
		t.add(&t.expect, value)
	case fold(name, "content-length") && !t.lengthGiven:
		t.requestLength, t.lengthGiven = t.keep(value), true
	}
	return true
}

// readStatus reads `HTTP/1.1 200 OK`.
func (t *httpTx) readStatus(line []byte) {
	t.status, t.statusText, t.headers = -1, nil, 0
	protocol, rest := httpWord(bytes.TrimLeft(line, "\x00"))
	if len(protocol) == 0 {
		return
	}
	t.eleven = string(protocol) == "HTTP/1.1"
	code, _ := httpWord(rest)
	if len(code) == 0 {
		return
	}
	t.statusText = t.keep(code)
	if n, err := strconv.Atoi(string(code)); err == nil && n >= 100 && n <= 999 {
		t.status = n
	}
}

// responseHeader is requestHeader for the response.
func (t *httpTx) responseHeader(b []byte) bool {
	if t.headers++; t.headers > httpMaxHeaders || t.size > httpMaxHead {
		return false
	}
	name, value := splitHeader(b)
	if bytes.IndexByte(name, 0) >= 0 {
		if bare := bytes.ReplaceAll(name, zero, nil); fold(bare, "transfer-encoding") || fold(bare, "content-length") {
			name = bare // these two are looked for so
		}
	}
	switch {
	case fold(name, "content-type"):
		t.add(&t.kind, value)
	case fold(name, "content-range"):
		t.add(&t.rng, value)
	case fold(name, "location"):
		t.add(&t.location, value)
	case fold(name, "upgrade"):
		t.add(&t.upgrade, value)
	case fold(name, "transfer-encoding"):
		t.add(&t.coding, value)
	case fold(name, "content-length") && !t.sized:
		t.size1, t.sized = t.keep(value), true
	}
	return true
}

// forget drops the headers of an interim response.
func (t *httpTx) forget() {
	t.kind, t.rng, t.location, t.upgrade, t.coding, t.size1, t.sized = nil, nil, nil, nil, nil, nil, false
	t.statusSeen = false
}

// fold reports whether b is s, which is in lower case.
func fold(b []byte, s string) bool { return len(b) == len(s) && beginsFold(b, s) }

var zero = []byte{0}

// hasFold reports whether s, in lower case, is in b; zeros do not count.
func hasFold(b []byte, s string) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		b = bytes.ReplaceAll(b, zero, nil)
	}
	for ; len(b) >= len(s); b = b[1:] {
		if beginsFold(b, s) {
			return true
		}
	}
	return false
}

// parseLength reads a Content-Length, and passes over what surrounds the digits; -1 if there are none.
func parseLength(b []byte) int64 {
	for len(b) > 0 && (b[0] < '0' || b[0] > '9') {
		b = b[1:]
	}
	n := int64(-1)
	for ; len(b) > 0 && b[0] >= '0' && b[0] <= '9'; b = b[1:] {
		n = max(n, 0)*10 + int64(b[0]-'0')
		if n > 1<<55 {
			return -1
		}
	}
	return n
}

// findHost takes the host from the URI or, failing that, from the header Host.
func (t *httpTx) findHost() {
	t.port = -1
	if t.uri != nil {
		authority := uriAuthority(t.uri)
		if string(t.method) == "CONNECT" {
			authority = t.uri
		}
		if i := bytes.IndexByte(authority, '@'); i >= 0 {
			authority = authority[i+1:]
		}
		if len(authority) > 0 {
			t.host, t.port = hostPort(authority)
		}
	}
	if t.host == nil && t.hostHeader != nil {
		t.host, t.port = hostPort(t.hostHeader)
	}
}

// uriAuthority returns host and port of http://host:port/path.
func uriAuthority(uri []byte) []byte {
	if len(uri) == 0 || uri[0] == '/' {
		return nil
	}
	i := bytes.IndexByte(uri, ':')
	if i < 0 || len(uri) < i+4 || uri[i+1] != '/' || uri[i+2] != '/' || uri[i+3] == '/' {
		return nil
	}
	rest := uri[i+3:]
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// hostPort splits host and port, the host in lower case and without a dot at the end; -1 is no port.
func hostPort(b []byte) (host []byte, port int) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil, -1
	}
	end, rest := len(b), []byte(nil)
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 {
			return nil, -1
		}
		end = i + 1
		if rest = b[end:]; len(rest) > 0 && rest[0] != ':' {
			rest = nil
		}
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		end, rest = i, b[i:]
	}
	host = bytes.TrimRight(b[:end], " \t\r\n\v\f")
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	port = -1
	if len(rest) > 1 {
		if n, err := strconv.ParseUint(string(bytes.TrimSpace(rest[1:])), 10, 16); err == nil && n > 0 {
			port = int(n)
		}
	}
	low := make([]byte, len(host))
	for i, c := range host {
		low[i] = lower(c)
	}
	return low, port
}
