package app

import "bytes"

// httpParser reads HTTP/0.9 to 1.1 the way libhtp, Suricata's parser, does: tolerant of what servers and browsers tolerate, and
// with a state of its own for each direction. Bytes are always used up; an unfinished line waits here.
type httpParser struct {
	config *Config
	txs    []*httpTx // those not reported yet, in order
	first  int       // number of the next transaction
	kept   int       // bytes that the headers of txs take
	sides  [2]httpSide

	request  *httpTx // being read; nil between requests
	response *httpTx
	next     []*httpTx // whose responses have not begun
	answered int       // responses that are complete

	at       at // of the bytes being read
	found    func(*Event)
	buf      []byte   // of the event
	lines    [][]byte // headers of the request, to be handed on should it be upgraded
	upgraded *httpTx
	upgrade
}

// upgrade is a change of protocol that a response agreed to.
type upgrade struct {
	port uint16
	to   protocol
	set  bool
	used int // bytes of the chunk that were still HTTP/1
}

// httpSide is the state of one direction.
type httpSide struct {
	state    httpState
	status   httpStatus
	eof, cut bool   // told so
	line     []byte // that is not finished
	header   []byte // that may be continued by the next line
	folding  bool   // header is set
	strict   bool   // HTTP/1.1: a continuation with a colon is a header
	swapped  bool   // the last line ended with LF CR
	left     int64  // bytes of the body, or of the chunk
	trailer  bool   // headers after a chunked body
	other    bool   // stop after this transaction, until the other side says more
	b        []byte // the chunk being read
	pos      int
}

type httpState uint8

const (
	httpIdle httpState = iota
	httpLine
	httpHeaders
	httpBody      // of known length
	httpUntilEnd  // of the stream
	httpChunkLine // length of a chunk
	httpChunk
	httpChunkEnd
	httpFinal
	httpConnect // waits for the response to CONNECT
	httpProbe   // the tunnel of CONNECT
	httpIgnore  // what follows a request of HTTP/0.9
)

type httpStatus uint8

const (
	httpOpen httpStatus = iota
	httpClosed
	httpBad
	httpTunnel
)

// verdict is what a state says to the loop that runs it.
type verdict uint8

const (
	goOn verdict = iota
	needMore
	stop
)

// The bounds: of a line that comes in pieces (as in Suricata), of open transactions, of the headers of one message, and of the
// bytes of headers that are kept for all open transactions.
const (
	httpMaxLine    = 18000
	httpMaxOpen    = 512
	httpMaxHeaders = 1024
	httpMaxKept    = 256 << 10
)

var _ interface {
	parser
	skipper
	closer
	changer
	quitter
} = (*httpParser)(nil)

func newHTTP(c *Config) parser { return &httpParser{config: c} }

func (p *httpParser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	p.at, p.found = at, found
	p.run(d, b)
	used := len(b)
	if p.set {
		used = min(used, p.used)
	}
	return used, p.log()
}

func (p *httpParser) datagram(Dir, []byte, at, func(*Event)) bool { return false }

// run reads a chunk of one direction; an empty one only if the direction is closed.
func (p *httpParser) run(d Dir, b []byte) {
	s := &p.sides[d]
	if s.status == httpBad || s.status == httpTunnel || len(b) == 0 && s.status != httpClosed {
		return
	}
	s.b, s.pos = b, 0
	step := p.requestStep
	if d == ToClient {
		step = p.responseStep
	}
	for {
		switch step(s) {
		case needMore:
			s.b = nil
			return
		case stop:
			if s.status != httpTunnel {
				s.status = httpBad
			}
			s.b = nil
			return
		}
		if s.status == httpTunnel {
			s.b = nil
			return
		}
	}
}

// gap is taken where a body is, and else ignored, as if the bytes had never been sent.
func (p *httpParser) gap(d Dir, n int) bool {
	s := &p.sides[d]
	if s.status != httpOpen {
		return true
	}
	if s.state == httpBody || s.state == httpUntilEnd && d == ToClient {
		p.body(d, int64(n))
	}
	switch {
	case s.state == httpFinal && d == ToServer:
		p.requestDone()
	case s.state == httpFinal:
		p.responseDone(s)
	}
	return true
}

// body counts n bytes of a body of which only the length matters.
func (p *httpParser) body(d Dir, n int64) {
	s := &p.sides[d]
	if s.state == httpBody || s.state == httpChunk {
		n = min(n, s.left)
		s.left -= n
	}
	if d == ToClient && p.response != nil {
		p.response.length += n
	}
	switch {
	case s.left > 0 || s.state == httpUntilEnd:
	case s.state == httpChunk:
		s.state = httpChunkEnd
	default:
		s.state = httpFinal
	}
}

