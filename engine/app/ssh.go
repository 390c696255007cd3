package app

import "bytes"

// sshParser reads the banners that both sides begin with (RFC 4253, 4.2).
type sshParser struct {
	sides [2]sshBanner
	bad   bool
}

type sshBanner struct {
	done              bool
	version, software []byte
}

var _ parser = (*sshParser)(nil)

func newSSH(*Config) parser { return &sshParser{} }

// sshMaxBanner is how long the line of a banner may be, and how much of each part is reported.
const sshMaxBanner = 256

func (s *sshParser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	side := &s.sides[d]
	if side.done {
		return len(b), true
	}
	line, _, ok := bytes.Cut(b, []byte("\n"))
	if !ok && len(b) < sshMaxBanner {
		return 0, true
	}
	side.version, side.software, ok = parseBanner(line)
	if !ok {
		s.bad = true
		if s.sides[1-d].done { // what the other side is, is known all the same
			s.report(at, found)
		}
		return len(b), false
	}
	side.done = true
	if o := &s.sides[1-d]; !o.done {
		return len(b), true
	}
	s.report(at, found)
	return len(b), false
}

// parseBanner reads `SSH-2.0-OpenSSH_9.2p1 comment`.
func parseBanner(line []byte) (version, software []byte, ok bool) {
	if !begins(line, "SSH-") {
		return nil, nil, false
	}
	version, rest, ok := bytes.Cut(line[4:], []byte("-"))
	if !ok || len(version) == 0 {
		return nil, nil, false
	}
	if i := bytes.IndexAny(rest, " \r\n"); i > 0 {
		rest = rest[:i]
	}
	return bytes.Clone(version), bytes.Clone(rest), true
}

func (s *sshParser) report(at at, found func(*Event)) {
	b := append(make([]byte, 0, 256), `"ssh":{`...)
	for i, name := range [...]string{"client", "server"} {
		side := s.sides[i]
		if len(side.version) == 0 {
			continue
		}
		b = append(member(b, name), '{')
		b = memberText(b, "proto_version", limited(side.version))
		if len(side.software) > 0 {
			b = memberText(b, "software_version", limited(side.software))
		}
		b = append(b, '}')
	}
	found(&Event{Type: "ssh", Time: at.time, Packet: at.packet, Dir: at.dir, TxID: 0, Body: append(b, '}')})
}

func limited(b []byte) []byte {
	if len(b) <= sshMaxBanner {
		return b
	}
	return append(bytes.Clone(b[:sshMaxBanner]), "[truncated]"...)
}

func (s *sshParser) gap(Dir, int) bool { return false }

func (s *sshParser) datagram(Dir, []byte, at, func(*Event)) bool { return false }

// end reports a side whose other side said nothing.
func (s *sshParser) end(time int64, found func(*Event)) {
	if !s.bad && s.sides[ToServer].done != s.sides[ToClient].done {
		s.report(at{time: time}, found)
	}
}

func (s *sshParser) broken() bool { return s.bad }

func (s *sshParser) waiting() bool { return s.sides[ToServer].done != s.sides[ToClient].done }
