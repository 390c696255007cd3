package app

import (
	"bytes"
	"strconv"
)

// ftpParser watches the commands of FTP (RFC 959, RFC 2428, RFC 4217) that make other connections, or this one TLS.
type ftpParser struct {
	conn     *Conn
	command  ftpCommand
	line     []byte // of PORT or EPRT, until it is answered
	port     uint16 // that was agreed on; 0: none
	active   bool   // the server connects
	switched bool
	bad      bool
}

type ftpCommand uint8

const (
	ftpOther ftpCommand = iota
	ftpAuth
	ftpPort
	ftpExtendedPort
	ftpPassive
	ftpExtendedPassive
	ftpRetrieve
	ftpStore
)

var ftpCommands = []struct {
	text string
	is   ftpCommand
}{{"auth tls", ftpAuth}, {"port", ftpPort}, {"eprt", ftpExtendedPort}, {"pasv", ftpPassive}, {"epsv", ftpExtendedPassive},
	{"retr", ftpRetrieve}, {"stor", ftpStore}}

// ftpMaxLine is how long a line gets; the rest of a longer one is passed over.
const ftpMaxLine = 4096

var _ interface {
	parser
	changer
	quitter
	waiter
} = (*ftpParser)(nil)

func newFTP(c *Conn) parser { return &ftpParser{conn: c} }

func (p *ftpParser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	for !p.switched && !p.bad {
		line, _, ok := bytes.Cut(b[n:], []byte("\n"))
		if !ok {
			if len(b)-n > ftpMaxLine {
				n = len(b)
			}
			return n, true
		}
		n += len(line) + 1
		line = bytes.TrimRight(line, "\r")
		if d == ToServer {
			p.request(line, at)
		} else {
			p.response(line)
		}
	}
	return n, !p.bad
}

func (p *ftpParser) request(line []byte, at at) {
	p.command = ftpOther
	for _, c := range ftpCommands {
		if beginsFold(line, c.text) {
			p.command = c.is
		}
	}
	switch p.command {
	case ftpPort, ftpExtendedPort:
		p.line = append(p.line[:0], line...)
	case ftpRetrieve, ftpStore:
		if p.port == 0 || len(line) < 6 {
			p.bad = true
			return
		}
		e := expectation{by: p.conn, port: p.port, dir: ToServer, of: ftpData, time: at.time, flow: p.conn.flow}
		if p.active == (p.command == ftpStore) {
			e.dir = ToClient
		}
		p.conn.config.Expected.add(p.conn.hosts[0], p.conn.hosts[1], e)
		p.conn.announced = true
		p.port, p.active = 0, false
	}
}

func (p *ftpParser) response(line []byte) {
	port, active := uint16(0), false
	switch p.command {
	case ftpAuth:
		p.switched = begins(line, "234 ")
	case ftpPort:
		port, active = lastTwo(p.line), true
	case ftpExtendedPort:
		port, active = lastField(p.line), true
	case ftpPassive:
		if begins(line, "227 ") {
			_, in, _ := bytes.Cut(line, []byte("("))
			in, _, _ = bytes.Cut(in, []byte(")"))
			port = lastTwo(in)
		}
	case ftpExtendedPassive:
		if begins(line, "229 ") {
			_, in, _ := bytes.Cut(line, []byte("("))
			in, _, _ = bytes.Cut(in, []byte(")"))
			port = lastField(in)
		}
	}
	if port != 0 {
		p.port, p.active = port, active
	}
}

// lastTwo reads the port of h1,h2,h3,h4,p1,p2.
func lastTwo(b []byte) uint16 {
	f := bytes.Split(b, []byte(","))
	if len(f) != 6 {
		return 0
	}
	high, err1 := strconv.ParseUint(string(f[4]), 10, 8)
	low, err2 := strconv.ParseUint(string(bytes.TrimSpace(f[5])), 10, 8)
	if err1 != nil || err2 != nil {
		return 0
	}
	return uint16(high<<8 | low)
}

// lastField reads the port of |2|::1|5282| and of |||6446|.
func lastField(b []byte) uint16 {
	f := bytes.Split(b, []byte("|"))
	if len(f) != 5 {
		return 0
	}
	n, err := strconv.ParseUint(string(f[3]), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

func (p *ftpParser) change() (port uint16, want protocol, ok bool) {
	ok, p.switched = p.switched, false
	return 443, tls, ok
}

func (p *ftpParser) gap(Dir, int) bool { return false }

func (p *ftpParser) datagram(Dir, []byte, at, func(*Event)) bool { return false }

func (p *ftpParser) end(int64, func(*Event)) {}

func (p *ftpParser) broken() bool { return p.bad }

func (p *ftpParser) waiting() bool { return false }
