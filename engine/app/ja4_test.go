package app

import "testing"

// The example of FoxIO's description of JA4, and what it says of lists that are empty.
func TestJA4(t *testing.T) {
	chrome := ja4{
		legacy: tls12, version: tls13, domain: true, alpn: [2]byte{'h', '2'}, count: 16,
		ciphers:    []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35},
		extensions: []uint16{0x1b, 0x33, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a, 0x15},
		signatures: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	plain := ja4{legacy: tls10, ciphers: []uint16{5, 4}, extensions: []uint16{0x23}, count: 1}
	old := ja4{legacy: tls13, version: tls12, ciphers: []uint16{5, 4}, extensions: []uint16{0x23}, count: 1}
	for _, v := range []struct {
		name     string
		j        *ja4
		suricata bool
		want     string
	}{
		{"example", &chrome, false, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"example", &chrome, true, "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"nothing", &ja4{}, false, "t00i000000_000000000000_000000000000"},
		{"nothing", &ja4{}, true, "t00i000000_e3b0c44298fc_d2e2adf7177b"},
		{"of QUIC", &ja4{quic: true}, false, "q00i000000_000000000000_000000000000"},
		{"no signatures", &plain, false, "t10i020100_6e254592683c_e78b541c01a9"},
		{"no signatures", &plain, true, "t10i020100_6e254592683c_94264683603e"},
		{"version of the hello", &old, false, "t12i020100_6e254592683c_e78b541c01a9"},
		{"version of the hello", &old, true, "t13i020100_6e254592683c_94264683603e"},
	} {
		if got := v.j.sum(v.suricata); got != v.want {
			t.Errorf("%s, as Suricata %v: got %s, want %s", v.name, v.suricata, got, v.want)
		}
	}
}

func TestJA4ShowsALPN(t *testing.T) {
	for name, want := range map[string]string{
		"h2": "h2", "http/1.1": "h1", "h": "hh", "": "\x00\x00", "\xab": "ab", "\xab\xcd": "ad", "0\xab": "3b", "01\xab\xcd": "3d",
		"0\xab\xcd1": "01", "\x1a\x1a": "\x00\x00",
	} {
		var j ja4
		j.setALPN([]byte(name))
		if got := string(j.alpn[:]); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestJA4LeavesGREASEOut(t *testing.T) {
	for i := range 1 << 16 {
		v := uint16(i)
		want := v>>8 == v&0xff && v&15 == 10
		if grease(v) != want {
			t.Fatalf("%04x: got %v, want %v", v, grease(v), want)
		}
	}
	var j ja4
	j.addCipher(0x0a0a)
	j.addExtension(0x1a1a)
	j.addSignature(0x2a2a)
	j.addVersion(0xfafa)
	if got, want := j.sum(false), "t00i000000_000000000000_000000000000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The examples of the description of JA3.
func TestJA3(t *testing.T) {
	for _, v := range []struct {
		hello []byte
		text  string
		hash  string
	}{
		{clientHello(tls10, []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
			append(append(extension(0), extension(10, 0, 6, 0, 23, 0, 24, 0, 25)...), extension(11, 1, 0)...)...),
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5"},
		{clientHello(tls10, []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}),
			"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"},
		{clientHello(tls10, []uint16{0x0a0a, 4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99, 0xfafa}),
			"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6"},
	} {
		p := newTLS(&Config{JA3: true})
		p.stream(ToServer, record(tlsHandshake, v.hello...), at{}, func(*Event) {})
		if s := &p.side[ToServer]; string(s.ja3) != v.text || s.ja3Hash != v.hash {
			t.Errorf("got %s %s, want %s %s", s.ja3, s.ja3Hash, v.text, v.hash)
		}
	}
}
