package app

import "encoding/binary"

// dnsMessage is a message as it lies on the wire, with the places of its parts. Names are in text, their labels parted by dots.
type dnsMessage struct {
	msg     []byte
	at      int // where reading goes on
	id      uint16
	flags   uint16
	counts  [4]int // of questions, answers, authorities, additionals, as the head says
	short   bool   // the message ended too early
	options bool   // OPT is reported

	queries                           []dnsQuery
	answers, authorities, additionals []dnsRecord
	text                              []byte // all names of the message
}

type dnsQuery struct {
	name dnsName
	kind uint16
}

// dnsName is a part of dnsMessage.text.
type dnsName struct {
	from, to int
	cut      bool // too long, or with too many labels
}

type dnsRecord struct {
	name dnsName
	kind uint16
	ttl  uint32
	data []byte  // as it lies on the wire; of TXT one string without its length
	host dnsName // in data
	more dnsName // rname of SOA
	rest []byte  // what follows the names in SOA
}

// dnsMaxName is how long a name gets; dnsMaxLabels how many labels and pointers it may have; dnsMaxRecords how many records of a
// section are kept (each string of TXT is one).
const (
	dnsMaxName    = 1025
	dnsMaxLabels  = 255
	dnsMaxRecords = 8192
	dnsMaxText    = 1 << 20 // all names of a message: a message of 64 KiB can repeat a long one thousands of times
)

// head reads the head of a message, which must leave room for all that it announces.
func (m *dnsMessage) head(b []byte) bool {
	m.queries, m.answers, m.authorities, m.additionals = m.queries[:0], m.answers[:0], m.authorities[:0], m.additionals[:0]
	m.text, m.msg, m.at, m.short = m.text[:0], b, 12, false
	return len(b) >= 12 && m.counted(b, len(b))
}

func (m *dnsMessage) counted(b []byte, size int) bool {
	m.id, m.flags = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	need := 12
	for i := range m.counts {
		m.counts[i] = int(binary.BigEndian.Uint16(b[4+2*i:]))
		need += 2 * m.counts[i]
	}
	return need <= size
}

// done lets go of the message, and of memory that a large one took.
func (m *dnsMessage) done() {
	m.msg = nil
	if cap(m.text) > 16<<10 || cap(m.answers)+cap(m.authorities)+cap(m.additionals)+cap(m.queries) > 256 {
		*m = dnsMessage{}
	}
}

func (m *dnsMessage) questions() bool {
	for range m.counts[0] {
		name, ok := m.name(m.msg)
		if !ok || !m.has(4) {
			return false
		}
		m.queries = append(m.queries, dnsQuery{name, m.uint16()})
		m.at += 2
	}
	return true
}

// has reports whether n more bytes are there.
func (m *dnsMessage) has(n int) bool {
	if len(m.msg)-m.at < n {
		m.short = true
		return false
	}
	return true
}

func (m *dnsMessage) uint16() uint16 {
	m.at += 2
	return binary.BigEndian.Uint16(m.msg[m.at-2:])
}

// name reads a name at m.at, in a part of the message that ends with b.
func (m *dnsMessage) name(b []byte) (n dnsName, ok bool) {
	n.from = len(m.text)
	pos, jumped := m.at, false
	for count := 1; ; count++ {
		if pos >= len(b) {
			break
		}
		length := int(b[pos])
		switch length & 0xc0 {
		case 0:
			if length == 0 {
				pos++
				break
			}
			if pos+1+length > len(b) {
				m.short = true
				return n, false
			}
			if !n.cut {
				if len(m.text) > n.from {
					m.text = append(m.text, '.')
				}
				m.text = append(m.text, b[pos+1:pos+1+length]...)
			}
			pos += 1 + length
		case 0xc0:
			if pos+2 > len(b) {
				m.short = true
				return n, false
			}
			to := int(binary.BigEndian.Uint16(b[pos:])) & 0x3fff
			self := to == pos && len(b) == len(m.msg)
			if to > len(m.msg) || self && !jumped {
				return n, false
			}
			if !jumped {
				m.at, jumped = pos+2, true
			}
			if self {
				n.to = len(m.text)
				return n, true
			}
			pos, b = to, m.msg
			length = 1
		default:
			return n, false
		}
		if length == 0 {
			break
		}
		if count > dnsMaxLabels {
			if !jumped {
				return n, false
			}
			n.cut = true
			break
		}
		if len(m.text)-n.from > dnsMaxName {
			m.text = m.text[:n.from+dnsMaxName]
			n.cut = true
			if jumped {
				break
			}
		}
	}
	if !jumped {
		m.at = pos
	}
	n.to = len(m.text)
	return n, len(m.text) <= dnsMaxText
}

// records reads n records.
func (m *dnsMessage) records(n int, to *[]dnsRecord) bool {
	for range n {
		var r dnsRecord
		var ok bool
		if r.name, ok = m.name(m.msg); !ok || !m.has(10) {
			return false
		}
		r.kind = m.uint16()
		m.at += 2 // class
		r.ttl = binary.BigEndian.Uint32(m.msg[m.at:])
		m.at += 4
		size := int(m.uint16())
		if !m.has(size) {
			return false
		}
		end := m.at + size
		if !m.data(r, end, to) {
			return false
		}
		m.at = end
	}
	return true
}

// data reads the data of a record, which ends at end. Each string of TXT becomes a record of its own.
func (m *dnsMessage) data(r dnsRecord, end int, to *[]dnsRecord) (ok bool) {
	in := m.msg[:end]
	if m.at == end || len(*to) >= dnsMaxRecords {
		return m.at < end || m.options && r.kind == dnsOPT && m.keep(r, to)
	}
	r.data = in[m.at:]
	switch r.kind {
	case dnsTXT:
		if len(r.data) == 0 || len(r.data) < 1+int(r.data[0]) {
			return false
		}
		for b := r.data; len(b) > 0 && len(b) >= 1+int(b[0]) && len(*to) < dnsMaxRecords; b = b[1+int(b[0]):] {
			r.data = b[1 : 1+int(b[0])]
			*to = append(*to, r)
		}
		return true
	case dnsCNAME, dnsPTR, dnsNS:
		if r.host, ok = m.name(in); !ok || len(r.data) == 0 {
			return false
		}
	case dnsMX:
		if len(r.data) < 2 {
			return false
		}
		m.at += 2
		if r.host, ok = m.name(in); !ok {
			return false
		}
	case dnsSRV:
		if len(r.data) < 6 {
			return false
		}
		m.at += 6
		if r.host, ok = m.name(in); !ok {
			return false
		}
	case dnsSOA:
		if r.host, ok = m.name(in); !ok {
			return false
		}
		if r.more, ok = m.name(in); !ok || len(in)-m.at < 20 {
			return false
		}
		r.rest = in[m.at : m.at+20]
	case dnsSSHFP:
		if len(r.data) < 2 {
			return false
		}
	}
	*to = append(*to, r)
	return true
}

func (m *dnsMessage) keep(r dnsRecord, to *[]dnsRecord) bool {
	*to = append(*to, r)
	return true
}
