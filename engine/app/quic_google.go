package app

import (
	"encoding/binary"
	"strings"
)

// googleTags are the tags of the handshake of Google QUIC; a message with others is not read.
const googleTags = " AEAD CCRT CCS CETV CFCW CHLO COPT CSCT CTIM ICSL IRTT KEXS MIDS MSPC NONC NONP PAD PDMD PUBS SCID SCLS SFCW" +
	" SMHL SNI SNO STK TCID UAID VER XLCT "

// googleTag returns the name of a tag, "" if it is not known.
func googleTag(b []byte) string {
	name := string(b)
	if name[3] == 0 {
		name = name[:3]
	}
	if strings.ContainsAny(name, " \x00") || !strings.Contains(googleTags, " "+name+" ") {
		return ""
	}
	return name
}

// tags reads the data of a stream, if they are a handshake message of Google QUIC: a tag, how many more tags follow, then these
// with the ends of their values, then the values. For CYU see the Zeek package of Salesforce.
func (e *quicEvent) tags(b []byte) {
	if len(b) < 8 || googleTag(b[:4]) == "" {
		return
	}
	n := int(binary.LittleEndian.Uint16(b[4:]))
	if b = b[8:]; len(b) < 8*n {
		return
	}
	index, values := b[:8*n], b[8*n:]
	end := uint64(0)
	for i := 0; i < len(index); i += 8 {
		next := uint64(binary.LittleEndian.Uint32(index[i+4:]))
		if googleTag(index[i:i+4]) == "" || next < end {
			return
		}
		end = next
	}
	if end != uint64(len(values)) {
		return
	}
	var names []byte
	begin := uint32(0)
	both := e.sni != nil && e.ua != nil
	for i := 0; i < len(index); i += 8 {
		next := binary.LittleEndian.Uint32(index[i+4:])
		name := googleTag(index[i : i+4])
		switch {
		case both:
		case name == "SNI":
			e.sni = values[begin:next]
		case name == "UAID":
			e.ua = values[begin:next]
		}
		both = e.sni != nil && e.ua != nil
		begin = next
		if i > 0 {
			names = append(names, '-')
		}
		names = append(names, name...)
	}
	e.addCYU(names)
}

// addCYU adds the CYU fingerprint of a message with these tags.
func (e *quicEvent) addCYU(names []byte) {
	version := ""
	switch quicVersionName(e.version) {
	case "Q043":
		version = "43,"
	case "Q044", "Q045":
		version = "44,"
	case "Q046":
		version = "46,"
	default:
		return
	}
	s := append([]byte(version), names...)
	if len(e.cyu) > 0 {
		e.cyu = append(e.cyu, ',')
	}
	e.cyu = append(e.cyu, `{"hash":"`...)
	e.cyu = append(e.cyu, ja3Hash(s)...)
	e.cyu = append(e.cyu, `","string":"`...)
	e.cyu = append(e.cyu, s...)
	e.cyu = append(e.cyu, `"}`...)
}
