package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"dragonfly/engine/packet"
)

// all reads a capture to its end.
func all(t testing.TB, src io.Reader) (frames []packet.Frame, r *Reader, err error) {
	r, err = New(src)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { r.Close() })
	for {
		var f packet.Frame
		if err = r.Next(&f); err != nil {
			return frames, r, err
		}
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	}
}

func check(t *testing.T, frames []packet.Frame, want []sample, link packet.LinkType) {
	t.Helper()
	if len(frames) != len(want) {
		t.Fatalf("got %d frames, want %d", len(frames), len(want))
	}
	for i, f := range frames {
		w := want[i]
		if f.Time != w.ns || !bytes.Equal(f.Data, w.data) || f.Len != w.len || f.Number != uint64(i+1) || f.LinkType != link {
			t.Fatalf("frame %d: got number %d, time %d, %d of %d bytes, link type %d; want time %d, %d of %d bytes, link type %d",
				i+1, f.Number, f.Time, len(f.Data), f.Len, f.LinkType, w.ns, len(w.data), w.len, link)
		}
	}
}

func TestReaderReadsEveryForm(t *testing.T) {
	list := samples(t, "own-many.pcap")
	for i := range list {
		list[i].len += i % 3 // some are cut
	}
	le, be := binary.LittleEndian, binary.BigEndian
	normal := form{order: le, magic: magicMicro, major: 2, minor: 4, snap: 262144, link: 1, unit: 1000}
	enhanced := func(order order, unit func(int64) uint64, options ...[]byte) []byte {
		w := &blocks{order: order}
		w.section()
		w.iface(1, 0, options...)
		for i, s := range list {
			w.enhanced(0, unit(s.ns), s)
			if i%7 == 0 {
				w.block(4, make([]byte, i)) // names
				w.block(0xbad, []byte("x"))
			}
		}
		return w.b
	}
	micro := func(ns int64) uint64 { return uint64(ns / 1000) }
	nano := func(ns int64) uint64 { return uint64(ns) }
	opt := (&blocks{order: le}).option
	forms := map[string][]byte{
		"plain":       normal.write(list),
		"big endian":  form{be, magicMicro, 2, 4, 0, 1, 1000, 0, false}.write(list),
		"nano":        form{le, magicNano, 2, 4, 65535, 1, 1, 0, false}.write(list),
		"nano, big":   form{be, magicNano, 2, 4, math.MaxUint32, 1, 1, 0, false}.write(list),
		"modified":    form{le, magicModified, 2, 4, 65535, 1, 1000, 8, false}.write(list),
		"version 2.1": form{be, magicMicro, 2, 1, 65535, 1, 1000, 0, true}.write(list),
		"version 2.3": form{be, magicMicro, 2, 3, 65535, 1, 1000, 0, true}.write(list),
		"2.3, new":    form{le, magicMicro, 2, 3, 65535, 1, 1000, 0, false}.write(list),
		"543.0":       form{be, magicMicro, 543, 0, 65535, 1, 1000, 0, true}.write(list),
		"FCS":         form{le, magicMicro, 2, 4, 65535, 0x24000001, 1000, 0, false}.write(list),
		"pcapng":      enhanced(le, micro),
		"pcapng, big": enhanced(be, micro),
		"pcapng, ns":  enhanced(le, nano, opt(2, []byte("eth0")...), opt(9, 9), opt(0)),
		"10^-12":      enhanced(le, func(ns int64) uint64 { return uint64(ns % 1e15 * 1000) }, opt(9, 12), opt(14, le.AppendUint64(nil, uint64(list[0].ns/1e15*1e6))...)),
		"offset":      enhanced(le, func(ns int64) uint64 { return uint64(ns + 5e9) }, opt(9, 9), opt(14, le.AppendUint64(nil, math.MaxUint64-4)...)),
	}
	for name, b := range forms {
		for packing, pack := range map[string]func([]byte) []byte{"": func(b []byte) []byte { return b }, "gzip": gzipped, "zstd": zstded} {
			t.Run(name+" "+packing, func(t *testing.T) {
				packed := pack(b)
				frames, r, err := all(t, bytes.NewReader(packed))
				if err != io.EOF || r.Offset() != int64(len(b)) || r.Frames() != uint64(len(list)) {
					t.Fatalf("got %v at %d of %d", err, r.Offset(), len(b))
				}
				check(t, frames, list, 1)
				frames, _, err = all(t, iotest.HalfReader(bytes.NewReader(packed)))
				if err != io.EOF {
					t.Fatal(err)
				}
				check(t, frames, list, 1)
			})
		}
	}
}

