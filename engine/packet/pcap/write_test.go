package pcap

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// sample is a frame of a capture that the tests write.
type sample struct {
	ns   int64
	data []byte
	len  int
}

// samples reads a little-endian capture with microseconds, in the simplest way.
func samples(t testing.TB, name string) (list []sample) {
	b, err := os.ReadFile(filepath.Join("../../../test/data/pcap", name))
	if err != nil {
		t.Fatal(err)
	}
	for b = b[24:]; len(b) > 0; {
		le := binary.LittleEndian.Uint32
		n := int(le(b[8:]))
		list = append(list, sample{int64(le(b))*1e9 + int64(le(b[4:]))*1000, b[16 : 16+n], int(le(b[12:]))})
		b = b[16+n:]
	}
	return list
}

// order is what both byte orders can do.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// form is a way of writing pcap files.
type form struct {
	order        order
	magic        uint32
	major, minor uint16
	snap, link   uint32
	unit         int64 // nanoseconds
	extra        int   // bytes behind the head of a record
	swap         bool
}

func (w form) write(list []sample) []byte {
	b := w.order.AppendUint32(nil, w.magic)
	b = w.order.AppendUint16(w.order.AppendUint16(b, w.major), w.minor)
	b = w.order.AppendUint32(w.order.AppendUint32(append(b, make([]byte, 8)...), w.snap), w.link)
	for _, s := range list {
		b = w.order.AppendUint32(b, uint32(s.ns/1e9))
		b = w.order.AppendUint32(b, uint32(s.ns%1e9/w.unit))
		first, second := len(s.data), s.len
		if w.swap {
			first, second = second, first
		}
		b = w.order.AppendUint32(w.order.AppendUint32(b, uint32(first)), uint32(second))
		b = append(append(b, make([]byte, w.extra)...), s.data...)
	}
	return b
}

// blocks writes pcapng.
type blocks struct {
	order order
	b     []byte
}

func (w *blocks) block(kind uint32, body []byte) {
	body = append(body, make([]byte, -len(body)&3)...)
	n := uint32(len(body) + 12)
	w.b = w.order.AppendUint32(w.order.AppendUint32(w.b, kind), n)
	w.b = w.order.AppendUint32(append(w.b, body...), n)
}

func (w *blocks) section() {
	body := w.order.AppendUint16(w.order.AppendUint16(w.order.AppendUint32(nil, orderMark), 1), 0)
	w.block(blockSection, append(body, bytes.Repeat([]byte{0xff}, 8)...))
}

func (w *blocks) iface(link uint16, snap uint32, options ...[]byte) {
	body := w.order.AppendUint32(append(w.order.AppendUint16(nil, link), 0, 0), snap)
	w.block(blockInterface, append(body, bytes.Join(options, nil)...))
}

func (w *blocks) option(code uint16, value ...byte) []byte {
	b := append(w.order.AppendUint16(w.order.AppendUint16(nil, code), uint16(len(value))), value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func (w *blocks) enhanced(id uint32, stamp uint64, s sample, options ...[]byte) {
	b := w.order.AppendUint32(w.order.AppendUint32(w.order.AppendUint32(nil, id), uint32(stamp>>32)), uint32(stamp))
	b = append(w.order.AppendUint32(w.order.AppendUint32(b, uint32(len(s.data))), uint32(s.len)), s.data...)
	b = append(b, make([]byte, -len(s.data)&3)...)
	w.block(blockEnhanced, append(b, bytes.Join(options, nil)...))
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b[:len(b)/2])
	z.Close() // two members
	z.Reset(&out)
	z.Write(b[len(b)/2:])
	z.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll(b, nil)
}
