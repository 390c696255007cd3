package app

import (
	"slices"
	"strconv"
)

// The types of records whose data is understood.
const (
	dnsA     = 1
	dnsNS    = 2
	dnsCNAME = 5
	dnsSOA   = 6
	dnsNULL  = 10
	dnsPTR   = 12
	dnsMX    = 15
	dnsTXT   = 16
	dnsAAAA  = 28
	dnsSRV   = 33
	dnsOPT   = 41
	dnsSSHFP = 44
)

// dnsKinds are Suricata's names of types, typing errors included.
var dnsKinds = map[uint16]string{1: "A", 2: "NS", 3: "ND", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS",
	12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP",
	23: "NSAPPT", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 34: "ATMA", 35: "NAPTR",
	36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC",
	48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 55: "HIP", 59: "CDS", 60: "CDSNKEY", 65: "HTTPS", 99: "SPF",
	249: "TKEY", 250: "TSIG", 254: "MAILA", 255: "ANY", 256: "URI"}

var dnsCodes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
	"NOTZONE"}

// dnsEnough is how long an event gets: records that would go beyond are left out.
const dnsEnough = 1 << 20

// query appends the event of version 2 for one question.
func (m *dnsMessage) query(b []byte, i, id int) []byte {
	q := m.queries[i]
	b = append(b, `"dns":{"version":2,"type":"query"`...)
	b = memberUint(b, "id", uint64(m.id))
	b = m.appendName(b, "rrname", q.name)
	b = m.kind(b, q.kind)
	b = memberUint(b, "tx_id", uint64(id))
	if m.flags&0x40 != 0 {
		b = memberTrue(b, "z")
	}
	b = memberUint(b, "opcode", uint64(m.flags>>11&15))
	return append(b, '}')
}

// answer appends the event of version 2 for a response.
func (m *dnsMessage) answer(b []byte) []byte {
	b = append(b, `"dns":{"version":2,"type":"answer"`...)
	b = memberUint(b, "id", uint64(m.id))
	b = m.flagMembers(b)
	if len(m.queries) > 0 {
		b = m.appendName(b, "rrname", m.queries[0].name)
		b = m.kind(b, m.queries[0].kind)
	}
	b = m.code(b)
	b = m.answerMembers(b)
	b = m.section(b, "authorities", m.authorities)
	return append(b, '}')
}