func TestReaderCutsAtSnaplenAsLibpcap(t *testing.T) {
	list := samples(t, "own-rst.pcap")
	frames, _, err := all(t, bytes.NewReader(form{binary.LittleEndian, magicMicro, 2, 4, 60, 1, 1000, 0, false}.write(list)))
	if err != io.EOF {
		t.Fatal(err)
	}
	for i := range list {
		list[i].data = list[i].data[:min(60, len(list[i].data))]
	}
	check(t, frames, list, 1)
}

func TestReaderSeveralSectionsAndInterfaces(t *testing.T) {
	le := &blocks{order: binary.LittleEndian}
	s := sample{data: []byte("abcde"), len: 9}
	le.section()
	le.iface(1, 0)
	le.iface(113, 3, le.option(9, 0x80|10)) // units of 1/1024 s
	le.enhanced(1, 1024*5+512, s)
	le.enhanced(0, 7_000_001, s, le.option(1, bytes.Repeat([]byte("comment "), 100)...))
	statistics := append(make([]byte, 12), le.option(4, make([]byte, 8)...)...)
	statistics = append(statistics, le.option(5, 3, 0, 0, 0, 0, 0, 0, 0)...)
	le.block(blockStatistics, append(statistics, le.option(7, 4, 0, 0, 0, 0, 0, 0, 0)...))
	old := append([]byte{1, 0, 2, 0, 0, 0, 0, 0, 0, 8, 0, 0}, 5, 0, 0, 0, 9, 0, 0, 0)
	le.block(blockPacket, append(old, "abcde"...))
	be := &blocks{order: binary.BigEndian}
	be.section()
	be.iface(276, 3)
	be.block(blockSimple, append([]byte{0, 0, 0, 9}, "abc"...))
	be.enhanced(0, 8_000_000, s)
	frames, r, err := all(t, bytes.NewReader(append(le.b, be.b...)))
	if err != io.EOF {
		t.Fatal(err)
	}
	want := []struct {
		link packet.LinkType
		ns   int64
		data string
	}{{113, 5_500_000_000, "abcde"}, {1, 7_000_001_000, "abcde"}, {113, 2_000_000_000, "abcde"}, {276, 2_000_000_000, "abc"}, {276, 8_000_000_000, "abcde"}}
	for i, f := range frames {
		if w := want[i]; f.LinkType != w.link || f.Time != w.ns || string(f.Data) != w.data || f.Len != 9 || f.Number != uint64(i+1) {
			t.Errorf("frame %d: got %+v, want %+v", i+1, f, w)
		}
	}
	if len(frames) != len(want) || r.Dropped() != 7+2 {
		t.Errorf("got %d frames, %d dropped", len(frames), r.Dropped())
	}
}

func TestReaderLargeBlocks(t *testing.T) {
	w := &blocks{order: binary.LittleEndian}
	s := sample{data: bytes.Repeat([]byte("x"), MaxFrame), len: MaxFrame}
	w.section()
	w.iface(1, 0, w.option(2, bytes.Repeat([]byte("n"), 60000)...), w.option(3, bytes.Repeat([]byte("d"), 60000)...))
	comment := w.option(1, bytes.Repeat([]byte("c"), 65000)...)
	w.enhanced(0, 1, s, comment, comment, comment, comment, comment, comment, comment, comment, comment, comment, comment, comment, comment, comment)
	w.block(10, make([]byte, 3<<20)) // secrets
	w.enhanced(0, 2, sample{data: []byte("end"), len: 3})
	frames, _, err := all(t, bytes.NewReader(w.b))
	if err != io.EOF || len(frames) != 2 || !bytes.Equal(frames[0].Data, s.data) || string(frames[1].Data) != "end" {
		t.Errorf("got %d frames, %v", len(frames), err)
	}
}