func (p *httpParser) skip(d Dir) int64 {
	s := &p.sides[d]
	switch {
	case s.status == httpBad || s.status == httpTunnel:
		return 1 << 40
	case s.status == httpClosed:
		return 0
	case s.state == httpUntilEnd:
		return 1 << 40
	case s.state == httpBody || s.state == httpChunk:
		return s.left
	}
	return 0
}

func (p *httpParser) skipped(d Dir, n int, at at, found func(*Event)) bool {
	p.at, p.found = at, found
	s := &p.sides[d]
	if s.status == httpOpen && (s.state == httpBody || s.state == httpChunk || s.state == httpUntilEnd) {
		p.body(d, int64(n))
		if s.state == httpFinal { // as if the chunk ended here
			if d == ToServer {
				p.requestDone()
			} else {
				p.responseDone(s)
			}
		}
	}
	return p.log()
}

func (p *httpParser) close(d Dir, at at, found func(*Event)) {
	p.at, p.found = at, found
	p.sides[d].eof = true
	for d := range d + 1 { // the server's end ends both
		if s := &p.sides[d]; s.status == httpOpen {
			s.status = httpClosed
		}
	}
	for d := range d + 1 {
		p.run(d, nil)
	}
	p.log()
}

func (p *httpParser) cut(d Dir, at at, found func(*Event)) {
	p.at, p.found = at, found
	p.sides[d].cut = true
	p.log()
}

// change asks for another protocol after CONNECT, or for HTTP/2.
func (p *httpParser) change() (port uint16, want protocol, ok bool) {
	ok, p.set = p.set, false
	return p.port, p.to, ok
}

// waiting reports whether something is left to report when the flow ends.
func (p *httpParser) waiting() bool { return len(p.txs) > 0 }

func (p *httpParser) broken() bool {
	return p.sides[ToServer].status == httpBad || p.sides[ToClient].status == httpBad
}

// end reports all that is open.
func (p *httpParser) end(time int64, found func(*Event)) {
	p.at, p.found = at{time: time}, found
	p.sides[ToServer].eof, p.sides[ToClient].eof = true, true
	p.log()
}

// log reports the transactions that are complete, or all at the end. It is false after an error.
func (p *httpParser) log() bool {
	bad := p.broken()
	all := bad || p.done(ToServer) && p.done(ToClient)
	open := p.txs[:0]
	for _, t := range p.txs {
		if all || (t.asked || p.sides[ToServer].cut) && (t.answered || p.sides[ToClient].cut) {
			p.report(t)
			p.kept -= t.size
			continue
		}
		open = append(open, t)
	}
	clear(p.txs[len(open):])
	p.txs = open
	return !bad
}

func (p *httpParser) done(d Dir) bool { return p.sides[d].eof || p.sides[d].cut }

// lineEnds says which CR without an LF ends a line.
type lineEnds uint8

const (
	lfEnds    lineEnds = iota // none
	crEnds                    // but for one at the beginning, or before another
	crEndsAll                 // each
)

// readLine takes a line with its end, or what there is when the stream has ended. ok is false when more is needed. The line
// is valid until the next call.
func (s *httpSide) readLine(ends lineEnds) (line []byte, v verdict) {
	rest := s.b[s.pos:]
	i := bytes.IndexByte(rest, '\n')
	if ends != lfEnds {
		limit := len(rest)
		if i >= 0 {
			limit = i
		}
		for k := 0; k+1 < limit; k++ {
			if rest[k] == '\r' && (ends == crEndsAll || rest[k+1] != '\r' && k+len(s.line) > 0) {
				i = k
				break
			}
		}
	}
	if i < 0 {
		if s.status == httpClosed {
			line = append(s.line, rest...)
			s.line = nil
			s.pos = len(s.b)
			return line, goOn
		}
		if len(s.line)+len(s.header)+len(rest) > httpMaxLine {
			return nil, stop
		}
		s.line = append(s.line, rest...)
		s.pos = len(s.b)
		return nil, needMore
	}
	s.pos += i + 1
	if len(s.line) == 0 {
		return rest[:i+1], goOn
	}
	if len(s.line)+len(s.header)+i+1 > httpMaxLine {
		return nil, stop
	}
	line = append(s.line, rest[:i+1]...)
	s.line = s.line[:0]
	return line, goOn
}

// chomp cuts the ends of lines off.
func chomp(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }

