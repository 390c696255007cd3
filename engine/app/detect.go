package app

import "dragonfly/engine/packet"

// detector remembers what of a flow was tried already. Both kinds of tests look at the first bytes of a direction: patterns on
// all ports, probes where the server's port is the usual one of a protocol, or where the other direction is of that protocol.
type detector struct {
	patterns, probes [2]bool // nothing more to try
	missed           [2]uint32
}

// done reports whether all tests of a direction are through.
func (d *detector) done(dir Dir) bool { return d.patterns[dir] && d.probes[dir] }

// again has the tests of a direction tried anew.
func (d *detector) again(dir Dir) { d.patterns[dir], d.probes[dir] = false, false }

// answer is what a test says of some bytes.
type answer uint8

const (
	maybe answer = iota // unknown, so far
	no
	yes
)

// recognise says which protocol the first bytes of a direction are, and whether they come from the wrong side: a server's
// bytes in a datagram of the client.
func (c *Conn) recognise(d Dir, b []byte) (p protocol, reverse bool) {
	t := &c.detector
	var doubt protocol
	if !t.patterns[d] {
		p, through := c.pattern(d, b)
		if p != unknown {
			t.patterns[d] = true
			if c.sides[1-d] == unknown {
				t.probes[1-d] = false
			}
			if c.proto != packet.UDP || p != dcerpc {
				return p, false
			}
			doubt, reverse = p, d == ToClient // DNS can look like DCE/RPC
		} else if through {
			t.patterns[d] = true
		}
	}
	if !t.probes[d] {
		if p, from := c.probed(d, b); p != unknown {
			return p, from != d
		}
	}
	if !c.expected[d] && c.proto == packet.TCP {
		c.expected[d] = true
		if p, parent := c.config.Expected.match(c.hosts[0], c.hosts[1], c.server, d, c.now); p != unknown {
			c.parent = parent
			if c.sides[1-d] == unknown {
				c.sides[1-d] = p
			}
			return p, false
		}
	}
	return doubt, reverse && doubt != unknown
}

// probed tries the probes of the ports of the flow.
func (c *Conn) probed(d Dir, b []byte) (p protocol, from Dir) {
	t := &c.detector
	dp := c.server
	if c.probe != 0 {
		dp = c.probe
	}
	usual, hers := portProtocol(c.proto, dp), portProtocol(c.proto, c.client)
	other := c.sides[1-d]
	if !probeable(c.proto, other) {
		other = unknown
	}
	if usual == unknown && other == unknown {
		t.probes[d] = true
		return unknown, d
	}
	for _, p := range [...]protocol{other, usual} {
		if p == unknown || t.missed[d]&(1<<p) != 0 {
			continue
		}
		least, most := depth(c.proto, p)
		if len(b) < least {
			continue
		}
		from = d
		switch c.test(p, d, b, &from) {
		case yes:
			return p, from
		case no:
			t.missed[d] |= 1 << p
		default:
			if len(b) > most {
				t.missed[d] |= 1 << p
			}
		}
	}
	var all uint32
	for _, p := range [...]protocol{usual, hers} {
		if p != unknown {
			all |= 1 << p
		}
	}
	if t.missed[d]&all == all {
		t.probes[d] = true
	}
	return unknown, d
}

// portProtocol is the protocol that is probed for on a port.
func portProtocol(proto uint8, port uint16) protocol {
	if proto == packet.TCP {
		switch port {
		case 53:
			return dns
		case 80:
			return http2
		case 443:
			return tls
		case 139, 445:
			return smb
		case 2049:
			return nfs
		case 1883:
			return mqtt
		case 3389:
			return rdp
		case 88:
			return krb5
		case 23:
			return telnet
		}
		return unknown
	}
	switch port {
	case 53:
		return dns
	case 67, 68:
		return dhcp
	case 69:
		return tftp
	case 80, 443:
		return quic
	case 88:
		return krb5
	case 123:
		return ntp
	case 161, 162:
		return snmp
	case 500:
		return ike
	case 2049:
		return nfs
	case 5060, 5061:
		return sip
	}
	return unknown
}

// probeable reports whether a protocol has a probe, which is then also tried when the other direction is of it.
func probeable(proto uint8, p protocol) bool {
	if proto == packet.TCP {
		switch p {
		case dns, http2, tls, smb, nfs, mqtt, rdp, krb5, telnet:
			return true
		}
		return false
	}
	switch p {
	case dns, dhcp, tftp, quic, krb5, ntp, snmp, ike, nfs, sip:
		return true
	}
	return false
}

