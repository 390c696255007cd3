package app

import "bytes"

// startTLS watches a conversation of lines for the switch to TLS: STARTTLS of SMTP (RFC 3207), AUTH TLS of FTP (RFC 4217).
type startTLS struct {
	of       protocol
	asked    bool
	switched bool
}

var _ parser = (*startTLS)(nil)

func newStartTLS(p protocol) parser { return &startTLS{of: p} }

func (s *startTLS) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	for !s.switched {
		line, _, ok := bytes.Cut(b[n:], []byte("\n"))
		if !ok {
			if len(b)-n > 4096 {
				n = len(b)
			}
			return n, true
		}
		n += len(line) + 1
		s.line(d, line)
	}
	return n, true
}

func (s *startTLS) line(d Dir, b []byte) {
	switch {
	case d == ToServer && s.of == smtp:
		s.asked = beginsFold(b, "starttls")
	case d == ToServer:
		s.asked = beginsFold(b, "auth tls") || beginsFold(b, "auth ssl")
	case s.of == smtp:
		s.switched = s.asked && begins(b, "220")
	default:
		s.switched = s.asked && begins(b, "234")
	}
}

func (s *startTLS) change() (port uint16, want protocol, ok bool) {
	ok, s.switched = s.switched, false
	return 443, tls, ok
}

func (s *startTLS) gap(Dir, int) bool { return false }

func (s *startTLS) datagram(Dir, []byte, at, func(*Event)) bool { return false }

func (s *startTLS) end(int64, func(*Event)) {}

func (s *startTLS) waiting() bool { return false }
