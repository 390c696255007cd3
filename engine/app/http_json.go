package app

import (
	"bytes"
	"strconv"
)

// report writes the event of a transaction.
func (p *httpParser) report(t *httpTx) {
	if !p.config.HTTP {
		return
	}
	b := append(p.buf[:0], `"http":{`...)
	if len(t.host) > 0 {
		b = memberText(b, "hostname", t.host)
	}
	if t.port >= 0 {
		b = memberUint(b, "http_port", uint64(t.port))
	}
	if len(t.uri) > 0 {
		b = memberText(b, "url", t.uri)
	}
	if len(t.agent) > 0 {
		b = memberText(b, "http_user_agent", t.agent)
	}
	if len(t.forwarded) > 0 {
		b = memberText(b, "xff", t.forwarded)
	}
	if t.kind != nil {
		kind, _, _ := bytes.Cut(bytes.ReplaceAll(t.kind, []byte{0}, []byte(`\0`)), []byte(";"))
		b = memberText(b, "http_content_type", kind)
	}
	if t.rng != nil {
		b = appendRange(b, t.rng)
	}
	if len(t.referer) > 0 {
		b = memberText(b, "http_refer", t.referer)
	}
	if len(t.method) > 0 {
		b = memberText(b, "http_method", t.method)
	}
	if len(t.protocol) > 0 {
		b = memberText(b, "protocol", t.protocol)
	}
	if t.statusText != nil {
		b = memberUint(b, "status", leading(t.statusText))
		if len(t.location) > 0 {
			b = memberText(b, "redirect", t.location)
		}
	}
	b = memberUint(b, "length", uint64(t.length))
	b = append(b, '}')
	p.buf = b
	if cap(p.buf) > 16<<10 {
		p.buf = nil
	}
	p.found(&Event{Type: "http", Time: p.at.time, Packet: p.at.packet, Dir: p.at.dir, Changes: p.set, TxID: t.id, Body: b})
}

// leading returns the number that b begins with, 0 if there is none.
func leading(b []byte) uint64 {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	n, _ := strconv.ParseUint(string(b[:i]), 10, 32)
	return n
}

// appendRange appends content_range, with the numbers of `bytes 0-99/1000`.
func appendRange(b, raw []byte) []byte {
	b = append(member(b, "content_range"), '{')
	b = memberText(b, "raw", raw)
	if start, end, size, ok := parseRange(raw); ok {
		for i, n := range [...]int64{start, end, size} {
			if n >= 0 {
				b = memberUint(b, [...]string{"start", "end", "size"}[i], uint64(n))
			}
		}
	}
	return append(b, '}')
}

// parseRange reads a Content-Range (RFC 9110, 14.4); -1 is a star.
func parseRange(b []byte) (start, end, size int64, ok bool) {
	_, b, ok = bytes.Cut(bytes.TrimLeft(b, " "), []byte(" "))
	if !ok {
		return 0, 0, 0, false
	}
	span, total, ok := bytes.Cut(bytes.TrimLeft(b, " "), []byte("/"))
	if !ok {
		return 0, 0, 0, false
	}
	start, end, size = -1, -1, -1
	if string(span) != "*" {
		from, to, cut := bytes.Cut(span, []byte("-"))
		var err1, err2 error
		start, err1 = strconv.ParseInt(string(from), 10, 64)
		end, err2 = strconv.ParseInt(string(to), 10, 64)
		if !cut || err1 != nil || err2 != nil {
			return 0, 0, 0, false
		}
	}
	if string(total) != "*" {
		var err error
		if size, err = strconv.ParseInt(string(total), 10, 64); err != nil {
			return 0, 0, 0, false
		}
	}
	return start, end, size, true
}
