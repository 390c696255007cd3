package app

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
)

// quicEvent is what one packet tells.
type quicEvent struct {
	cfg        *Config
	version    uint32
	client     bool // the packet is of the client
	sni, ua    []byte
	cyu        []byte // members of the array
	ja3        []byte
	ja4        string
	extensions []byte // members of the array
}

// hello takes a hello over.
func (e *quicEvent) hello(h *quicHello) {
	var j *ja4
	if h.client && e.client && e.cfg.JA4 && e.cfg.JA4QUIC {
		j = &ja4{quic: true}
		if !e.cfg.SuricataJA {
			j.legacy = h.version
		}
		for b := h.ciphers; len(b) > 1; b = b[2:] {
			j.addCipher(binary.BigEndian.Uint16(b))
		}
	}
	var kinds, groups, formats []byte
	for b := h.extensions; ; {
		x, ok := nextExtension(&b)
		if !ok {
			break
		}
		kinds = e.appendJA3(kinds, x.kind)
		switch x.kind {
		case extSupportedGroups:
			groups = e.appendJA3List(groups, x.list)
		case extPointFormats:
			for _, v := range x.list {
				formats = appendJA3(formats, uint16(v))
			}
		}
		if j != nil {
			x.addTo(j)
		}
		e.extension(x)
	}
	if j != nil {
		e.ja4 = j.sum(e.cfg.SuricataJA)
	}
	if !e.cfg.JA3 {
		return
	}
	e.ja3 = append(appendJA3(e.ja3[:0], h.version), ',')
	e.ja3 = append(e.ja3, e.appendJA3List(nil, h.ciphers)...)
	e.ja3 = append(append(e.ja3, ','), kinds...)
	if h.client && !(h.bare && e.cfg.SuricataJA) {
		e.ja3 = append(append(e.ja3, ','), groups...)
		e.ja3 = append(append(e.ja3, ','), formats...)
	}
}

// appendJA3 adds to a list of the JA3 string. Suricata 7.0.10 leaves GREASE in those of QUIC.
func (e *quicEvent) appendJA3(list []byte, v uint16) []byte {
	if grease(v) && !e.cfg.SuricataJA {
		return list
	}
	return appendJA3(list, v)
}

func (e *quicEvent) appendJA3List(list, b []byte) []byte {
	for ; len(b) > 1; b = b[2:] {
		list = e.appendJA3(list, binary.BigEndian.Uint16(b))
	}
	return list
}

// addTo adds the extension to a fingerprint.
func (x quicExtension) addTo(j *ja4) {
	j.addExtension(x.kind)
	switch x.kind {
	case extSupportedVersions:
		for b := x.list; len(b) > 1; b = b[2:] {
			j.addVersion(binary.BigEndian.Uint16(b))
		}
	case extSignatureAlgorithms:
		for b := x.list; len(b) > 1; b = b[2:] {
			j.addSignature(binary.BigEndian.Uint16(b))
		}
	case extALPN:
		if name, ok := prefixed(x.list, 1); ok {
			j.setALPN(name)
		}
	}
}

// extension adds an extension to the array, with the values of those that have some to show.
func (e *quicEvent) extension(x quicExtension) {
	b := e.extensions
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(b, '{')
	if name := quicExtensionName(x.kind); name != "" {
		b = appendMember(b, "name", name)
	}
	b = strconv.AppendUint(append(b, `"type":`...), uint64(x.kind), 10)
	empty := len(b)
	b = append(b, `,"values":[`...)
	begin := len(b)
	b = x.appendValues(e, b)
	if len(b) == begin {
		b = append(b[:empty], '}')
	} else {
		b = append(b[:len(b)-1], "]}"...)
	}
	e.extensions = b
}

// appendValues appends `"value",` for each value.
func (x quicExtension) appendValues(e *quicEvent, b []byte) []byte {
	list := x.list
	switch x.kind {
	case extSupportedVersions:
		for ; len(list) > 1; list = list[2:] {
			b = append(lazyjson.AppendQuoted(b, rustVersion(binary.BigEndian.Uint16(list))), ',')
		}
	case extSignatureAlgorithms:
		for ; len(list) > 1; list = list[2:] {
			b = strconv.AppendUint(append(b, '"'), uint64(binary.BigEndian.Uint16(list)), 10)
			b = append(b, `",`...)
		}
	case extServerName:
		for len(list) > 0 {
			name, ok := prefixed(list[1:], 2) // before it the kind of name
			if !ok {
				break
			}
			if len(list) == len(x.list) {
				e.sni = name
			}
			b = append(lazyjson.AppendQuoted(b, lossy(name)), ',')
			list = list[3+len(name):]
		}
	case extALPN:
		for len(list) > 0 {
			name, ok := prefixed(list, 1)
			if !ok {
				break
			}
			b = append(lazyjson.AppendQuoted(b, lossy(name)), ',')
			list = list[1+len(name):]
		}
	}
	return b
}

func (e *quicEvent) report(at at, found func(*Event)) {
	found(&Event{Type: "quic", Time: at.time, Packet: at.packet, Dir: at.dir, ByPacket: true, TxID: -1, Body: e.body()})
}

// body returns the members of the event.
func (e *quicEvent) body() []byte {
	b := make([]byte, 0, 128+len(e.cyu)+len(e.ja3)+len(e.extensions))
	b = append(b, `"quic":{`...)
	b = appendMember(b, "version", quicVersionName(e.version))
	if e.sni != nil {
		b = appendMember(b, "sni", lossy(e.sni))
	}
	if e.ua != nil {
		b = appendMember(b, "ua", lossy(e.ua))
	}
	if len(e.cyu) > 0 {
		b = append(append(append(b, `"cyu":[`...), e.cyu...), `],`...)
	}
	if e.ja3 != nil {
		name := "ja3s"
		if e.client {
			name = "ja3"
		}
		b = append(appendJA3Object(b, name, ja3Hash(e.ja3), e.ja3), ',')
	}
	if e.ja4 != "" {
		b = appendMember(b, "ja4", e.ja4)
	}
	if len(e.extensions) > 0 {
		b = append(append(append(b, `"extensions":[`...), e.extensions...), `],`...)
	}
	b[len(b)-1] = '}' // the version is always there
	return b
}

// lossy returns b as text, with U+FFFD for each byte that is none.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}
