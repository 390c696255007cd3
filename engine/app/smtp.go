package app

import "bytes"

// smtpParser watches a conversation of SMTP for STARTTLS (RFC 3207).
type smtpParser struct {
	asked    bool
	switched bool
}

var _ interface {
	parser
	changer
	waiter
} = (*smtpParser)(nil)

func newSMTP() parser { return &smtpParser{} }

// smtpMaxLine is how long a line gets; the rest of a longer one is passed over.
const smtpMaxLine = 4096

func (s *smtpParser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	for !s.switched {
		line, _, ok := bytes.Cut(b[n:], []byte("\n"))
		if !ok {
			if len(b)-n > smtpMaxLine {
				n = len(b)
			}
			return n, true
		}
		n += len(line) + 1
		if d == ToServer {
			s.asked = beginsFold(line, "starttls")
		} else {
			s.switched = s.asked && begins(line, "220")
		}
	}
	return n, true
}

func (s *smtpParser) change() (port uint16, want protocol, ok bool) {
	ok, s.switched = s.switched, false
	return 443, tls, ok
}

func (s *smtpParser) gap(Dir, int) bool { return false }

func (s *smtpParser) datagram(Dir, []byte, at, func(*Event)) bool { return false }

func (s *smtpParser) end(int64, func(*Event)) {}

func (s *smtpParser) waiting() bool { return false }
