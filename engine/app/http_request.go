package app

import "bytes"

// requestStep runs one state of the client's direction.
func (p *httpParser) requestStep(s *httpSide) verdict {
	switch s.state {
	case httpIdle:
		if s.pos == len(s.b) && (s.status != httpClosed || len(s.line) == 0) {
			return needMore
		}
		if !p.newRequest() {
			return stop
		}
		s.state = httpLine
	case httpLine:
		return p.requestLine(s)
	case httpHeaders:
		return p.requestHeaders(s)
	case httpBody, httpChunk:
		n := min(int64(len(s.b)-s.pos), s.left)
		if n == 0 {
			return needMore
		}
		s.pos += int(n)
		p.body(ToServer, n)
	case httpChunkLine:
		return p.requestChunk(s)
	case httpChunkEnd:
		i := bytes.IndexByte(s.b[s.pos:], '\n')
		if i < 0 {
			s.pos = len(s.b)
			return needMore
		}
		s.pos += i + 1
		s.state = httpChunkLine
	case httpFinal:
		return p.requestFinal(s)
	case httpConnect:
		t := p.request
		if !t.statusSeen {
			return needMore
		}
		s.state = httpFinal
		if t.status >= 200 && t.status <= 299 {
			s.state = httpProbe
		}
	case httpProbe:
		return p.probeTunnel(s)
	default: // httpIgnore
		if s.pos < len(s.b) {
			return stop
		}
		return needMore
	}
	return goOn
}

// newRequest begins a transaction; it is false if too many are open.
func (p *httpParser) newRequest() bool {
	if len(p.txs) >= httpMaxOpen || p.kept > httpMaxKept {
		return false
	}
	t := &httpTx{id: p.first}
	p.first++
	p.txs = append(p.txs, t)
	p.next = append(p.next, t)
	p.request = t
	return true
}

func (p *httpParser) requestLine(s *httpSide) verdict {
	line, v := s.readLine(lfEnds)
	if v != goOn {
		return v
	}
	if len(line) == 0 {
		return needMore
	}
	if blank(line) {
		return goOn
	}
	t := p.request
	t.readRequest(chomp(line))
	p.kept += t.size
	t.nine = t.protocol == nil
	if t.nine {
		rest := s.b[s.pos:]
		if blank(rest) && len(rest) <= 16 {
			s.state = httpFinal
			return goOn
		}
		t.nine = false // the protocol was forgotten
	}
	s.state = httpHeaders
	return goOn
}

func (p *httpParser) requestHeaders(s *httpSide) verdict {
	t := p.request
	last, v := s.headerLine(lfEnds, func(b []byte) bool {
		p.kept -= t.size
		p.note(b)
		ok := t.requestHeader(b)
		p.kept += t.size
		return ok
	})
	if v != goOn || !last {
		return v
	}
	if s.trailer || s.status == httpClosed {
		s.trailer = false
		p.lines = p.lines[:0]
		s.state = httpFinal
		return goOn
	}
	t.findHost()
	if t.upgrades {
		p.kept += len(p.lines)
		t.lines = t.keep(p.lines)
	}
	p.lines = p.lines[:0]
	if t.method != nil && string(t.method) == "CONNECT" {
		s.state = httpConnect
		return goOn
	}
	switch {
	case hasFold(t.encoding, "chunked"):
		s.state = httpChunkLine
	case t.lengthGiven:
		n := parseLength(t.requestLength)
		if n < 0 {
			return stop
		}
		s.left, s.state = n, httpBody
		if n == 0 {
			s.state = httpFinal
		}
		t.expects = n
	default:
		s.state = httpFinal
	}
	return goOn
}

// note remembers a header until it is known whether the request wants to be upgraded.
func (p *httpParser) note(b []byte) {
	if len(p.lines)+len(b) < httpMaxLines {
		p.lines = append(append(p.lines, b...), '\n')
	}
}

func (p *httpParser) requestChunk(s *httpSide) verdict {
	if s.junk() > 0 {
		return stop
	}
	n, _, v := s.chunkLine()
	switch {
	case v != goOn:
		return v
	case n == -1:
		return stop
	case n == 0:
		s.state, s.trailer = httpHeaders, true
	case n > 0:
		s.left, s.state = n, httpChunk
	}
	return goOn
}

// requestFinal ends a request, unless what follows in the same chunk is no request: then it counts as an unexpected body.
func (p *httpParser) requestFinal(s *httpSide) verdict {
	if s.status != httpClosed && s.pos == len(s.b) && len(s.line) == 0 {
		p.requestDone()
		return goOn
	}
	start := s.pos
	held := len(s.line)
	line, v := s.readLine(lfEnds)
	if v != goOn {
		return v
	}
	method, _ := httpWord(line)
	if len(line) > 0 && string(line) != "\n" && !httpMethods[string(method)] {
		return goOn // stays: the line is dropped
	}
	if held > 0 {
		s.line = append(s.line[:0], line[:held]...)
	}
	s.pos = start
	p.requestDone()
	return goOn
}

func (p *httpParser) requestDone() {
	s := &p.sides[ToServer]
	s.state = httpIdle
	if p.request != nil {
		p.request.asked = true
		if p.request.nine {
			s.state = httpIgnore
		}
	}
	p.request = nil
}

// probeTunnel looks whether what follows a successful CONNECT is HTTP all the same.
func (p *httpParser) probeTunnel(s *httpSide) verdict {
	start := s.pos
	line, v := s.readLine(lfEnds)
	if v != goOn {
		return v
	}
	if method, _ := httpWord(line); !httpMethods[string(method)] {
		s.status, p.sides[ToClient].status = httpTunnel, httpTunnel
		return goOn
	}
	s.pos = start
	p.requestDone()
	return goOn
}

// httpMethods are those that begin a request after a body.
var httpMethods = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range []string{"HEAD", "GET", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PROPPATCH",
		"MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "VERSION-CONTROL", "CHECKOUT", "UNCHECKOUT", "CHECKIN", "UPDATE", "LABEL", "REPORT",
		"MKWORKSPACE", "MKACTIVITY", "BASELINE-CONTROL", "MERGE", "INVALID"} {
		m[s] = true
	}
	return m
}()