// depth is how many bytes a probe needs, and after how many it must have made up its mind.
func depth(proto uint8, p protocol) (least, most int) {
	switch {
	case p == dns && proto == packet.TCP:
		return 0, 14
	case p == dns:
		return 0, 12
	case p == http2:
		return 9, 24
	case p == tls:
		return 0, 3
	case p == smb:
		return 0, 36
	case p == nfs:
		return 0, 32
	case p == tftp:
		return 0, 4
	}
	return 0, 16
}

// pattern compares the first bytes with those that protocols begin with. through is true when more bytes cannot change the
// answer.
func (c *Conn) pattern(d Dir, b []byte) (p protocol, through bool) {
	if c.proto == packet.UDP {
		switch {
		case begins(b, "d1:ad2:id20:"):
			return bittorrent, true
		case begins(b, "\x04\x00") && d == ToServer && probeDCERPCUDP(b) == yes:
			return dcerpc, true
		}
		return unknown, len(b) >= len("d1:ad2:id20:")
	}
	if len(b) == 0 {
		return unknown, false
	}
	if p, ok := c.binary(d, b); ok {
		return p, p != unknown || len(b) >= smbLeast
	}
	if d == ToServer {
		return textToServer(b), len(b) >= 17
	}
	return textToClient(b), len(b) >= 8
}

// binary is pattern for protocols that do not begin with words. ok is true if one of their patterns is there.
func (c *Conn) binary(d Dir, b []byte) (p protocol, ok bool) {
	switch {
	case len(b) >= 3 && b[1] == 3 && b[2] <= 3:
		if b[0] == 0x16 || d == ToServer && b[0] == 1 || d == ToClient && (b[0] == 0x15 || b[0] == 0x17) {
			return tls, true
		}
	case begins(b, "\x05\x00"):
		if probeDCERPC(b) == yes {
			return dcerpc, true
		}
		return unknown, true
	case len(b) >= 8 && (b[4] == 0xff || b[4] == 0xfe || b[4] == 0xfd) && string(b[5:8]) == "SMB":
		if len(b) >= smbLeast && probeSMB(b) == yes {
			return smb, true
		}
		return unknown, true
	}
	if d == ToServer && len(b) >= 5 && b[2] == 1 && b[3] == 0 && b[4] == 2 {
		if b[0]&0x80 != 0 {
			return tls, true
		}
		return unknown, true
	}
	return unknown, false
}

// words are what clients begin with, by their first letter in lower case. The case of all does not matter but that of IMAP.
var words = func() (w [256][]word) {
	add := func(p protocol, s ...string) {
		for _, s := range s {
			w[s[0]] = append(w[s[0]], word{s, p})
		}
	}
	for _, m := range []string{"get", "put", "post", "head", "trace", "options", "connect", "delete", "patch", "propfind", "proppatch",
		"mkcol", "copy", "move", "lock", "unlock", "checkout", "uncheckout", "checkin", "update", "label", "report", "mkworkspace",
		"mkactivity", "merge", "invalid", "version-control", "baseline-control"} {
		add(http, m+" ", m+"\t")
	}
	add(http2, "pri * http/2.0\r\n")
	add(ftp, "feat", "user ", "pass ", "port ")
	add(smtp, "ehlo", "helo", "quit")
	add(rfb, "rfb ")
	add(ssh, "ssh-")
	add(imap, "1 capability")
	return w
}()

type word struct {
	text string
	of   protocol
}

func textToServer(b []byte) protocol {
	for _, w := range words[lower(b[0])] {
		if w.of == imap && begins(b, w.text) || w.of != imap && beginsFold(b, w.text) {
			return w.of
		}
	}
	return unknown
}

func textToClient(b []byte) protocol {
	switch lower(b[0]) {
	case 'h':
		if len(b) >= 8 && (beginsFold(b, "http/1.0") || beginsFold(b, "http/1.1") || beginsFold(b, "http/0.9")) {
			return http
		}
	case '2':
		if begins(b, "220 (") {
			return ftp
		}
	case 's':
		if beginsFold(b, "ssh-") {
			return ssh
		}
	case 'r':
		if beginsFold(b, "rfb ") {
			return rfb
		}
	}
	return unknown
}

func begins(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// beginsFold is begins for s in lower case and b in any.
func beginsFold(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range s {
		if lower(b[i]) != s[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