func TestReaderSaysWhereACaptureIsDamaged(t *testing.T) {
	list := samples(t, "own-rst.pcap")[:10]
	good := form{binary.LittleEndian, magicMicro, 2, 4, 262144, 1, 1000, 0, false}.write(list)
	last := len(good) - len(list[9].data) - 16
	ng := &blocks{order: binary.LittleEndian}
	ng.section()
	ng.iface(1, 0)
	for range 9 {
		ng.enhanced(0, 1, list[0])
	}
	lastNG := len(ng.b)
	ng.enhanced(0, 1, list[9])
	change := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	at := func(offset int) string { return "frame 10 at byte " + strconv.Itoa(offset) }
	tests := []struct {
		name   string
		b      []byte
		frames int
		is     error
		says   string
	}{
		{"cut in a frame", good[:len(good)-1], 9, io.ErrUnexpectedEOF, at(last) + ": the capture is cut off"},
		{"cut in a head", good[:last+15], 9, io.ErrUnexpectedEOF, at(last)},
		{"cut gzip", gzipped(good)[:len(gzipped(good))-12], 1, io.ErrUnexpectedEOF, "the capture is cut off"},
		{"absurd length", change(good, last+8, 0, 0, 0, 0xff), 9, ErrDamaged, at(last) + " claims to be 4278"},
		{"pcapng cut", ng.b[:len(ng.b)-1], 9, io.ErrUnexpectedEOF, at(lastNG) + ": the capture is cut off"},
		{"pcapng short block", change(ng.b, lastNG+4, 8), 9, ErrDamaged, at(lastNG) + " stands in a block that claims to be 8 bytes long"},
		{"pcapng odd block", change(ng.b, lastNG+4, 0x55), 9, ErrDamaged, at(lastNG)},
		{"pcapng endless block", change(ng.b, lastNG+4, 0xfc, 0xff, 0xff, 0xff), 9, io.ErrUnexpectedEOF, at(lastNG)},
		{"pcapng other end", change(ng.b, len(ng.b)-4, 4), 9, ErrDamaged, "whose end claims 4"},
		{"pcapng no interface", change(ng.b, lastNG+8, 1), 9, ErrDamaged, "belongs to interface 1, of which the capture has 1"},
		{"pcapng frame longer than block", change(ng.b, lastNG+8+12, 0xff, 0x0f), 9, ErrDamaged, "claims to be 4095 bytes long, its block has"},
		{"pcapng version", change(ng.b, 12, 2), 0, ErrDamaged, "version 2.0, want 1.0"},
		{"pcapng byte order", change(ng.b, 8, 2), 0, ErrDamaged, "frame 1 at byte 0 stands behind a section that begins with 02 3c"},
		{"empty", nil, 0, io.ErrUnexpectedEOF, "no capture: it has only 0 bytes"},
		{"short", good[:23], 0, io.ErrUnexpectedEOF, "no capture: it has only 23 bytes"},
		{"text", []byte(strings.Repeat("hello ", 10)), 0, nil, "no capture: it begins with 68 65 6c 6c, want pcap or pcapng"},
		{"version", change(good, 4, 9), 0, nil, "capture of version 9.4, want 2.0 to 2.4"},
		{"gzip of nothing", []byte{0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0, nil, "gzip: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frames, _, err := all(t, bytes.NewReader(tt.b))
			if err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if len(frames) < tt.frames || tt.name != "cut gzip" && len(frames) > tt.frames {
				t.Errorf("got %d frames, want %d", len(frames), tt.frames)
			}
		})
	}
	frames, _, err := all(t, io.MultiReader(bytes.NewReader(good[:last]), iotest.ErrReader(errors.New("the disk is gone"))))
	if len(frames) != 9 || err == nil || !strings.Contains(err.Error(), at(last)+": reading: the disk is gone") {
		t.Errorf("got %d frames, %v", len(frames), err)
	}
}

