package packet

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain is a datagram without a shortcut: the rules as they are told, on one list, with the bytes of each fragment.
type plain struct {
	v6   bool
	list []plainPiece
	last bool
}

type plainPiece struct {
	offset, trim int
	data         []byte
	more         bool
}

func (p plainPiece) end() int { return p.offset + len(p.data) }

func (g *plain) insert(offset int, data []byte, more bool) {
	end, trim := offset+len(data), 0
	start := slices.IndexFunc(g.list, func(p plainPiece) bool { return p.offset >= offset })
	if start < 0 || offset == 0 {
		start = 0
	} else {
		start = max(0, start-1)
	}
	for i := start; i < len(g.list); i++ {
		p := &g.list[i]
		gone, found := false, false
		switch {
		case g.v6 && offset >= p.end():
			continue
		case g.v6 && p.offset <= offset:
			if p.end() > end {
				return
			}
			trim, found = p.end()-offset, true
		case g.v6:
			p.trim, found = max(p.trim, end-p.offset), true
		case offset >= p.offset && end <= p.end():
			return
		case offset < p.offset && end > p.end():
			gone, found = true, true
		case offset > p.offset && offset < p.end(), offset == p.offset && end > p.end():
			trim, found = p.end()-offset, true
		}
		if !found {
			continue
		}
		if g.v6 && i+1 < len(g.list) && end > g.list[i+1].offset {
			g.list[i+1].trim = end - g.list[i+1].offset
		}
		if gone || p.trim >= len(p.data) {
			g.list = slices.Delete(g.list, i, i+1)
		}
		break
	}
	if trim >= len(data) {
		return
	}
	at := 0
	for at < len(g.list) && g.list[at].offset <= offset+trim {
		at++
	}
	g.list = slices.Insert(g.list, at, plainPiece{offset: offset + trim, data: data[trim:], more: more})
	g.last = g.last || !more
}

// whole returns the datagram's data, nil while there is a hole.
func (g *plain) whole() []byte {
	end := 0
	for _, p := range g.list {
		if p.offset > end {
			return nil
		}
		end = max(end, p.end())
	}
	if !g.last || end == 0 {
		return nil
	}
	out := make([]byte, end)
	size, before, more := 0, 0, true
	for _, p := range g.list {
		if !more && p.offset > before {
			break
		}
		if p.trim >= len(p.data) {
			continue
		}
		if p.offset == 0 {
			copy(out, p.data)
			size = len(p.data)
		} else {
			copy(out[p.offset+p.trim:], p.data[p.trim:])
			size = max(size, p.end())
		}
		more, before = p.more, p.offset
	}
	return out[:size]
}

// TestDatagramAgreesWithPlainRules compares the two on random fragments, which overlap, repeat and leave holes.
func TestDatagramAgreesWithPlainRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	complete := 0
	for round := range 40000 {
		v6 := round%2 == 0
		var g datagram
		g.key.v6 = v6
		model := plain{v6: v6}
		var told [][3]int
		for i := range 2 + random.IntN(10) {
			offset, size := 8*random.IntN(8), 1+random.IntN(30)
			if random.IntN(3) > 0 {
				size = 8 * (1 + random.IntN(4))
			}
			more := random.IntN(5) > 0
			told = append(told, [3]int{offset, size})
			data := bytes.Repeat([]byte{byte('a' + i)}, size)
			g.insert(&fragment{key: g.key, head: make([]byte, 40), data: data, size: size, offset: offset, more: more})
			model.insert(offset, data, more)
			want := model.whole()
			n, ok := g.complete()
			var got []byte
			if ok {
				b, captured := g.build(nil, n)
				if captured != len(b) {
					t.Fatalf("%d of %d bytes captured", captured, len(b))
				}
				got = b[40:]
			}
			if ok != (want != nil) || !bytes.Equal(got, want) {
				t.Fatalf("v6 %v, fragments %v:\n got %q\nwant %q", v6, told, got, want)
			}
			if ok {
				complete++
				break
			}
		}
	}
	if complete < 4000 {
		t.Errorf("only %d datagrams were complete", complete)
	}
}
