package flow

import (
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
			b = strconv.AppendUint(b, uint64(n), 10)
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

// daytime writes times. It remembers the text of the last day.
type daytime struct {
	day  int64 // since 1970, plus one; 0 is none
	text [len("2006-01-02T")]byte
}

// append appends ns nanoseconds since 1970 as 2006-01-02T15:04:05.000000+0000.
func (d *daytime) append(b []byte, ns int64) []byte {
	const day = 86400e9
	n, rest := ns/day, ns%day
	if rest < 0 {
		n, rest = n-1, rest+day
	}
	if n+1 != d.day {
		d.day = n + 1
		d.set(n)
	}
	us := rest / 1000
	s := us / 1e6
	us %= 1e6
	b = append(b, d.text[:]...)
	b = append(b, byte('0'+s/36000), byte('0'+s/3600%10), ':', byte('0'+s/600%6), byte('0'+s/60%10), ':', byte('0'+s/10%6), byte('0'+s%10), '.')
	b = append(b, byte('0'+us/100000), byte('0'+us/10000%10), byte('0'+us/1000%10), byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
	return append(b, "+0000"...)
}

// set writes the date of a day since 1970.
func (d *daytime) set(day int64) {
	y, mon, dom := time.Unix(day*86400, 0).UTC().Date()
	y = min(max(y, 0), 9999)
	d.text = [...]byte{byte('0' + y/1000), byte('0' + y/100%10), byte('0' + y/10%10), byte('0' + y%10), '-',
		byte('0' + mon/10), byte('0' + mon%10), '-', byte('0' + dom/10), byte('0' + dom%10), 'T'}
}
