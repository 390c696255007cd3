package app

import (
	"bytes"
)

// responseStep runs one state of the server's direction.
func (p *httpParser) responseStep(s *httpSide) verdict {
	switch s.state {
	case httpIdle:
		if s.pos == len(s.b) {
			return needMore
		}
		return p.responseStart(s)
	case httpLine:
		return p.statusLine(s)
	case httpHeaders:
		return p.responseHeaders(s)
	case httpBody, httpChunk:
		if s.status == httpClosed {
			s.state = httpFinal
			return goOn
		}
		n := min(int64(len(s.b)-s.pos), s.left)
		if n == 0 {
			return needMore
		}
		s.pos += int(n)
		p.body(ToClient, n)
	case httpUntilEnd:
		p.response.length += int64(len(s.b) - s.pos)
		s.pos = len(s.b)
		if s.status != httpClosed {
			return needMore
		}
		s.state = httpFinal
	case httpChunkLine:
		return p.responseChunk(s)
	case httpChunkEnd:
		i := bytes.IndexByte(s.b[s.pos:], '\n')
		if i < 0 {
			p.response.length += int64(len(s.b) - s.pos)
			s.pos = len(s.b)
			return needMore
		}
		p.response.length += int64(i + 1)
		s.pos += i + 1
		s.state = httpChunkLine
	default:
		return p.responseFinal(s)
	}
	return goOn
}

// responseStart finds the request of a response, or makes one up.
func (p *httpParser) responseStart(s *httpSide) verdict {
	if len(p.next) == 0 {
		ask := &p.sides[ToServer]
		if ask.state == httpFinal {
			p.requestDone()
		}
		if !p.newRequest() {
			return stop
		}
		p.request.uri = []byte("/libhtp::request_uri_not_seen")
		ask.state = httpFinal
	}
	p.response, p.next = p.next[0], p.next[1:]
	if len(p.next) == 0 {
		p.next = nil
	}
	s.state = httpLine
	if p.response.nine {
		s.state = httpUntilEnd
	}
	return goOn
}

func (p *httpParser) statusLine(s *httpSide) verdict {
	line, v := s.readLine(crEndsAll)
	if v != goOn {
		return v
	}
	t := p.response
	if len(line) == 0 {
		if s.status == httpClosed {
			s.state = httpFinal
			return goOn
		}
		return needMore
	}
	if blank(line) {
		if s.status == httpClosed {
			s.state = httpFinal
		}
		return goOn
	}
	if !statusLike(line) {
		if len(s.b)-s.pos > 1 && (s.b[s.pos] == 'H' || len(chomp(line)) <= 2) {
			return goOn
		}
		t.length += int64(len(line))
		if s.pos == len(s.b) {
			s.state = httpFinal
		}
		return goOn
	}
	p.kept -= t.size
	t.readStatus(line)
	p.kept += t.size
	s.strict = t.eleven
	s.state = httpHeaders
	return goOn
}

// statusLike reports whether a line can be a status line; else browsers take it for the body.
func statusLike(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\r\n\v\f\x00")
	return beginsFold(line, "http")
}

func (p *httpParser) responseHeaders(s *httpSide) verdict {
	t := p.response
	last, v := s.headerLine(crEnds, func(b []byte) bool {
		p.kept -= t.size
		ok := t.responseHeader(b)
		p.kept += t.size
		return ok
	})
	if v != goOn || !last {
		return v
	}
	if s.trailer || s.status == httpClosed {
		s.trailer = false
		s.state = httpFinal
		return goOn
	}
	return p.responseBody(s)
}

// responseBody decides how the body of a response is delimited.
func (p *httpParser) responseBody(s *httpSide) verdict {
	t, ask := p.response, &p.sides[ToServer]
	t.statusSeen = true
	chunked := hasFold(t.coding, "chunked")
	switch {
	case string(t.method) == "CONNECT" && t.status >= 200 && t.status <= 299:
		s.state = httpFinal
		return goOn
	case string(t.method) == "CONNECT" && t.status != 407:
		s.other = true
	case t.status == 101 && t.coding == nil && !t.sized:
		s.state, s.status = httpFinal, httpTunnel
		if ask.status != httpBad {
			ask.status = httpTunnel
		}
		if bytes.Equal(t.upgrade, []byte("h2c")) {
			p.upgrade = upgrade{port: portOf(t), to: http2, set: true, used: s.pos}
			p.upgraded = t
		}
		return goOn
	case t.status == 100 && t.coding == nil && (!t.sized || parseLength(t.size1) <= 0):
		t.forget()
		s.state = httpLine
		return goOn
	case t.status >= 400 && t.status <= 499 && t == p.request && t.expects > 0 && ask.state == httpBody && ask.left == t.expects &&
		string(t.expect) == "100-continue":
		ask.state = httpFinal
	}
	bare := t.status >= 100 && t.status <= 199 || t.status == 204 || t.status == 304
	switch {
	case string(t.method) == "HEAD" || bare && t.coding == nil && !t.sized:
		s.state = httpFinal
	case chunked:
		s.state = httpChunkLine
	case t.sized:
		if s.left = parseLength(t.size1); s.left < 0 {
			return stop
		}
		s.state = httpBody
		if s.left == 0 {
			s.state = httpFinal
		}
	case hasFold(t.kind, "multipart/byteranges"):
		return stop
	default:
		s.state = httpUntilEnd
	}
	return goOn
}

func portOf(t *httpTx) uint16 {
	if t.port > 0 {
		return uint16(t.port)
	}
	return 0
}

func (p *httpParser) responseChunk(s *httpSide) verdict {
	if s.status == httpClosed {
		s.state = httpFinal
		return goOn
	}
	if n := s.junk(); n > 0 { // not chunked after all; libhtp counts these bytes twice
		p.response.length += int64(n)
		s.state = httpUntilEnd
		return goOn
	}
	n, line, v := s.chunkLine()
	if v != goOn {
		return v
	}
	p.response.length += int64(len(line))
	switch {
	case n == 0:
		s.state, s.trailer = httpHeaders, true
	case n > 0:
		s.left, s.state = n, httpChunk
	case n == -1:
		s.pos = max(0, s.pos-len(chomp(line)))
		s.state = httpUntilEnd
	}
	return goOn
}

// responseFinal ends a response, unless what follows in the same chunk is no response: then it counts as body.
func (p *httpParser) responseFinal(s *httpSide) verdict {
	if s.status != httpClosed && s.pos == len(s.b) && len(s.line) == 0 {
		return p.responseDone(s)
	}
	start, held := s.pos, len(s.line)
	line, v := s.readLine(lfEnds)
	if v != goOn {
		return v
	}
	if len(line) > 0 && !statusLike(line) {
		if p.response != nil {
			p.response.length += int64(len(line))
		}
		return goOn
	}
	if held > 0 {
		s.line = append(s.line[:0], line[:held]...)
	}
	s.pos = start
	return p.responseDone(s)
}

func (p *httpParser) responseDone(s *httpSide) verdict {
	t := p.response
	s.state = httpIdle
	if t == nil {
		return goOn
	}
	t.answered = true
	p.answered++
	p.response = nil
	if string(t.method) == "CONNECT" && t.status >= 200 && t.status <= 299 && p.answered == 1 {
		t.asked = true
		p.upgrade = upgrade{port: portOf(t), to: unknown, set: true, used: s.pos}
		return needMore
	}
	if s.other {
		s.other = false
		return needMore
	}
	return goOn
}
