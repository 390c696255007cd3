package app

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
	buf      []byte // of the event
	lines    []byte // headers of the request, to be handed on should it be upgraded; each with an LF
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
// bytes of headers that are kept for one message and for all open transactions.
const (
	httpMaxLine    = 18000
	httpMaxOpen    = 512
	httpMaxHeaders = 1024
	httpMaxHead    = 64 << 10
	httpMaxKept    = 256 << 10
	httpMaxLines   = 8 << 10
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
		p.at.packet = 0 // Suricata reports from a packet of its own
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
			if s.status == httpClosed { // what comes all the same is read
				s.status = httpOpen
			}
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
