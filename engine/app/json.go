package app

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends b as a JSON string as Suricata writes text from the wire: UTF-8 as it is; where b is no UTF-8, each byte
// above 127 as the text \xNN.
func appendString(dst, b []byte) []byte {
	dst = append(dst, '"')
	valid := utf8.Valid(b)
	for _, c := range b {
		switch {
		case c >= 0x80 && !valid:
			dst = append(dst, '\\', '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, '"')
}

// member appends `,"name":`, without the comma at the beginning of an object.
func member(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func memberText(dst []byte, name string, v []byte) []byte { return appendString(member(dst, name), v) }

// memberWord is memberText for what needs no escapes.
func memberWord(dst []byte, name, v string) []byte {
	dst = append(member(dst, name), '"')
	dst = append(dst, v...)
	return append(dst, '"')
}

func memberUint(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(member(dst, name), v, 10)
}

func memberTrue(dst []byte, name string) []byte { return append(member(dst, name), "true"...) }

// element appends the comma before an element of an array, where one belongs.
func element(dst []byte) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '[' {
		dst = append(dst, ',')
	}
	return dst
}
