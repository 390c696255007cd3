package app

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// http2Parser reads HTTP/2 (RFC 9113). As in Suricata each frame on stream 0 is a transaction of its own, and each stream one.
type http2Parser struct {
	config *Config
	txs    []*http2Tx // those not reported yet
	count  int        // of transactions
	kept   int        // bytes that txs keep
	magic  bool       // the client's first words are read
	bad    bool
	sides  [2]http2Side
	buf    []byte
}

// http2Side is the state of one direction.
type http2Side struct {
	table  hpackTable
	left   int        // bytes of a frame that are passed over
	late   http2Frame // that frame, if waits: it counts when they are through
	waits  bool
	block  []byte // of headers, until their last frame
	stream uint32 // of block
	eof    bool
}

// http2Frame is a frame's head.
type http2Frame struct {
	length      int
	kind, flags byte
	stream      uint32
}

// The kinds of frames, and the flags that matter.
const (
	h2Data = iota
	h2Headers
	h2Priority
	h2Reset
	h2Settings
	h2Push
	h2Ping
	h2GoAway
	h2Window
	h2Continuation

	h2EndStream   = 1
	h2EndHeaders  = 4
	h2Padded      = 8
	h2Prioritized = 0x20
)

// The bounds: a frame that is read as a whole, how much of longer ones is, open streams, bytes kept for them, a block of headers.
const (
	h2MaxFrame = 48 << 10
	h2Part     = 256
	h2MaxOpen  = 1024
	h2MaxKept  = 512 << 10
	h2MaxBlock = 100 << 10
)

const h2Magic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

var _ interface {
	parser
	skipper
	closer
	quitter
	waiter
} = (*http2Parser)(nil)

// newHTTP2 returns the parser of a connection; from is the HTTP/1 that it comes out of, or nil.
func newHTTP2(c *Config, from *httpParser) parser {
	p := &http2Parser{config: c}
	for d := range p.sides {
		p.sides[d].table.limit = 4096
	}
	if from != nil {
		p.mimic(from)
	}
	return p
}

func (p *http2Parser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	whole := len(b)
	if d == ToServer && !p.magic {
		if len(b) < len(h2Magic) {
			return 0, true
		}
		p.magic = true
		if begins(b, h2Magic) {
			b = b[len(h2Magic):]
		}
	}
	s := &p.sides[d]
	k := min(s.left, len(b))
	p.passed(d, k)
	b = b[k:]
	for len(b) >= 9 && !p.bad {
		f := http2Frame{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), b[3], b[4], be32(b[5:]) &^ (1 << 31)}
		rest := b[9:]
		if len(rest) < f.length {
			whole := f.length < h2MaxFrame
			if f.kind != h2Data && (whole || len(rest) < h2Part) {
				break
			}
			s.left = f.length - len(rest)
			if whole { // counts when all of it is there
				s.late, s.waits = f, true
				b = nil
				break
			}
		}
		body := rest[:min(f.length, len(rest))]
		b = rest[len(body):]
		if f.length > 0 || f.kind != h2Settings {
			p.frame(d, f, body)
		}
	}
	p.log(at, found)
	return whole - len(b), !p.bad
}

// passed counts n bytes of a frame whose content does not matter.
func (p *http2Parser) passed(d Dir, n int) {
	s := &p.sides[d]
	s.left -= n
	if s.left == 0 && s.waits {
		s.waits = false
		p.frame(d, s.late, nil)
	}
}

func (p *http2Parser) skip(d Dir) int64 { return int64(p.sides[d].left) }

func (p *http2Parser) skipped(d Dir, n int, at at, found func(*Event)) bool {
	p.passed(d, min(n, p.sides[d].left))
	p.log(at, found)
	return !p.bad
}

// frame reads one frame.
func (p *http2Parser) frame(d Dir, f http2Frame, b []byte) {
	stream := f.stream
	push := f.kind == h2Push
	if f.flags&h2Padded != 0 && (push || f.kind == h2Headers) {
		if len(b) == 0 {
			return
		}
		b = b[1:]
	}
	if push {
		if len(b) < 4 {
			return
		}
		stream, b = be32(b)&^(1<<31), b[4:]
	}
	t := p.tx(stream)
	if t == nil {
		p.bad = true
		return
	}
	p.kept -= t.size()
	h := &t.halves[d]
	switch f.kind {
	case h2Settings:
		p.settings(d, h, b)
	case h2Headers, h2Push, h2Continuation:
		p.headers(d, t, f, b)
	case h2GoAway:
		if len(b) >= 4 {
			h.error(be32(b), true)
		}
	case h2Reset:
		if len(b) == 4 {
			h.error(be32(b), false)
		}
	case h2Priority:
		if len(b) == 5 {
			h.priority(b[4])
		}
	}
	p.kept += t.size()
	t.advance(d, f)
}

// tx returns the transaction of a stream; nil if there are too many.
func (p *http2Parser) tx(stream uint32) *http2Tx {
	if stream != 0 {
		for i := len(p.txs) - 1; i >= 0; i-- {
			if p.txs[i].stream == stream {
				return p.txs[i]
			}
		}
	}
	if len(p.txs) >= h2MaxOpen || p.kept > h2MaxKept {
		return nil
	}
	t := &http2Tx{id: p.count, stream: stream}
	if stream == 0 {
		t.state = h2Global
	}
	p.count++
	p.txs = append(p.txs, t)
	p.kept += t.size()
	return t
}

