package app

import (
	"encoding/binary"

	"dragonfly/engine/packet"
)

// test probes for p. It sets from where the bytes themselves say who sent them.
func (c *Conn) test(p protocol, d Dir, b []byte, from *Dir) answer {
	udp := c.proto == packet.UDP
	switch p {
	case dns:
		return probeDNS(b, udp, from)
	case http2:
		return probeHTTP2(d, b)
	case tls:
		return probeTLS(d, b)
	case smb:
		return probeSMB(b)
	case nfs:
		if udp {
			return probeNFSUDP(d, b)
		}
		return probeNFS(d, b)
	case mqtt:
		return probeMQTT(b)
	case rdp:
		return when(len(b) > 0 && b[0] == 3)
	case krb5:
		return probeKerberos(b, udp)
	case telnet:
		return when(len(b) > 1)
	case dhcp:
		return when(len(b) >= 240)
	case tftp:
		return when(len(b) >= 4 && b[0] == 0)
	case quic:
		return probeQUIC(b)
	case ntp:
		return probeNTP(b)
	case snmp:
		return probeSNMP(b)
	case ike:
		return probeIKE(d, b, from)
	case sip:
		return probeSIP(d, b)
	}
	return no
}

func when(ok bool) answer {
	if ok {
		return yes
	}
	return maybe
}

func sure(ok bool) answer {
	if ok {
		return yes
	}
	return no
}

func probeTLS(d Dir, b []byte) answer {
	if d != ToServer || len(b) < 3 {
		return maybe
	}
	return sure(b[0]&0x80 != 0 && b[2] == 1)
}

// probeHTTP2 takes a SETTINGS frame of the server.
func probeHTTP2(d Dir, b []byte) answer {
	if d != ToClient || len(b) < 9 {
		return maybe
	}
	length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	return sure(length <= 16384 && b[3] == 4 && b[4]&0xfe == 0 && b[5]&0x80 == 0)
}

// smbLeast is the length of the heads of NetBIOS and SMB.
const smbLeast = 36