// json3 appends the event of version 3, for both.
func (m *dnsMessage) json3(b []byte, d Dir, id int) []byte {
	b = append(b, `"dns":{"version":3,"type":`...)
	if d == ToServer {
		b = append(b, `"request"`...)
	} else {
		b = append(b, `"response"`...)
	}
	b = memberUint(b, "tx_id", uint64(id))
	b = memberUint(b, "id", uint64(m.id))
	b = m.flagMembers(b)
	b = m.code(b)
	if len(m.queries) > 0 {
		b = append(member(b, "queries"), '[')
		for _, q := range m.queries {
			if len(b) > dnsEnough {
				break
			}
			b = append(element(b), '{')
			b = memberText(b, "rrname", m.name1(q.name))
			b = m.kind(b, q.kind)
			if q.name.cut {
				b = memberTrue(b, "rrname_truncated")
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = m.answerMembers(b)
	b = m.section(b, "authorities", m.authorities)
	b = m.section(b, "additionals", m.additionals)
	return append(b, '}')
}

func (m *dnsMessage) flagMembers(b []byte) []byte {
	b = append(member(b, "flags"), '"')
	b = append(strconv.AppendUint(b, uint64(m.flags), 16), '"')
	for i, name := range [...]string{"qr", "aa", "tc", "rd", "ra", "z"} {
		if m.flags&[...]uint16{0x8000, 0x400, 0x200, 0x100, 0x80, 0x40}[i] != 0 {
			b = memberTrue(b, name)
		}
	}
	return memberUint(b, "opcode", uint64(m.flags>>11&15))
}

func (m *dnsMessage) code(b []byte) []byte {
	n := int(m.flags & 15)
	if n < len(dnsCodes) {
		return memberWord(b, "rcode", dnsCodes[n])
	}
	return memberWord(b, "rcode", strconv.Itoa(n))
}

func (m *dnsMessage) kind(b []byte, k uint16) []byte {
	b = append(member(b, "rrtype"), '"')
	return append(appendKind(b, k), '"')
}

func appendKind(b []byte, k uint16) []byte {
	if s, ok := dnsKinds[k]; ok {
		return append(b, s...)
	}
	return strconv.AppendUint(b, uint64(k), 10)
}

func (m *dnsMessage) name1(n dnsName) []byte { return m.text[n.from:n.to] }

func (m *dnsMessage) appendName(b []byte, key string, n dnsName) []byte {
	b = memberText(b, key, m.name1(n))
	if n.cut {
		b = memberTrue(b, key+"_truncated")
	}
	return b
}

// answerMembers appends answers and, by their type, grouped.
func (m *dnsMessage) answerMembers(b []byte) []byte {
	if len(m.answers) == 0 {
		return b
	}
	b = m.section(b, "answers", m.answers)
	b = append(member(b, "grouped"), '{')
	var kinds [11]uint16 // as many as are understood
	for _, kind := range m.kinds(kinds[:0]) {
		b = append(member(b, dnsKinds[kind]), '[')
		for _, r := range m.answers {
			if r.kind == kind && len(b) < dnsEnough {
				b = m.value(element(b), r)
			}
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// kinds appends the types of the answers that are understood, each once.
func (m *dnsMessage) kinds(to []uint16) []uint16 {
	for _, r := range m.answers {
		if dnsUnderstood(r.kind) && !slices.Contains(to, r.kind) {
			to = append(to, r.kind)
		}
	}
	return to
}

func dnsUnderstood(k uint16) bool {
	switch k {
	case dnsA, dnsAAAA, dnsCNAME, dnsMX, dnsNS, dnsPTR, dnsTXT, dnsNULL, dnsSOA, dnsSSHFP, dnsSRV:
		return true
	}
	return false
}

func (m *dnsMessage) section(b []byte, name string, records []dnsRecord) []byte {
	if len(records) == 0 {
		return b
	}
	start := len(b)
	b = append(member(b, name), '[')
	any := false
	for _, r := range records {
		if len(b) > dnsEnough {
			break
		}
		if r.kind == dnsOPT && name == "additionals" && len(r.data) == 0 {
			continue
		}
		b = m.record(element(b), r)
		any = true
	}
	if !any {
		return b[:start]
	}
	return append(b, ']')
}

func (m *dnsMessage) record(b []byte, r dnsRecord) []byte {
	b = append(b, '{')
	b = m.appendName(b, "rrname", r.name)
	b = m.kind(b, r.kind)
	b = memberUint(b, "ttl", uint64(r.ttl))
	switch r.kind {
	case dnsSOA:
		b = m.value(member(b, "soa"), r)
	case dnsSSHFP:
		b = m.value(member(b, "sshfp"), r)
	case dnsSRV:
		b = m.value(member(b, "srv"), r)
	case dnsOPT:
		if m.options {
			b = appendOptions(member(b, "opt"), r.data)
		}
	default:
		if dnsUnderstood(r.kind) {
			b = m.value(member(b, "rdata"), r)
			if r.host.cut {
				b = memberTrue(b, "rdata_truncated")
			}
		}
	}
	return append(b, '}')
}

// value appends the data of a record that is understood.
func (m *dnsMessage) value(b []byte, r dnsRecord) []byte {
	switch r.kind {
	case dnsA, dnsAAAA:
		return appendAddress(b, r.data)
	case dnsTXT, dnsNULL:
		return appendString(b, r.data)
	case dnsSOA:
		b = append(b, '{')
		b = m.appendName(b, "mname", r.host)
		b = m.appendName(b, "rname", r.more)
		for i, name := range [...]string{"serial", "refresh", "retry", "expire", "minimum"} {
			b = memberUint(b, name, uint64(be32(r.rest[4*i:])))
		}
		return append(b, '}')
	case dnsSSHFP:
		b = append(b, `{"fingerprint":"`...)
		for i, c := range r.data[2:] {
			if i > 0 {
				b = append(b, ':')
			}
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
		b = append(b, '"')
		b = memberUint(b, "algo", uint64(r.data[0]))
		b = memberUint(b, "type", uint64(r.data[1]))
		return append(b, '}')
	case dnsSRV:
		b = append(b, '{')
		b = memberUint(b, "priority", uint64(r.data[0])<<8|uint64(r.data[1]))
		b = memberUint(b, "weight", uint64(r.data[2])<<8|uint64(r.data[3]))
		b = memberUint(b, "port", uint64(r.data[4])<<8|uint64(r.data[5]))
		b = memberText(b, "name", m.name1(r.host))
		return append(b, '}')
	}
	return appendString(b, m.name1(r.host))
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// appendAddress appends an address in the form of EVE: all digits of IPv6. What has another length is empty.
func appendAddress(b, a []byte) []byte {
	b = append(b, '"')
	switch len(a) {
	case 4:
		for i, c := range a {
			if i > 0 {
				b = append(b, '.')
			}
			b = strconv.AppendUint(b, uint64(c), 10)
		}
	case 16:
		for i, c := range a {
			if i > 0 && i&1 == 0 {
				b = append(b, ':')
			}
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, '"')
}

// appendOptions appends the options of EDNS (RFC 6891).
func appendOptions(b, data []byte) []byte {
	b = append(b, '[')
	for len(data) >= 4 {
		n := int(data[2])<<8 | int(data[3])
		if len(data) < 4+n || len(b) > dnsEnough {
			break
		}
		b = append(element(b), '{')
		b = memberUint(b, "code", uint64(data[0])<<8|uint64(data[1]))
		b = append(member(b, "data"), '"')
		for _, c := range data[4 : 4+n] {
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
		b = append(b, '"', '}')
		data = data[4+n:]
	}
	return append(b, ']')
}
