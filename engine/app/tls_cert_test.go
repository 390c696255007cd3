package app

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"
)

// derOf is an element of DER.
func derOf(tag byte, parts ...[]byte) []byte {
	b := bytes.Join(parts, nil)
	if len(b) < 128 {
		return append([]byte{tag, byte(len(b))}, b...)
	}
	return append([]byte{tag, 0x82, byte(len(b) >> 8), byte(len(b))}, b...)
}

// attr is an attribute of a name: an OID in hexadecimal, the tag of the value, and the value.
func attr(oid string, tag byte, value string) []byte {
	id, err := hex.DecodeString(oid)
	if err != nil {
		panic(err)
	}
	return derOf(0x30, derOf(tagOID, id), derOf(tag, []byte(value)))
}

// testCertificate is a certificate of these names and dates.
func testCertificate(issuer, subject, notBefore, notAfter []byte, extensions ...[]byte) []byte {
	algorithm := derOf(0x30, derOf(tagOID, []byte{42, 3}), []byte{5, 0})
	bits := derOf(tagBitString, []byte{0, 1, 2, 3})
	parts := [][]byte{derOf(0xa0, derOf(tagInteger, []byte{2})), derOf(tagInteger, []byte{0, 0xab, 1}), algorithm, issuer,
		derOf(0x30, notBefore, notAfter), subject, derOf(0x30, algorithm, bits)}
	return derOf(0x30, derOf(0x30, append(parts, extensions...)...), algorithm, bits)
}

var (
	testName   = derOf(0x30, derOf(0x31, attr("550403", 12, "example.org")))
	testBefore = derOf(tagUTCTime, []byte("161229152653Z"))
	testAfter  = derOf(tagTime, []byte("20500101000000Z"))
)

func TestCertificateNames(t *testing.T) {
	set := func(attrs ...[]byte) []byte { return derOf(0x31, attrs...) }
	for _, v := range []struct {
		name string
		der  []byte
		want string
	}{
		{"none", nil, ""},
		{"usual", bytes.Join([][]byte{set(attr("550406", 19, "XX")), set(attr("550403", 12, "a.example")), set(attr("551d11", 12, "*.a b.a"))}, nil),
			"C=XX, CN=a.example, subjectAltName=*.a b.a"},
		{"several of one", set(attr("55040b", 12, "Web"), attr("55040b", 12, "Ops")), "OU=Web + OU=Ops"},
		{"others", bytes.Join([][]byte{set(attr("2a864886f70d010901", 22, "a@b")), set(attr("0992268993f22c640119", 22, "org")), set(attr("550405", 19, "7"))}, nil),
			"Email=a@b, DC=org, serialNumber=7"},
		{"unknown", set(attr("2a8648", 19, "v")), "OID(1.2.840)=v"},
		{"longer than it must be", append(set(attr("55048006", 19, "v")), set(attr("550486", 19, "w"))...), "OID(2.5.4.6)=v, OID(2.5.4.6)=w"},
		{"not text", set(attr("550403", tagOctetString, "\x01\xfe")), "CN=01FE"},
		{"UTF-16", set(attr("550403", 30, "\x00M\x00\xfc\xd8\x3d\xde\x00")), "CN=Mü😀"},
		{"half of UTF-16", set(attr("550403", 30, "\x00M\xd8\x3d")), badName},
		{"odd UTF-16", set(attr("550403", 30, "\x00M\x00")), badName},
		{"Latin 1 as T61", set(attr("550403", 20, "M\xfcller")), badName},
		{"broken after the first", append(set(attr("550406", 19, "XX")), 0x31, 0x05, 0x30), "C=XX"},
		{"broken within", derOf(0x31, attr("550406", 19, "XX"), []byte{0x30, 9}), "C=XX"},
		{"empty set", derOf(0x31), ""},
	} {
		if got := certName(der{v.der}); got != v.want {
			t.Errorf("%s: got %q, want %q", v.name, got, v.want)
		}
	}
}

func TestCertificateOIDs(t *testing.T) {
	for oid, want := range map[string]string{
		"": "", "00": "0", "2a": "1.2", "550403": "2.5.4.3", "0992268993f22c640119": "0.9.2342.19200300.100.1.25",
		"2a81": "1.2.1", "2a" + strings.Repeat("ff", 9) + "7f": "1.2.1180591620717411303423",
		"2a" + strings.Repeat("ff", 40): "2a" + strings.Repeat("ff", 40),
	} {
		b, _ := hex.DecodeString(oid)
		if got := oidString(b); got != want {
			t.Errorf("%s: got %s, want %s", oid, got, want)
		}
	}
}

func TestCertificateTimes(t *testing.T) {
	for text, want := range map[string]string{
		"161229152653Z": "2016-12-29T15:26:53", "491231235959Z": "2049-12-31T23:59:59", "500101000000Z": "1950-01-01T00:00:00",
		"000229000000Z": "2000-02-29T00:00:00", "1612291526Z": "2016-12-29T15:26:00", "161229152653+0130": "2016-12-29T13:56:53",
		"161229152653-0100": "2016-12-29T16:26:53", "970102030405Z": "1997-01-02T03:04:05",
		"161229152653": "", "161329152653Z": "", "160230152653Z": "", "161200152653Z": "", "161229242653Z": "", "16122915265": "",
		"161229152653z": "", "1612291526 3Z": "", "161229152653+01": "", "161229152653+0160": "", "": "", "Z": "", "161229152660Z": "",
	} {
		d := der{derOf(tagUTCTime, []byte(text))}
		got, ok := d.time()
		if ok != (want != "") || ok && certTime(got) != want {
			t.Errorf("UTCTime %q: got %v %v, want %q", text, certTime(got), ok, want)
		}
	}
	for text, want := range map[string]string{
		"20161229152653Z": "2016-12-29T15:26:53", "20161229152653": "", "201612291526Z": "2016-12-29T15:26:00",
		"20161229152653.5Z": "2016-12-29T15:26:53", "20161229152653,123Z": "", "20161229152653+0100": "", "99991231235959Z": "9999-12-31T23:59:59",
		"20161229152653.Z": "", "20161229152653.1234Z": "", "201612291526": "", "20230229152653Z": "", "2016": "",
	} {
		d := der{derOf(tagTime, []byte(text))}
		got, ok := d.time()
		if ok != (want != "") || ok && certTime(got) != want {
			t.Errorf("GeneralizedTime %q: got %v %v, want %q", text, certTime(got), ok, want)
		}
	}
}

