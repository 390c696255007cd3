package app

import (
	"bytes"
	"testing"
)

// tlsRecords makes records of any bytes: of each a byte for direction, type and version, two for the length, and the content.
func tlsRecords(b []byte) (list []tlsPiece) {
	for len(b) >= 3 {
		n := min(int(b[1])<<8|int(b[2]), len(b)-3, tlsRecordLimit)
		r := append([]byte{tlsChangeCipherSpec + b[0]>>1&7%5, 3, b[0] >> 4 & 3, byte(n >> 8), byte(n)}, b[3:3+n]...)
		list = append(list, tlsPiece{Dir(b[0] & 1), r})
		b = b[3+n:]
	}
	return list
}

// merged is list with what one side sends together.
func merged(list []tlsPiece) (out []tlsPiece) {
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].dir == p.dir {
			out[n-1].b = append(bytes.Clone(out[n-1].b), p.b...)
		} else {
			out = append(out, p)
		}
	}
	return out
}

// FuzzTLS reads records: however they are cut the event is the same, and JSON. And it reads the bytes as they are.
func FuzzTLS(f *testing.F) {
	for name := range tlsCaptures {
		var seed []byte
		for _, p := range tlsPieces(f, name) {
			for b := p.b; len(b) >= 5; {
				n := min(int(b[3])<<8|int(b[4]), len(b)-5)
				seed = append(seed, byte(p.dir)|(b[0]-tlsChangeCipherSpec)<<1|b[2]<<4, byte(n>>8), byte(n))
				seed = append(seed, b[5:5+n]...)
				b = b[5+n:]
			}
		}
		f.Add(seed)
		f.Add(bytes.Join([][]byte{tlsPieces(f, name)[0].b, tlsPieces(f, name)[1].b}, nil))
	}
	c := &Config{TLS: true, JA3: true, JA4: true}
	f.Fuzz(func(t *testing.T, b []byte) {
		list := tlsRecords(b)
		want := tlsEvent(t, c, list, 1<<20)
		if want != "" {
			decodeJSON(t, want)
		}
		if got := tlsEvent(t, c, merged(list), 1<<20); got != want {
			t.Errorf("together: got %s, want %s", got, want)
		}
		if len(b) < 2000 { // what waits for the end of a record is handed over again with each byte
			if got := tlsEvent(t, c, list, 1); got != want {
				t.Errorf("byte by byte: got %s, want %s", got, want)
			}
		}
		if body := tlsEvent(t, c, []tlsPiece{{ToServer, b}, {ToClient, b}}, 700); body != "" {
			decodeJSON(t, body)
		}
	})
}

// FuzzQUIC reads frames in Initial packets of n bytes each, and the same bytes as a datagram: what is reported is JSON.
func FuzzQUIC(f *testing.F) {
	id, hello := unhex(f, rfcConnection), unhex(f, rfcClient)
	f.Add(append([]byte{1, 2, 5, 0, 1, 2, 3, 4}, quicFrame(0, hello)...), uint16(1000))
	f.Add(append(quicFrame(100, hello[100:]), quicFrame(0, hello[:100])...), uint16(148))
	f.Add(googleHello("SNI=a.example", "UAID=b"), uint16(50))
	f.Add(googleHello("SNI=a.example", "UAID=b")[26:], uint16(500))
	f.Add(unhex(f, rfcServer1), uint16(50))
	f.Add(unhex(f, rfcServer2), uint16(50))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		c := &Config{QUIC: true, JA3: true, JA4: true, JA4QUIC: true, SuricataJA: n%2 == 0}
		var list []tlsPiece
		for rest := b; len(rest) > 0 && len(list) < 300; {
			size := min(int(n)+20, len(rest))
			dir := Dir(len(list) % 2)
			list = append(list, tlsPiece{dir, sealQUIC(quicV1, dir, id, uint32(len(list)), rest[:min(size, 8000)])})
			rest = rest[size:]
		}
		quicEvents(t, c, list...)
		quicEvents(t, c, tlsPiece{ToServer, b}, tlsPiece{ToClient, b})
		quicEvents(t, c, tlsPiece{ToClient, bytes.Clone(b)})
	})
}
