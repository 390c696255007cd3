package flow

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// A control connection of FTP announces the port on which a file comes or goes. The flow that then carries it has the protocol
// ftp-data, and the control connection's flow_id as parent_id, as in Suricata.
const (
	protoFTP     = "ftp"
	protoFTPData = "ftp-data"

	maxControls  = 1 << 14
	maxTransfers = 1 << 14 // announced and not yet come, of all control connections
	maxOfPair    = 10      // of those between two addresses
	transferWait = 30e9    // nanoseconds after which an announcement is void
)

// transfers are the control connections of a meter, and what they announce.
type transfers struct {
	controls  map[*entry]*control
	announced map[[2]packet.Addr][]transfer // by the two addresses, the lower first
	count     int                           // in announced
	parents   map[*entry]uint64             // flow_id of the control connection, of flows that carry a transfer
}

// control is what is known of a control connection.
type control struct {
	command uint32 // the last one
	asked   uint16 // port in it
	port    uint16 // agreed on; 0 is none
	active  bool   // the server connects to the client
}

// transfer is an announcement.
type transfer struct {
	from   *entry
	parent uint64
	time   int64
	port   uint16  // of the side that is connected to
	dir    app.Dir // of the data in its flow
}

func command(s string) uint32 { return binary.BigEndian.Uint32([]byte(s)) }

var (
	cmdPORT, cmdEPRT = command("port"), command("eprt")
	cmdPASV, cmdEPSV = command("pasv"), command("epsv")
	cmdRETR, cmdSTOR = command("retr"), command("stor")
)

// commandOf returns the first four letters of a line, in lower case.
func commandOf(line []byte) uint32 {
	if len(line) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(line) | 0x20202020
}

func pairOf(e *entry) [2]packet.Addr {
	if e.dst.Less(e.src) {
		return [2]packet.Addr{e.dst, e.src}
	}
	return [2]packet.Addr{e.src, e.dst}
}

// ftp looks at the payload of a TCP session: a flow may be a control connection, or carry what one announced. Lines that are
// split over segments are not read.
func (m *Meter) ftp(e *entry, p *packet.Packet, dir app.Dir) {
	t := &m.transfers
	switch {
	case e.flags&ftpControl != 0:
		t.read(e, p, dir)
	case t.count > 0 && e.flags&(firstToServer<<dir) == 0:
		e.flags |= firstToServer << dir
		m.carries(e, p.Time, dir)
	}
	if dir == app.ToClient || e.flags&ftpControl != 0 {
		return
	}
	switch commandOf(p.Payload) {
	case cmdPORT, cmdEPRT, cmdPASV, cmdEPSV:
		if len(t.controls) >= maxControls || m.protocol(e) != protoFTP {
			return
		}
		if t.controls == nil {
			t.controls, t.announced, t.parents = map[*entry]*control{}, map[[2]packet.Addr][]transfer{}, map[*entry]uint64{}
		}
		e.flags |= ftpControl
		t.controls[e] = &control{}
		t.read(e, p, dir)
	}
}

// protocol returns the app_proto of e so far.
func (m *Meter) protocol(e *entry) string {
	if e.side != 0 && m.sides[e.side].conn != nil {
		proto, _, _ := m.sides[e.side].conn.Protocols()
		return proto
	}
	return m.names[e.protocols[0]]
}

// read reads the lines of a segment of a control connection.
func (t *transfers) read(e *entry, p *packet.Packet, dir app.Dir) {
	c := t.controls[e]
	for line := range bytes.Lines(p.Payload) {
		line = bytes.TrimRight(line, "\r\n")
		if dir == app.ToClient {
			c.response(line)
		} else if c.request(line) {
			t.announce(e, c, p.Time)
		}
	}
}