func probeSMB(b []byte) answer {
	if len(b) < smbLeast {
		return maybe
	}
	if !netbios(b) {
		return no
	}
	if smbMagic(b[4:]) {
		return yes
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if b[0] == 0 {
		return no
	}
	switch body := b[4:]; { // a small message of NetBIOS may come first
	case len(body) >= n+8:
		return sure(netbios(body[n:]) && smbMagic(body[n+4:]))
	case n < 256:
		return maybe
	}
	return no
}

func netbios(b []byte) bool { return b[0] == 0 || b[0] >= 0x81 && b[0] <= 0x85 }

func smbMagic(b []byte) bool {
	return len(b) >= 4 && b[0] >= 0xfd && string(b[1:4]) == "SMB"
}

func probeDCERPC(b []byte) answer {
	return sure(len(b) >= 16 && b[0] == 5 && b[1] == 0 && b[4]&0xee == 0 && b[5] <= 3)
}

func probeDCERPCUDP(b []byte) answer {
	return sure(len(b) >= 80 && b[0] == 4 && b[3]&0xfc == 0 && b[4]&0xee == 0 && b[5] <= 3)
}

func probeMQTT(b []byte) answer {
	if len(b) == 0 {
		return maybe
	}
	for i := 1; ; i++ {
		switch {
		case i == 5:
			return no
		case i == len(b):
			return maybe
		case b[i]&0x80 == 0:
			return sure(b[0]>>4 != 0 && b[0]>>1&3 <= 2)
		}
	}
}

func probeKerberos(b []byte, udp bool) answer {
	if !udp {
		if len(b) <= 14 || binary.BigEndian.Uint32(b) > 16384 {
			return no
		}
		b = b[4:]
	}
	if len(b) <= 10 || b[0]>>6 != 1 {
		return no
	}
	_, in, ok := derHead(b)
	if !ok || b[0]&31 == 31 || len(in) == 0 || in[0] != 0x30 {
		return no
	}
	_, in, ok = derHead(in)
	return sure(ok && len(in) > 5 && in[2] == 2 && in[3] == 1 && in[4] == 5)
}

// derHead reads tag and length of an element in BER and returns what follows.
func derHead(b []byte) (length int, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	n := int(b[1])
	b = b[2:]
	if n < 0x80 {
		return n, b, true
	}
	k := n & 0x7f
	if k == 0 || k > 4 || len(b) < k {
		return 0, nil, false
	}
	n = 0
	for _, c := range b[:k] {
		n = n<<8 | int(c)
	}
	return n, b[k:], true
}

// probeSNMP takes a sequence that begins with a version, and has as many elements as that version has.
func probeSNMP(b []byte) answer {
	if len(b) < 4 || b[0] != 0x30 {
		return no
	}
	n, in, ok := derHead(b)
	if !ok {
		return no
	}
	if len(in) < n {
		return maybe
	}
	in = in[:n]
	version, count := -1, 0
	for len(in) > 0 {
		n, rest, ok := derHead(in)
		if !ok || n > len(rest) {
			return no
		}
		if count == 0 && in[0] == 2 && n == 1 {
			version = int(rest[0])
		}
		if count++; count > 4 {
			return no
		}
		in = rest[n:]
	}
	return sure(count == 3 && (version == 0 || version == 1) || count == 4 && version == 3)
}

func probeNTP(b []byte) answer {
	if len(b) < 1 {
		return maybe
	}
	if v := b[0] >> 3 & 7; v != 3 && v != 4 {
		return no
	}
	if len(b) < 48 {
		return maybe
	}
	return sure(b[0]>>3&7 == 3 || ntpTail(b[48:]))
}

// ntpTail reports whether what is behind the head of NTP 4 is a key with its MAC, of 20 bytes, or such after an extension. As in
// Suricata the extension's length is taken for that of its value.
func ntpTail(b []byte) bool {
	if len(b) == 0 || len(b) == 20 {
		return true
	}
	return len(b) >= 4 && len(b) >= 4+int(binary.BigEndian.Uint16(b[2:]))+20
}

func probeIKE(d Dir, b []byte, from *Dir) answer {
	if len(b) < 28 {
		return no
	}
	switch major, minor := b[17]>>4, b[17]&15; major {
	case 1:
	case 2:
		if minor != 0 || b[18] < 34 || b[18] > 37 || int(binary.BigEndian.Uint32(b[24:])) != len(b) {
			return no
		}
	default:
		return no
	}
	if d != ToServer && binary.BigEndian.Uint64(b[8:]) == 0 {
		*from = ToServer
	}
	return yes
}

// probeQUIC takes what has a head as in RFC 9000 (or as in Google's versions before it).
func probeQUIC(b []byte) answer {
	_, ok := readQUICHeader(b)
	return sure(ok)
}

func probeNFS(d Dir, b []byte) answer {
	if len(b) < 4 {
		return maybe
	}
	n := binary.BigEndian.Uint32(b) & 0x7fffffff
	if n < 24 {
		return no
	}
	if len(b) < 12 {
		return maybe
	}
	kind := binary.BigEndian.Uint32(b[8:])
	if kind > 1 {
		return no
	}
	if d == ToClient {
		if n > 35000 || kind != 1 {
			return no
		}
		if len(b) < 16 {
			return sure(binary.BigEndian.Uint32(b[4:]) != 0)
		}
		if binary.BigEndian.Uint32(b[12:]) != 0 {
			return no
		}
		if len(b) < 24 {
			return yes
		}
		verifier := binary.BigEndian.Uint32(b[20:])
		if verifier >= 16384 {
			return no
		}
		if rest := b[24:]; len(rest) >= int(verifier)+4 {
			return sure(binary.BigEndian.Uint32(rest[verifier:]) == 0)
		}
		return yes
	}
	return probeCall(b[12:], n, kind)
}

// probeCall looks at a call of RPC (RFC 5531) after its kind, in a record of n bytes.
func probeCall(b []byte, n, kind uint32) answer {
	if len(b) < 24 {
		return maybe
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	creds := word(5)
	if creds >= 16384 {
		return no
	}
	if len(b) < 24+int(creds)+8 {
		return maybe
	}
	flavor, version := word(4), word(2)
	return sure(n >= 40 && kind == 0 && word(0) == 2 && (version == 3 || version == 4) && word(1) == 100003 && word(3) <= 21 &&
		flavor <= 6)
}

func probeNFSUDP(d Dir, b []byte) answer {
	if len(b) < 24 {
		return no
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	if d == ToClient {
		return sure(len(b) >= 32 && word(1) == 1 && word(3) == 0 && word(4) == 0)
	}
	return sure(len(b) >= 48 && word(1) == 0 && word(3) == 100003 && (word(4) == 2 || word(4) == 3))
}
