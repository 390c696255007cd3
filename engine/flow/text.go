package flow

import (
	"math/bits"
	"strconv"
	"time"

	"dragonfly/engine/packet"
)

// appendAddress appends an address as Suricata writes it: IPv6 with all its digits.
func appendAddress(b []byte, a *packet.Addr, v6 bool) []byte {
	if !v6 {
		for i, n := range a[12:] {
			if i > 0 {
				b = append(b, '.')
			}
			o := &octets[n]
			b = append(b, o[:o[3]]...)
		}
		return b
	}
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[a[i]>>4], hexDigits[a[i]&15], hexDigits[a[i+1]>>4], hexDigits[a[i+1]&15])
	}
	return b
}

// pairs are the numbers 00 to 99.
var pairs = func() (p [100][2]byte) {
	for i := range p {
		p[i] = [2]byte{byte('0' + i/10), byte('0' + i%10)}
	}
	return p
}()

// octets are the numbers 0 to 255, the last byte is the length.
var octets = func() (p [256][4]byte) {
	for i := range p {
		p[i][3] = byte(copy(p[i][:3], strconv.Itoa(i)))
	}
	return p
}()

// appendUint appends n as strconv does, in place.
func appendUint(b []byte, n uint64) []byte {
	if n < 10 {
		return append(b, byte('0'+n))
	}
	digits := (bits.Len64(n)*1233)>>12 + 1 // or one too many
	if digits > 1 && n < powers[digits-1] {
		digits--
	}
	at := len(b)
	b = append(b, "00000000000000000000"[:digits]...)
	out := b[at : at+digits]
	for i := digits; i >= 2; i -= 2 {
		q := n / 100
		d := pairs[n-q*100]
		out[i-2], out[i-1] = d[0], d[1]
		n = q
	}
	if digits&1 != 0 {
		out[0] = byte('0' + n)
	}
	return b
}

// powers are those of 10.
var powers = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// daytime writes times. It remembers the text of the last second.
type daytime struct {
	day    int64 // since 1970
	second int64 // since 1970
	known  bool  // text is of day
	text   [len("2006-01-02T15:04:05.000000+0000")]byte
}

// append appends ns nanoseconds since 1970 as 2006-01-02T15:04:05.000000+0000.
func (d *daytime) append(b []byte, ns int64) []byte {
	second, rest := ns/1e9, ns%1e9
	if rest < 0 {
		second, rest = second-1, rest+1e9
	}
	if second != d.second || !d.known {
		day, s := second/86400, second%86400
		if s < 0 {
			day, s = day-1, s+86400
		}
		if day != d.day || !d.known {
			d.set(day)
		}
		d.day, d.second, d.known = day, second, true
		d.pair(11, s/3600)
		d.pair(14, s/60%60)
		d.pair(17, s%60)
	}
	us := uint32(rest) / 1000
	d.pair(20, int64(us/10000))
	d.pair(22, int64(us/100%100))
	d.pair(24, int64(us%100))
	return append(b, d.text[:]...)
}

func (d *daytime) pair(at int, n int64) { d.text[at], d.text[at+1] = pairs[n][0], pairs[n][1] }

// set writes the date of a day since 1970.
func (d *daytime) set(day int64) {
	y, mon, dom := time.Unix(day*86400, 0).UTC().Date()
	y = min(max(y, 0), 9999)
	copy(d.text[:], "0000-00-00T00:00:00.000000+0000")
	d.pair(0, int64(y/100))
	d.pair(2, int64(y%100))
	d.pair(5, int64(mon))
	d.pair(8, int64(dom))
}
