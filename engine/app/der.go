package app

import "time"

// Tags of DER (X.690).
const (
	tagBoolean     = 1
	tagInteger     = 2
	tagBitString   = 3
	tagOctetString = 4
	tagOID         = 6
	tagSequence    = 16
	tagSet         = 17
	tagUTCTime     = 23
	tagTime        = 24 // GeneralizedTime
)

// der reads DER, one element after the other. It does not insist on the shortest form of lengths.
type der struct{ b []byte }

type derElement struct {
	tag     uint32
	class   byte // 0 universal, 2 context
	nested  bool // made of elements
	content []byte
}

// head reads the header of the next element: what follows is its content, of n bytes or fewer. ok is false at the end, and if
// there is no header.
func (d *der) head() (e derElement, n uint64, ok bool) {
	b := d.b
	if len(b) < 2 {
		return e, 0, false
	}
	e.class, e.nested, e.tag = b[0]>>6, b[0]&0x20 != 0, uint32(b[0]&0x1f)
	if b = b[1:]; e.tag == 0x1f {
		e.tag = 0
		for i := 0; ; i++ {
			if i == len(b) || i == 5 {
				return e, 0, false
			}
			e.tag = e.tag<<7 | uint32(b[i]&0x7f)
			if b[i]&0x80 == 0 {
				b = b[i+1:]
				break
			}
		}
	}
	if len(b) == 0 {
		return e, 0, false
	}
	n = uint64(b[0])
	if b = b[1:]; n > 0x80 {
		size := int(n & 0x7f)
		if size == 0x7f || len(b) < size {
			return e, 0, false
		}
		n = 0
		for _, c := range b[:size] {
			if n>>56 != 0 {
				return e, 0, false
			}
			n = n<<8 | uint64(c)
		}
		b = b[size:]
	} else if n == 0x80 {
		return e, 0, false // the length is not said
	}
	d.b = b
	return e, n, true
}

// next takes the next element. ok is false at the end, and if there is none in what follows: then d stays as it is.
func (d *der) next() (e derElement, ok bool) {
	rest := *d
	e, n, ok := rest.head()
	if !ok || n > uint64(len(rest.b)) {
		return e, false
	}
	e.content, d.b = rest.b[:n], rest.b[n:]
	return e, true
}

// take takes the next element if it has this tag.
func (d *der) take(tag uint32) ([]byte, bool) {
	rest := *d
	e, ok := rest.next()
	if !ok || e.tag != tag {
		return nil, false
	}
	*d = rest
	return e.content, true
}

// plain is take for elements that are not made of others.
func (d *der) plain(tag uint32) ([]byte, bool) {
	rest := *d
	e, ok := rest.next()
	if !ok || e.tag != tag || e.nested {
		return nil, false
	}
	*d = rest
	return e.content, true
}

// oid takes the next element as an object identifier. Its tag is not looked at: Suricata does not either.
func (d *der) oid() ([]byte, bool) {
	rest := *d
	e, ok := rest.next()
	if !ok || e.nested {
		return nil, false
	}
	*d = rest
	return e.content, true
}

// sequence takes the next element if it is a sequence.
func (d *der) sequence() (der, bool) {
	b, ok := d.take(tagSequence)
	return der{b}, ok
}

// context takes the next element if its tag is this one; ok is false if the tag is not of its context, or there is no element.
func (d *der) context(tag uint32) (inner der, found, ok bool) {
	rest := *d
	e, there := rest.next()
	if !there || e.tag != tag {
		return der{}, false, there || len(d.b) == 0
	}
	*d = rest
	return der{e.content}, true, e.class == 2
}

// algorithm passes over an AlgorithmIdentifier: an OID, and perhaps parameters of any type.
func (d *der) algorithm() bool {
	a, ok := d.sequence()
	if !ok {
		return false
	}
	if _, ok = a.oid(); !ok || len(a.b) == 0 {
		return ok
	}
	_, ok = a.next()
	return ok
}

// bitString passes over a BIT STRING; the bits that do not count have to be 0.
func (d *der) bitString() bool {
	b, ok := d.plain(tagBitString)
	if !ok || len(b) == 0 {
		return false
	}
	if len(b) == 1 {
		return b[0] == 0
	}
	return b[0] <= 8 && b[len(b)-1]&(1<<b[0]-1) == 0
}

// time takes a UTCTime, with or without seconds, in UTC or with an offset, or a GeneralizedTime, in UTC.
func (d *der) time() (time.Time, bool) {
	if b, ok := d.take(tagUTCTime); ok {
		t, ok := derTime(b, 2)
		if !ok {
			return t, false
		}
		century := 2000
		if t.Year() >= 50 {
			century = 1900
		}
		adjusted := t.AddDate(century, 0, 0)
		return adjusted, adjusted.Day() == t.Day()
	}
	b, ok := d.take(tagTime)
	if !ok || len(b) == 0 || b[len(b)-1] != 'Z' {
		return time.Time{}, false
	}
	return derTime(b, 4)
}

// derTime reads a time whose year has so many digits.
func derTime(b []byte, digits int) (t time.Time, ok bool) {
	field := func(n int) int {
		v := 0
		for i := range n {
			if i >= len(b) || b[i] < '0' || b[i] > '9' {
				ok = false
				return 0
			}
			v = 10*v + int(b[i]-'0')
		}
		b = b[n:]
		return v
	}
	ok = true
	year, month, day, hour, minute, second := field(digits), 0, 0, 0, 0, 0
	for _, v := range []*int{&month, &day, &hour, &minute} {
		if ok {
			*v = field(2)
		}
	}
	if !ok || len(b) == 0 {
		return t, false
	}
	if len(b) > 1 {
		if second = field(2); !ok {
			return t, false
		}
	}
	if digits == 4 && len(b) > 0 && b[0] == '.' {
		n := 1
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		if n < 2 || n > 4 {
			return t, false
		}
		b = b[n:]
	}
	offset, ok := derOffset(b)
	if !ok || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.FixedZone("", offset))
	return t, t.Day() == day
}

// derOffset reads what follows the digits of a time, and returns its offset to UTC in seconds.
func derOffset(b []byte) (seconds int, ok bool) {
	switch {
	case string(b) == "Z":
		return 0, true
	case len(b) != 5 || b[0] != '+' && b[0] != '-':
		return 0, false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	h, m := int(b[1]-'0')*10+int(b[2]-'0'), int(b[3]-'0')*10+int(b[4]-'0')
	if h > 23 || m > 59 {
		return 0, false
	}
	seconds = 3600*h + 60*m
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}
