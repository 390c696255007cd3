package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

var errShort = errors.New("a record is cut off or wrong")

// The type bytes of records.
const (
	recText byte = iota + 1
	recInt
	recHash
	recList
	recSet
	recZset
	recHLL
	recStream
	recModel
)

type encoder struct{ b []byte }

func (e *encoder) str(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) num(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

func (e *encoder) float(f float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(f)) }

func (e *encoder) record(key string, en *entry) {
	kind := len(e.b)
	e.b = append(e.b, 0)
	e.b = binary.AppendVarint(e.b, en.expire)
	e.str(key)
	e.b[kind] = e.value(en.val)
}

// value appends v and returns its type byte.
func (e *encoder) value(v value) byte {
	switch v := v.(type) {
	case *text:
		if v.isInt {
			e.b = binary.AppendVarint(e.b, v.n)
			return recInt
		}
		e.str(v.s)
		return recText
	case *hash:
		e.num(v.fields.len())
		for f, val := range v.fields.all {
			e.str(f)
			e.str(val)
		}
		return recHash
	case *list:
		e.num(v.n)
		for i := range v.n {
			e.str(*v.at(i))
		}
		return recList
	case *members:
		e.num(v.len())
		for m := range v.all {
			e.str(m)
		}
		return recSet
	case *zset:
		e.num(v.len())
		for m, score := range v.all {
			e.str(m)
			e.float(score)
		}
		return recZset
	case *hll:
		if v.dense != nil {
			e.num(hllRegisters)
			e.b = append(e.b, v.dense...)
			return recHLL
		}
		e.num(len(v.sparse))
		for _, p := range v.sparse {
			e.b = binary.LittleEndian.AppendUint32(e.b, p)
		}
		return recHLL
	case *stream:
		for _, n := range []uint64{v.last.ms, v.last.seq, uint64(len(v.entries))} {
			e.b = binary.AppendUvarint(e.b, n)
		}
		for _, en := range v.entries {
			e.b = binary.AppendUvarint(e.b, en.id.ms)
			e.b = binary.AppendUvarint(e.b, en.id.seq)
			e.num(len(en.fields))
			for _, f := range en.fields {
				e.str(f)
			}
		}
		return recStream
	case *model:
		e.str(v.encode())
		return recModel
	}
	panic(fmt.Sprintf("store: no encoding for %T", v))
}

// decoder reads records. Strings are copied: they must not hold the block.
type decoder struct {
	s   string
	err error
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < 10; i++ {
		b := d.s[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.err, d.s = errShort, ""
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	n := int64(u >> 1)
	if u&1 != 0 {
		n = ^n
	}
	return n
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.s)) {
		d.err, d.s = errShort, ""
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) str() string { return strings.Clone(d.take(d.uvarint())) }

func (d *decoder) float() float64 {
	if b := d.take(8); len(b) == 8 {
		return math.Float64frombits(binary.LittleEndian.Uint64([]byte(b)))
	}
	return 0
}

// count reads a number of things of which each has at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.err = errShort
		return 0
	}
	return int(n)
}

func (d *decoder) record() (key string, e *entry, err error) {
	kind := d.take(1)
	e = &entry{expire: d.varint()}
	key = d.str()
	if d.err == nil {
		e.val = d.value(kind[0])
	}
	if d.err != nil {
		return "", nil, d.err
	}
	return key, e, nil
}

func (d *decoder) value(kind byte) value {
	switch kind {
	case recText:
		return &text{s: d.str()}
	case recInt:
		return &text{n: d.varint(), isInt: true}
	case recHash:
		h := &hash{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			f := d.str()
			h.set(f, d.str())
		}
		return h
	case recList:
		l := &list{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			l.push(d.str(), false)
		}
		return l
	case recSet:
		s := &members{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			s.add(d.str())
		}
		return s
	case recZset:
		z := newZset()
		z.large = true // or a -0 would be lost
		minus := false
		for n := d.count(); n > 0 && d.err == nil; n-- {
			m, score := d.str(), d.float()
			z.set(m, score)
			minus = minus || score == 0 && math.Signbit(score)
		}
		if !minus {
			z.settle()
		}
		return z
	case recHLL:
		return d.hll()
	case recStream:
		s := &stream{}
		last := streamID{d.uvarint(), d.uvarint()}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			e := streamEntry{id: streamID{d.uvarint(), d.uvarint()}}
			for k := d.count(); k > 0 && d.err == nil; k-- {
				e.fields = append(e.fields, d.str())
			}
			s.add(e)
		}
		s.last = last
		return s
	case recModel:
		m, err := decodeModel(d.str())
		if err != nil {
			d.err = err
		}
		return m
	}
	d.err = fmt.Errorf("a record of the unknown type %d", kind)
	return nil
}

func (d *decoder) hll() value {
	h := &hll{cached: -1}
	n := d.uvarint()
	if n == hllRegisters {
		h.dense = []uint8(d.take(n))
		for _, rank := range h.dense {
			if rank > hllBits+1 {
				d.err = errShort
			}
		}
		return h
	}
	for ; n > 0 && d.err == nil; n-- {
		b := d.take(4)
		if len(b) < 4 {
			break
		}
		p := binary.LittleEndian.Uint32([]byte(b))
		if p>>8 >= hllRegisters || uint8(p) > hllBits+1 || (len(h.sparse) > 0 && p>>8 <= h.sparse[len(h.sparse)-1]>>8) {
			d.err = errShort
			break
		}
		h.sparse = append(h.sparse, p)
	}
	return h
}

// clone copies a value.
func clone(v value) (value, error) {
	var e encoder
	kind := e.value(v)
	d := decoder{s: string(e.b)}
	c := d.value(kind)
	if d.err != nil {
		return nil, d.err
	}
	switch v := v.(type) { // what a snapshot does not hold
	case *zset:
		c.(*zset).large = v.large
	case *hll:
		c.(*hll).cached = v.cached
	}
	return c, nil
}