func TestCertificate(t *testing.T) {
	b := testCertificate(testName, testName, testBefore, testAfter)
	c, ok := readCertificate(b)
	if !ok || !c.named() || c.subject != "CN=example.org" || c.issuer != c.subject || c.serial != "00:AB:01" {
		t.Fatalf("got %+v %v, want CN=example.org and 00:AB:01", c, ok)
	}
	if want := time.Date(2016, 12, 29, 15, 26, 53, 0, time.UTC); !c.notBefore.Equal(want) {
		t.Errorf("got %v, want %v", c.notBefore, want)
	}
	if len(c.fingerprint) != 59 || strings.ToLower(c.fingerprint) != c.fingerprint {
		t.Errorf("got fingerprint %s, want 20 bytes in lower case", c.fingerprint)
	}
	for n := range b {
		if c, ok := readCertificate(b[:n]); ok {
			t.Fatalf("the first %d of %d bytes: got %+v, want none", n, len(b), c)
		}
	}
	extension := derOf(0x30, derOf(tagOID, []byte{85, 29, 19}), derOf(tagBoolean, []byte{1}), derOf(tagOctetString, []byte{0x30, 0}))
	plain := derOf(0x30, derOf(tagOID, []byte{85, 29, 19}), derOf(tagOctetString, nil))
	for name, v := range map[string]struct {
		b    []byte
		want bool
	}{
		"extensions":         {testCertificate(testName, testName, testBefore, testAfter, derOf(0xa3, derOf(0x30, extension, plain))), true},
		"unique identifiers": {testCertificate(testName, testName, testBefore, testAfter, derOf(0xa1, derOf(3, []byte{0, 1}))), true},
		"broken extension":   {testCertificate(testName, testName, testBefore, testAfter, derOf(0xa3, derOf(0x30, extension, []byte{0x30, 9}))), false},
		"bytes after them":   {testCertificate(testName, testName, testBefore, testAfter, derOf(0xa3, derOf(0x30, extension), []byte{0})), false},
		"another element":    {testCertificate(testName, testName, testBefore, testAfter, derOf(0x04)), false},
		"no date":            {testCertificate(testName, testName, testBefore, derOf(tagUTCTime, []byte("soon"))), false},
		"bytes behind":       {append(slices.Clone(b), 1, 2, 3), true},
	} {
		if _, ok := readCertificate(v.b); ok != v.want {
			t.Errorf("%s: got %v, want %v", name, ok, v.want)
		}
	}
}

func TestCertificateChain(t *testing.T) {
	good := testCertificate(testName, testName, testBefore, testAfter)
	nul := derOf(0x30, derOf(0x31, attr("550403", 12, "a\x00b")))
	sized := func(b []byte) []byte {
		return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
	}
	f := func(name string, want string, certs ...[]byte) {
		t.Helper()
		msg := sized(bytes.Join(certs, nil))
		ok, c := readChain(msg, len(msg))
		got := "none"
		if c != nil {
			got = c.subject + "/" + c.issuer
		}
		if !ok || got != want {
			t.Errorf("%s: got %s %v, want %s", name, got, ok, want)
		}
	}
	f("empty", "none")
	f("one", "CN=example.org/CN=example.org", sized(good))
	f("the second", "CN=example.org/CN=example.org", sized([]byte{1, 2, 3}), sized(good))
	f("NUL in the subject", "none", sized(testCertificate(testName, nul, testBefore, testAfter)), sized(good))
	f("NUL in the issuer", "CN=example.org/", sized(testCertificate(nul, testName, testBefore, testAfter)), sized(good))
	f("cut", "none", sized(good)[:50])
	if ok, _ := readChain([]byte{0, 0, 9, 1}, 4); ok {
		t.Error("longer than its message: got ok, want not")
	}
	if ok, c := readChain(append([]byte{9, 0, 0}, sized(good)...), 3+9<<16); !ok || c == nil {
		t.Error("of which only the beginning is kept: got none, want the first certificate")
	}
}

func FuzzCertificate(f *testing.F) {
	f.Add(testCertificate(testName, testName, testBefore, testAfter))
	f.Add(testCertificate(testName, testName, testBefore, testAfter, derOf(0xa3, derOf(0x30))))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := readCertificate(b)
		if !ok || c == nil {
			return
		}
		if len(c.subject)+len(c.issuer) > 16*len(b)+2*len(badName) || len(c.serial) > 3*len(b) {
			t.Errorf("%d bytes make a subject of %d, an issuer of %d", len(b), len(c.subject), len(c.issuer))
		}
		p := newTLS(&Config{})
		p.side[ToClient].cert = c
		p.flags |= tlsWithoutCert
		decodeJSON(t, string(p.body()))
	})
}
