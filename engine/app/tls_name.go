package app

import (
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// badName is what stands for a name of which a value is not the text that it claims to be.
const badName = "<X509Error: Invalid X.509 name>"

// certName returns a distinguished name as text in its own order: "C=US, O=Example + OU=Web, CN=www.example.org". It ends
// where the encoding is broken.
func certName(name der) string {
	var s strings.Builder
	for {
		set, ok := name.take(tagSet)
		if !ok {
			return s.String()
		}
		values := der{set}
		for n := 0; ; n++ {
			attr, ok := values.sequence()
			if !ok && n == 0 {
				return s.String()
			}
			if !ok {
				break
			}
			kind, ok := attr.oid()
			value, ok2 := attr.next()
			if !ok || !ok2 {
				if n == 0 {
					return s.String()
				}
				break
			}
			text, ok := attributeValue(value)
			if !ok {
				return badName
			}
			switch {
			case n > 0:
				s.WriteString(" + ")
			case s.Len() > 0:
				s.WriteString(", ")
			}
			s.WriteString(attributeType(kind))
			s.WriteByte('=')
			s.WriteString(text)
		}
	}
}

// attributeType names an attribute.
func attributeType(oid []byte) string {
	dotted := oidString(oid)
	if name, ok := attributes[dotted]; ok && shortest(oid) {
		return name
	}
	return "OID(" + dotted + ")"
}

// shortest reports whether an object identifier is written as it has to be: another form of it has no name.
func shortest(oid []byte) bool {
	begin := true
	for _, c := range oid {
		if begin && c == 0x80 {
			return false
		}
		begin = c&0x80 == 0
	}
	return begin
}

// attributeValue returns a value as text, or in hexadecimal if it is none. ok is false for text that is not encoded as it says.
func attributeValue(e derElement) (text string, ok bool) {
	switch e.tag {
	case 7, 12, 18, 19, 20, 21, 22, 25, 26, 27: // ObjectDescriptor, UTF8, Numeric, Printable, T61, Videotex, IA5, Graphic, Visible, General
		return string(e.content), utf8.Valid(e.content)
	case 30: // BMPString
		if len(e.content)%2 != 0 {
			return "", false
		}
		units := make([]uint16, 0, len(e.content)/2)
		for i := 0; i < len(e.content); i += 2 {
			units = append(units, uint16(e.content[i])<<8|uint16(e.content[i+1]))
		}
		for i := 0; i < len(units); i++ {
			if !utf16.IsSurrogate(rune(units[i])) {
				continue
			}
			if i+1 == len(units) || utf16.DecodeRune(rune(units[i]), rune(units[i+1])) == utf8.RuneError {
				return "", false
			}
			i++
		}
		return string(utf16.Decode(units)), true
	}
	return strings.ToUpper(hex.EncodeToString(e.content)), true
}

// maxArc bounds the numbers of an OID that are shown in decimal, in bytes.
const maxArc = 32

// oidString returns an object identifier with dots. With a number beyond all sense it is in hexadecimal.
func oidString(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s := strconv.AppendUint(nil, uint64(b[0]/40), 10)
	if b[0] == 0 && len(b) == 1 {
		return string(s)
	}
	s = strconv.AppendUint(append(s, '.'), uint64(b[0]%40), 10)
	for i := 1; i < len(b); {
		start := i
		for i < len(b)-1 && b[i]&0x80 != 0 {
			i++
		}
		i++
		if i-start > maxArc {
			return hex.EncodeToString(b)
		}
		s = append(append(s, '.'), arc(b[start:i])...)
	}
	return string(s)
}

// arc returns one number of an object identifier.
func arc(b []byte) string {
	if len(b) <= 9 {
		n := uint64(0)
		for _, c := range b {
			n = n<<7 | uint64(c&0x7f)
		}
		return strconv.FormatUint(n, 10)
	}
	n := new(big.Int)
	for _, c := range b {
		n.Or(n.Lsh(n, 7), big.NewInt(int64(c&0x7f)))
	}
	return n.String()
}