// headers takes a frame with a part of a block of headers, and reads the block when it is complete.
func (p *http2Parser) headers(d Dir, t *http2Tx, f http2Frame, b []byte) {
	s, h := &p.sides[d], &t.halves[d]
	h.hasHeaders = true
	if f.kind == h2Headers {
		if f.flags&h2Prioritized != 0 {
			if len(b) < 5 {
				return
			}
			if f.flags&h2EndHeaders != 0 {
				h.priority(b[4])
			}
			b = b[5:]
		}
		if f.flags&h2EndHeaders == 0 {
			s.block, s.stream = append(s.block[:0], b...), f.stream
			return
		}
	}
	if f.kind == h2Continuation && f.stream == s.stream {
		s.block = append(s.block, b[:min(len(b), h2MaxBlock-len(s.block))]...)
		if f.flags&h2EndHeaders == 0 {
			return
		}
		b = s.block
		s.stream, s.block = 0, nil
	}
	s.table.read(b, func(field hpackField, n hpackNote, size uint64) {
		if len(h.headers) > h2MaxKept {
			return
		}
		if n == hpackHeader {
			if field.name.block == s.table.block {
				return // Suricata reports the first only
			}
			field.name.block = s.table.block
		}
		h.header(field, n, size)
	})
}

// settings takes SETTINGS. The size of the table that one side allows is that of the other side's headers.
func (p *http2Parser) settings(d Dir, h *http2Half, b []byte) {
	h.hasSettings = true
	for ; len(b) >= 6; b = b[6:] {
		id, value := int(b[0])<<8|int(b[1]), be32(b[2:])
		if id == 0 || id >= len(h2SettingNames) || len(h.settings) > h2MaxKept {
			break
		}
		if id == 1 {
			p.sides[1-d].table.limit = int(min(value, hpackMax))
		}
		h.settings = append(element(h.settings), '{')
		h.settings = memberWord(h.settings, "settings_id", h2SettingNames[id])
		h.settings = append(memberUint(h.settings, "settings_value", uint64(value)), '}')
	}
}

// mimic makes the request that was upgraded the first stream.
func (p *http2Parser) mimic(from *httpParser) {
	t := from.upgraded
	if t == nil || len(t.method) == 0 {
		return
	}
	set := func(name string, value []byte) {
		tx := p.tx(1)
		n := hpackName{text: []byte(name)}
		p.kept -= tx.size()
		tx.halves[ToServer].hasHeaders = true
		tx.halves[ToServer].header(hpackField{&n, value}, hpackHeader, 0)
		p.kept += tx.size()
		tx.state = h2ClientDone
	}
	set(":method", t.method)
	if t.uri != nil {
		set(":path", t.uri)
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(t.lines, []byte("\n")), []byte("\n")) {
		name, value := splitHeader(line)
		switch {
		case string(name) == "HTTP2-Settings":
			if b, err := base64.StdEncoding.DecodeString(string(value)); err == nil {
				t := p.tx(0)
				p.kept -= t.size()
				p.settings(ToServer, &t.halves[ToServer], b)
				p.kept += t.size()
			}
		case fold(name, "host"):
			set(":authority", value)
		default:
			set(string(name), value)
		}
	}
}

func (p *http2Parser) gap(Dir, int) bool { return false }

func (p *http2Parser) datagram(Dir, []byte, at, func(*Event)) bool { return false }

func (p *http2Parser) close(d Dir, at at, found func(*Event)) {
	p.sides[d].eof = true
	p.log(at, found)
}

func (p *http2Parser) cut(d Dir, at at, found func(*Event)) { p.close(d, at, found) }

func (p *http2Parser) end(time int64, found func(*Event)) {
	p.sides[ToServer].eof, p.sides[ToClient].eof = true, true
	p.log(at{time: time}, found)
}

func (p *http2Parser) broken() bool { return p.bad }

func (p *http2Parser) waiting() bool {
	for _, t := range p.txs {
		if !t.reported {
			return true
		}
	}
	return false
}

// log reports the streams that have ended, or all at the end. A stream is known until the call after: frames can come late.
func (p *http2Parser) log(at at, found func(*Event)) {
	all := p.bad || p.sides[ToServer].eof && p.sides[ToClient].eof
	open := p.txs[:0]
	for _, t := range p.txs {
		if t.reported {
			p.kept -= t.size()
			continue
		}
		open = append(open, t)
		if !all && t.state < h2Closed {
			continue
		}
		t.reported = true
		if !t.empty() {
			p.buf = t.json(p.buf[:0])
			found(&Event{Type: "http", Time: at.time, Packet: at.packet, Dir: at.dir, TxID: t.id, Body: p.buf})
		}
	}
	clear(p.txs[len(open):])
	p.txs = open
}

// upper is how Suricata writes SETTINGS_MAX_FRAME_SIZE and the like.
func upper(words ...string) []string {
	for i, w := range words {
		words[i] = strings.ToUpper(w)
	}
	return words
}