// empty reports whether a line has nothing but its end.
func empty(line []byte) bool {
	return len(line) == 0 || len(line) == 1 && (line[0] == '\n' || line[0] == '\r') || string(line) == "\r\n"
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// blank reports whether a line is white space.
func blank(line []byte) bool {
	for _, c := range line {
		if !space(c) {
			return false
		}
	}
	return true
}

// word splits white space, a word and white space off.
func httpWord(b []byte) (word, rest []byte) {
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	i := 0
	for i < len(b) && !space(b[i]) {
		i++
	}
	word, b = b[:i], b[i:]
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	return word, b
}

// headerLine reads one line of headers, and calls add for each that is complete. last is true after the empty line.
func (s *httpSide) headerLine(ends lineEnds, add func(b []byte) bool) (last bool, v verdict) {
	if s.status == httpClosed && s.pos == len(s.b) && len(s.line) == 0 {
		return true, s.flush(add)
	}
	line, v := s.readLine(ends)
	if v != goOn {
		return false, v
	}
	if s.lineEnd(line, ends != lfEnds) {
		return true, s.flush(add)
	}
	line = chomp(line)
	folded := len(line) > 0 && folds(line[0])
	switch {
	case folded && s.folding && s.strict && bytes.IndexByte(line, ':') >= 0 && bytes.IndexByte(s.header, ':') >= 0:
		v := s.flush(add) // not what servers mean by it
		s.header, s.folding = append(s.header[:0], line[1:]...), true
		return false, v
	case folded && s.folding:
		if len(s.header)+len(line) > httpMaxLine {
			return false, stop
		}
		s.header = append(s.header, line...)
		return false, goOn
	case folded && ends != lfEnds:
		line = bytes.TrimLeft(line, " \t\x00")
	}
	if v := s.flush(add); v != goOn {
		return false, v
	}
	if s.pos < len(s.b) && !folds(s.b[s.pos]) {
		if !add(line) {
			return false, stop
		}
		return false, goOn
	}
	s.header, s.folding = append(s.header[:0], line...), true
	return false, goOn
}

// folds reports whether a line that begins with c continues the one before.
func folds(c byte) bool { return c == ' ' || c == '\t' || c == 0 }

// lineEnd passes over the odd ends that lines of responses may have, and reports whether the line is the empty one.
func (s *httpSide) lineEnd(line []byte, response bool) (last bool) {
	n := len(line)
	if !response || n == 0 {
		return empty(line)
	}
	at := func(i int, c byte) bool { return s.pos+i < len(s.b) && s.b[s.pos+i] == c }
	swapped := s.swapped
	s.swapped = false
	switch {
	case n >= 2 && line[n-2] == '\r' && line[n-1] == '\n':
		if swapped && n == 2 && at(0, '\r') {
			s.pos++
			if at(0, '\n') {
				s.pos++
			}
		}
	case line[n-1] == '\n' && at(0, '\r'):
		s.pos++
		s.swapped = true
		return false
	}
	if n == 2 && (line[0] == ' ' || line[0] == '\t') && line[1] == '\n' {
		return s.pos < len(s.b) && s.b[s.pos] != '\n'
	}
	return empty(line)
}

// flush adds the header that waited for continuations.
func (s *httpSide) flush(add func(b []byte) bool) verdict {
	if s.folding {
		s.folding = false
		ok := add(s.header)
		s.header = s.header[:0]
		if !ok {
			return stop
		}
	}
	return goOn
}

// chunkLine reads the length of a chunk, and how many bytes its line has: -1 if there is none, -2 if the line is empty.
func (s *httpSide) chunkLine() (n int64, line []byte, v verdict) {
	if s.status == httpClosed {
		return 0, nil, needMore
	}
	line, v = s.readLine(lfEnds)
	if v != goOn {
		return 0, nil, v
	}
	return parseChunk(line), line, goOn
}

// junk returns how many bytes there are up to the first that cannot begin the length of a chunk; 0 if there is none.
func (s *httpSide) junk() int {
	for i, c := range s.b[s.pos:] {
		if len(s.line) > 0 {
			break
		}
		if space(c) {
			continue
		}
		if l := lower(c); (l < '0' || l > '9') && (l < 'a' || l > 'f') {
			return i + 1
		}
		break
	}
	return 0
}

// parseChunk reads a hexadecimal number, with white space before it; -1 if there is none, -2 if the line is empty.
func parseChunk(b []byte) int64 {
	b = bytes.TrimLeft(b, "\r\n\t \v\f\x00")
	if len(b) == 0 {
		return -2
	}
	n, digits := int64(0), 0
	for ; digits < len(b); digits++ {
		c := lower(b[digits])
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		default:
			goto end
		}
		if n > 1<<31 {
			return -1
		}
	}
end:
	if digits == 0 {
		return -1
	}
	return n
}