func TestClockOfInterfaces(t *testing.T) {
	for _, tt := range []struct {
		resolution byte
		offset     int64
		stamp      uint64
		want       int64
	}{
		{0, 0, 5, 5e9}, {3, 0, 5, 5e6}, {6, 0, 5, 5e3}, {9, 0, 5, 5}, {10, 0, 59, 5}, {19, 0, math.MaxUint64, 1844674407}, {127, 0, math.MaxUint64, 1},
		{0x80, 0, 5, 5e9}, {0x80 | 1, 0, 5, 2.5e9}, {0x80 | 32, 0, 5<<32 | 1<<31, 5.5e9}, {0x80 | 63, 0, 3 << 62, 1.5e9}, {0xff, 0, 3 << 62, 1.5e9},
		{6, 10, 5, 10e9 + 5e3}, {6, -10, 20e6, 10e9}, {6, math.MinInt64, 5, 5e3}, {0, 0, math.MaxUint64, math.MaxInt64}, {0, 100, math.MaxUint64, math.MaxInt64},
		{0x80, 0, math.MaxUint64, math.MaxInt64},
	} {
		c := newClock(tt.resolution, tt.offset)
		if got := c.time(tt.stamp); got != tt.want {
			t.Errorf("resolution %#x, offset %d, stamp %d: got %d, want %d", tt.resolution, tt.offset, tt.stamp, got, tt.want)
		}
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	b := form{binary.LittleEndian, magicMicro, 2, 4, 262144, 1, 1000, 0, false}.write(samples(t, "own-many.pcap"))
	r, err := New(bytes.NewReader(append(b, bytes.Repeat(b[24:], 20)...)))
	if err != nil {
		t.Fatal(err)
	}
	var f packet.Frame
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Next(&f); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations a frame", n)
	}
}

func FuzzReader(f *testing.F) {
	list := samples(f, "own-rst.pcap")[:4]
	f.Add(form{binary.LittleEndian, magicMicro, 2, 4, 262144, 1, 1000, 0, false}.write(list))
	f.Add(form{binary.BigEndian, magicModified, 2, 3, 64, 1, 1000, 8, true}.write(list))
	w := &blocks{order: binary.BigEndian}
	w.section()
	w.iface(1, 0, w.option(9, 0x8a), w.option(14, 0, 0, 0, 0, 0, 0, 0, 9))
	w.enhanced(0, 12345, list[0])
	w.block(blockSimple, append([]byte{0, 0, 0, 3}, "abc"...))
	w.block(blockStatistics, make([]byte, 12))
	f.Add(w.b)
	f.Add(gzipped(w.b))
	f.Add(zstded(w.b))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, r, err := all(t, bytes.NewReader(b))
		if err == nil {
			t.Fatal("no end")
		}
		var sum int
		for i, fr := range whole {
			sum += len(fr.Data)
			if fr.Number != uint64(i+1) || len(fr.Data) > MaxFrame {
				t.Fatalf("frame %d: number %d, %d bytes", i+1, fr.Number, len(fr.Data))
			}
		}
		if r != nil && int64(sum) > r.Offset() {
			t.Fatalf("%d bytes in frames of a capture of %d", sum, r.Offset())
		}
		again, _, err2 := all(t, iotest.OneByteReader(bytes.NewReader(b)))
		if len(again) != len(whole) || err.Error() != err2.Error() {
			t.Fatalf("read at once %d frames, %v; byte by byte %d frames, %v", len(whole), err, len(again), err2)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	capture := form{binary.LittleEndian, magicMicro, 2, 4, 262144, 1, 1000, 0, false}.write(samples(b, "own-many.pcap"))
	capture = append(capture, bytes.Repeat(capture[24:], 50)...)
	b.SetBytes(int64(len(capture)))
	b.ReportAllocs()
	var f packet.Frame
	frames := 0
	for b.Loop() {
		r, err := New(bytes.NewReader(capture))
		if err != nil {
			b.Fatal(err)
		}
		for err = r.Next(&f); err == nil; err = r.Next(&f) {
			frames++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/frame")
}