// request takes a line of the client and reports whether a transfer follows.
func (c *control) request(line []byte) bool {
	switch c.command = commandOf(line); c.command {
	case cmdPORT:
		c.asked = portOf(line[4:], ',')
	case cmdEPRT:
		c.asked = portOf(line[4:], '|')
	case cmdRETR, cmdSTOR:
		return c.port != 0 && len(line) >= 6
	}
	return false
}

func (c *control) response(line []byte) {
	switch c.command {
	case cmdPORT, cmdEPRT:
		if c.asked != 0 {
			c.port, c.active = c.asked, true
		}
	case cmdPASV:
		if _, in, ok := bytes.Cut(line, []byte("(")); ok && bytes.HasPrefix(line, []byte("227 ")) {
			if in, _, ok = bytes.Cut(in, []byte(")")); ok {
				c.agree(portOf(in, ','))
			}
		}
	case cmdEPSV:
		if _, in, ok := bytes.Cut(line, []byte("|||")); ok && bytes.HasPrefix(line, []byte("229 ")) {
			if in, _, ok = bytes.Cut(in, []byte("|)")); ok {
				c.agree(number(in, 1<<16-1))
			}
		}
	}
}

func (c *control) agree(port uint16) {
	if port != 0 {
		c.port, c.active = port, false
	}
}

// portOf reads the port of h1,h2,h3,h4,p1,p2 (RFC 959) or of |2|address|port| (RFC 2428); 0 is none.
func portOf(b []byte, separator byte) uint16 {
	if separator == '|' {
		parts := bytes.SplitN(b, []byte("|"), 5)
		if len(parts) < 5 {
			return 0
		}
		return number(parts[3], 1<<16-1)
	}
	parts := bytes.SplitN(b, []byte(","), 7)
	if len(parts) != 6 {
		return 0
	}
	return number(parts[4], 255)<<8 | number(parts[5], 255)
}

// number reads a decimal number up to most, else 0.
func number(b []byte, most uint64) uint16 {
	b = bytes.TrimSpace(b)
	if len(b) > 5 {
		return 0
	}
	n, err := strconv.ParseUint(string(b), 10, 16)
	if err != nil || n > most {
		return 0
	}
	return uint16(n)
}

func (t *transfers) announce(e *entry, c *control, now int64) {
	dir := app.ToServer
	if c.active == (c.command == cmdSTOR) {
		dir = app.ToClient // of the flow that is to come: the server connects if active
	}
	pair := pairOf(e)
	list := t.announced[pair]
	if len(list) >= maxOfPair {
		list = list[1:]
		t.count--
	}
	if t.count < maxTransfers {
		list = append(list, transfer{from: e, parent: e.id(), time: now, port: c.port, dir: dir})
		t.count++
	}
	t.set(pair, list)
	c.port, c.active = 0, false
}

func (t *transfers) set(pair [2]packet.Addr, list []transfer) {
	if len(list) == 0 {
		delete(t.announced, pair)
		return
	}
	t.announced[pair] = list
}

// carries looks whether the data of e was announced.
func (m *Meter) carries(e *entry, now int64, dir app.Dir) {
	t := &m.transfers
	pair := pairOf(e)
	list := t.announced[pair]
	rest := list[:0]
	for _, a := range list {
		switch {
		case a.dir == dir && a.port == e.dport:
			e.flags |= ftpData
			t.parents[e] = a.parent
		case now > a.time+transferWait:
		default:
			rest = append(rest, a)
		}
	}
	if len(rest) < len(list) {
		t.count -= len(list) - len(rest)
		t.set(pair, rest)
	}
}

// forget drops what belongs to a flow that has ended.
func (t *transfers) forget(e *entry) {
	delete(t.parents, e)
	if e.flags&ftpControl == 0 {
		return
	}
	delete(t.controls, e)
	pair := pairOf(e)
	list := t.announced[pair]
	rest := list[:0]
	for _, a := range list {
		if a.from != e {
			rest = append(rest, a)
		}
	}
	t.count -= len(list) - len(rest)
	if len(list) > 0 {
		t.set(pair, rest)
	}
}
