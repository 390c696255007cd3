package app

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 9001 appendix A, RFC 9369 appendix A.
const (
	rfcConnection = "8394c8f03e515708"
	rfcClient     = "010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0" +
		"00000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501000000000033" +
		"00260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305030603" +
		"0203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000753009011" +
		"00f088394c8f03e51570806048000ffff"
	rfcServer1 = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5e" +
		"de4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7a" +
		"af2f58891850abbdca3d20398c276456cbc42158407dd074ee"
	rfcServer2 = "dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630179153582300" +
		"35f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2c984c707f0a0812d8cd5a6881eaf21" +
		"ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140"
)

func TestQUICKeys(t *testing.T) {
	secret := unhex(t, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
	for _, v := range []struct {
		secret []byte
		label  string
		want   string
	}{
		{secret, "quic key", "1f369613dd76d5467730efcbe3b1a22d"},
		{secret, "quic iv", "fa044b2f42a3fd3b46fb255c"},
		{secret, "quic hp", "9f50449e04a0e810283a1e9933adedd2"},
	} {
		if got := hex.EncodeToString(expandLabel(v.secret, v.label, len(v.want)/2)); got != v.want {
			t.Errorf("%s: got %s, want %s", v.label, got, v.want)
		}
	}
	k2 := newQUICKeys(quicV2, unhex(t, rfcConnection))
	if got, want := k2.side[ToClient].iv[:], unhex(t, "dd13c276499c0249d3310652"); !bytes.Equal(got, want) {
		t.Errorf("iv of the server, version 2: got %x, want %x", got, want)
	}
	k := newQUICKeys(quicV1, unhex(t, rfcConnection))
	if got, want := k.side[ToServer].iv[:], unhex(t, "fa044b2f42a3fd3b46fb255c"); !bytes.Equal(got, want) {
		t.Errorf("iv of the client: got %x, want %x", got, want)
	}
	if got, want := k.side[ToClient].iv[:], unhex(t, "0ac1493ca1905853b0bba03e"); !bytes.Equal(got, want) {
		t.Errorf("iv of the server: got %x, want %x", got, want)
	}
	var mask [16]byte // of the sample in appendix A.2
	k.side[ToServer].header.Encrypt(mask[:], unhex(t, "d1b1c98dd7689fb8ec11d242b123dc9b"))
	if got, want := mask[:5], unhex(t, "437b9aec36"); !bytes.Equal(got, want) {
		t.Errorf("mask: got %x, want %x", got, want)
	}
	for _, version := range []uint32{0, 0x51303433, 0x51303436, 0x0a0a0a0a, 0xff000016, 0xff000023} {
		if newQUICKeys(version, []byte{1}) != nil {
			t.Errorf("%x: got keys, want none", version)
		}
	}
}

// quicFrame is a CRYPTO frame.
func quicFrame(offset int, data []byte) []byte {
	b := []byte{6, 0x80 | byte(offset>>24), byte(offset >> 16), byte(offset >> 8), byte(offset)}
	b = append(b, 0x40|byte(len(data)>>8), byte(len(data)))
	return append(b, data...)
}

// sealQUIC makes an Initial packet of RFC 9001 or 9369 with keys of the connection dcid.
func sealQUIC(version uint32, dir Dir, dcid []byte, number uint32, payload []byte) []byte {
	first := byte(0xc3)
	if version == quicV2 {
		first = 0xd3
	}
	b := binary.BigEndian.AppendUint32([]byte{first}, version)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(b, 0, 0) // no source, no token
	n := 4 + len(payload) + 16
	b = append(b, 0x40|byte(n>>8), byte(n))
	head := len(b)
	b = binary.BigEndian.AppendUint32(b, number)
	k := &newQUICKeys(version, dcid).side[dir]
	nonce := k.iv
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^uint64(number))
	b = k.packet.Seal(b, nonce[:], payload, b)
	var mask [16]byte
	k.header.Encrypt(mask[:], b[head+4:head+20])
	b[0] ^= mask[0] & 15
	for i := range 4 {
		b[head+i] ^= mask[1+i]
	}
	return b
}

var quicAll = &Config{QUIC: true, JA3: true, JA4: true, JA4QUIC: true}

// quicEvents returns what is reported of datagrams.
func quicEvents(t testing.TB, c *Config, datagrams ...tlsPiece) (list []string) {
	t.Helper()
	q := newQUIC(c)
	for i, d := range datagrams {
		q.datagram(d.dir, d.b, at{time: int64(i), packet: uint64(i), dir: d.dir}, func(e *Event) {
			if e.Type != "quic" || !e.ByPacket || e.Dir != d.dir || e.Packet != uint64(i) {
				t.Errorf("got %+v, want a quic event of packet %d", e, i)
			}
			decodeJSON(t, string(e.Body))
			list = append(list, string(e.Body))
		})
	}
	return list
}

const (
	// The fingerprints were computed apart, from the hello as the RFC prints it.
	rfcClientEvent = `"quic":{"version":"1","sni":"example.com","ja3":{"hash":"41bc9ae914d6cb3bd0bd0a5453ab7d7f","string":"771,4865-4866,0-65281-10-16-5-51-43-13-45-28-57,` +
		`29-23-24,"},"ja4":"q13d0211an_62ed6f6ca7ad_4d634acda6c0","extensions":[{"name":"server_name","type":0,"values":["example.com"]},` +
		`{"name":"renegotiation_info","type":65281},{"name":"supported_groups","type":10},{"name":"alpn","type":16,"values":["alpn"]},` +
		`{"name":"status_request","type":5},{"name":"key_share","type":51},{"name":"supported_versions","type":43,"values":["Tls13"]},` +
		`{"name":"signature_algorithms","type":13,"values":["1027","1283","1539","515","2052","2053","2054"]},` +
		`{"name":"psk_key_exchange_modes","type":45},{"name":"record_size_limit","type":28},{"name":"quic_transport_parameters","type":57}]}`
	rfcServerEvent = `"quic":{"version":"1","ja3s":{"hash":"eb1d94daa7e0344597e756a1fb6e7054","string":"771,4865,51-43"},` +
		`"extensions":[{"name":"key_share","type":51},{"name":"supported_versions","type":43,"values":["Tls13"]}]}`
)

func TestQUICReadsExamplesOfTheRFCs(t *testing.T) {
	id := unhex(t, rfcConnection)
	hello := unhex(t, rfcClient)
	payload := append(append([]byte{6, 0, 0x40, 0xf1}, hello...), make([]byte, 917)...)
	client := sealQUIC(quicV1, ToServer, id, 2, payload)
	if want := unhex(t, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd"); !bytes.HasPrefix(client, want) {
		t.Fatalf("got %x, want %x at the beginning: the test seals wrongly", client[:len(want)], want)
	}
	if want := unhex(t, "e221af44860018ab0856972e194cd934"); !bytes.HasSuffix(client, want) {
		t.Fatalf("got %x at the end, want %x", client[len(client)-16:], want)
	}
	got := quicEvents(t, quicAll, tlsPiece{ToServer, client}, tlsPiece{ToClient, unhex(t, rfcServer1)})
	if len(got) != 2 || got[0] != rfcClientEvent || got[1] != rfcServerEvent {
		t.Errorf("version 1: got\n%s, want\n%s\n%s", strings.Join(got, "\n"), rfcClientEvent, rfcServerEvent)
	}
	client = sealQUIC(quicV2, ToServer, id, 2, payload)
	got = quicEvents(t, quicAll, tlsPiece{ToServer, client}, tlsPiece{ToClient, unhex(t, rfcServer2)})
	v2 := strings.NewReplacer(`"version":"1"`, `"version":"v2"`)
	if len(got) != 2 || got[0] != v2.Replace(rfcClientEvent) || got[1] != v2.Replace(rfcServerEvent) {
		t.Errorf("version 2: got\n%s", strings.Join(got, "\n"))
	}
}

// However a hello is cut, shuffled and spread, the last packet of it tells it.
func TestQUICPutsHellosTogether(t *testing.T) {
	id, hello := unhex(t, rfcConnection), unhex(t, rfcClient)
	seal := func(number uint32, payload ...[]byte) tlsPiece {
		return tlsPiece{ToServer, sealQUIC(quicV1, ToServer, id, number, bytes.Join(payload, nil))}
	}
	part := func(from, to int) []byte { return quicFrame(from, hello[from:min(to, len(hello))]) }
	const bare = `"quic":{"version":"1"}`
	pad := make([]byte, 30)
	ping := []byte{1}
	ack := []byte{2, 5, 0, 1, 2, 3, 4}
	ecn := []byte{3, 5, 0, 0, 2, 3, 4, 5}
	both := tlsPiece{ToServer, append(append([]byte{}, seal(0, part(100, 300)).b...), seal(1, part(0, 100), pad).b...)}
	for name, v := range map[string]struct {
		datagrams []tlsPiece
		want      []string
	}{
		"one packet":       {[]tlsPiece{seal(0, ack, part(0, 300), pad)}, []string{rfcClientEvent}},
		"two frames":       {[]tlsPiece{seal(0, part(0, 9), part(9, 300))}, []string{rfcClientEvent}},
		"shuffled frames":  {[]tlsPiece{seal(0, part(200, 300), ping, part(0, 50), pad, part(120, 200), ecn, part(50, 120))}, []string{rfcClientEvent}},
		"two packets":      {[]tlsPiece{seal(0, part(0, 100)), seal(1, part(100, 300))}, []string{bare, rfcClientEvent}},
		"end first":        {[]tlsPiece{seal(0, part(100, 300)), seal(1, part(0, 100))}, []string{bare, rfcClientEvent}},
		"one datagram":     {[]tlsPiece{both}, []string{bare, rfcClientEvent}},
		"nothing between":  {[]tlsPiece{seal(0, part(0, 100)), seal(1, ping, pad), seal(2, part(100, 300))}, []string{bare, bare, rfcClientEvent}},
		"end never comes":  {[]tlsPiece{seal(0, part(0, 100)), seal(1, part(0, 100))}, []string{bare, bare}},
		"after the hello":  {[]tlsPiece{seal(0, part(0, 300)), seal(1, part(0, 300))}, []string{rfcClientEvent}},
		"of another kind":  {[]tlsPiece{seal(0, quicFrame(0, message(8, 0, 0)), pad)}, []string{bare}},
		"broken frame":     {[]tlsPiece{seal(0, part(0, 300), []byte{6, 0})}, []string{bare}},
		"unknown frame":    {[]tlsPiece{seal(0, part(0, 300), []byte{0x1c, 1, 2, 3})}, []string{rfcClientEvent}},
		"beyond the limit": {[]tlsPiece{seal(0, part(0, 100), quicFrame(1<<20, hello[:5])), seal(1, part(100, 300))}, []string{bare, rfcClientEvent}},
		"not its key":      {[]tlsPiece{seal(0, ping, pad), {ToServer, sealQUIC(quicV1, ToServer, id[1:], 1, part(0, 300))}}, []string{bare, bare}},
	} {
		got := quicEvents(t, quicAll, v.datagrams...)
		if strings.Join(got, "\n") != strings.Join(v.want, "\n") {
			t.Errorf("%s: got\n%s, want\n%s", name, strings.Join(got, "\n"), strings.Join(v.want, "\n"))
		}
	}
}

func TestQUICFollowsRetry(t *testing.T) {
	id, hello := unhex(t, rfcConnection), unhex(t, rfcClient)
	retry := tlsPiece{ToClient, append([]byte{0xf0, 0, 0, 0, 1, 0, 1, 0x55}, make([]byte, 40)...)}
	first := tlsPiece{ToServer, sealQUIC(quicV1, ToServer, id, 0, quicFrame(0, hello))}
	again := tlsPiece{ToServer, sealQUIC(quicV1, ToServer, []byte{0x55}, 1, quicFrame(0, hello))}
	got := quicEvents(t, quicAll, first, retry, again, retry)
	want := []string{rfcClientEvent, `"quic":{"version":"1"}`, rfcClientEvent, `"quic":{"version":"1"}`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestQUICHeaders(t *testing.T) {
	long := func(first byte, version uint32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{first}, version), rest...)
	}
	for name, v := range map[string]struct {
		b    []byte
		kind quicType
		head int
		ok   bool
	}{
		"empty":                {nil, 0, 0, false},
		"short":                {[]byte{0x40, 1, 2, 3}, quicShort, 1, true},
		"negotiation":          {long(0x80, 0, 1, 9, 0, 1, 2, 3, 4), quicNegotiation, 8, true},
		"version 1 initial":    {long(0xc0, 1, 1, 9, 0, 2, 7, 7, 3, 1, 2, 3, 4), quicInitial, 12, true},
		"too long":             {long(0xc0, 1, 1, 9, 0, 0, 4, 1, 2, 3), 0, 0, false},
		"cut":                  {long(0xc0, 1, 8, 9), 0, 0, false},
		"version 1 handshake":  {long(0xe0, 1, 0, 0, 1, 2), quicHandshake, 7, true},
		"version 1 0-RTT":      {long(0xd0, 1, 0, 0, 1, 2), quicZeroRTT, 7, true},
		"version 1 retry":      {long(0xf0, 1, 0, 0, 1, 2), quicRetry, 9, true},
		"version 2 initial":    {long(0xd0, quicV2, 0, 0, 0, 1, 5), quicInitial, 9, true},
		"version 2 retry":      {long(0xc0, quicV2, 0, 0, 1, 2), quicRetry, 9, true},
		"Q046":                 {long(0xc0, 0x51303436, append([]byte{0x50}, make([]byte, 8+16+2)...)...), quicInitial, 30, true},
		"Q044":                 {long(0xff, 0x51303434, append([]byte{0x50}, make([]byte, 8+16+2)...)...), quicInitial, 30, true},
		"Q044 of unknown type": {long(0xc0, 0x51303434, make([]byte, 30)...), 0, 0, false},
		"Q043":                 {append([]byte{0x09, 1, 2, 3, 4, 5, 6, 7, 8, 'Q', '0', '4', '3', 1}, make([]byte, 13)...), quicInitial, 26, true},
		"Q043 without version": {append([]byte{0x08, 1, 2, 3, 4, 5, 6, 7, 8, 1}, make([]byte, 13)...), quicShort, 22, true},
		"Q043 cut":             {[]byte{0x09, 1, 2, 3}, 0, 0, false},
	} {
		h, ok := readQUICHeader(v.b)
		if ok != v.ok || ok && (h.kind != v.kind || h.head != v.head || h.head+h.length > len(v.b)) {
			t.Errorf("%s: got %+v %v, want type %d and %d bytes of header, %v", name, h, ok, v.kind, v.head, v.ok)
		}
	}
}

// googleHello is a handshake message of Google QUIC in a stream of a Q043 packet.
func googleHello(tags ...string) []byte {
	var index, values []byte
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, "=")
		values = append(values, value...)
		index = append(index, (name + "\x00")[:4]...)
		index = binary.LittleEndian.AppendUint32(index, uint32(len(values)))
	}
	msg := append([]byte("CHLO"), byte(len(tags)), 0, 0, 0)
	msg = append(append(msg, index...), values...)
	frame := append([]byte{0xa0, 1, byte(len(msg) >> 8), byte(len(msg))}, msg...)
	b := append([]byte{0x09, 1, 2, 3, 4, 5, 6, 7, 8}, "Q043\x01"...)
	return append(append(b, make([]byte, 12)...), frame...)
}

// The example is of Salesforce's description of CYU.
func TestQUICReadsGoogle(t *testing.T) {
	tags := []string{"PAD=xx", "SNI=a.example", "VER=", "CCS=", "PDMD=", "ICSL=", "MIDS=", "CFCW=", "SFCW="}
	const cyu = `"cyu":[{"hash":"e030dea1f2eea44ac7db5fe4de792acd","string":"43,PAD-SNI-VER-CCS-PDMD-ICSL-MIDS-CFCW-SFCW"}]`
	for name, v := range map[string]struct {
		b    []byte
		want string
	}{
		"hello":       {googleHello(tags...), `"quic":{"version":"Q043","sni":"a.example",` + cyu + `}`},
		"unknown tag": {googleHello("SNI=a", "OHNO=b"), `"quic":{"version":"Q043"}`},
		"agent":       {googleHello("UAID=\x01\xff\"b", "SNI=c"), `"quic":{"version":"Q043","sni":"c","ua":"\u0001` + "\ufffd" + `\"b","cyu":[{"hash":"f9507e40f5a7934cb3d66f216c933bad","string":"43,UAID-SNI"}]}`},
	} {
		got := quicEvents(t, quicAll, tlsPiece{ToServer, v.b})
		if len(got) != 1 || got[0] != v.want {
			t.Errorf("%s: got %s, want %s", name, got, v.want)
		}
	}
}

func TestQUICIsBounded(t *testing.T) {
	id := unhex(t, rfcConnection)
	q := newQUIC(quicAll)
	n, packets := 0, 0
	for more := true; more && packets < 10*quicInitials; packets++ {
		b := sealQUIC(quicV1, ToServer, id, uint32(packets), quicFrame(packets%20*1000+1, make([]byte, 1000)))
		more = q.datagram(ToServer, b, at{}, func(*Event) { n++ })
		if side := &q.(*quicFlow).side[ToServer]; cap(side.crypto) > quicCrypto {
			t.Fatalf("got %d bytes kept, want at most %d", cap(side.crypto), quicCrypto)
		}
	}
	if packets > quicInitials || n > quicInitials {
		t.Errorf("got %d packets read and %d events, want at most %d", packets, n, quicInitials)
	}
}

func TestQUICEndsWithBothHellos(t *testing.T) {
	id := unhex(t, rfcConnection)
	q := newQUIC(quicAll)
	if !q.datagram(ToServer, sealQUIC(quicV1, ToServer, id, 0, quicFrame(0, unhex(t, rfcClient))), at{}, func(*Event) {}) {
		t.Error("after the client's hello: got no more, want the server's")
	}
	if q.datagram(ToClient, unhex(t, rfcServer1), at{}, func(*Event) {}) {
		t.Error("after both hellos: got more, want none")
	}
}

// What is encrypted costs nothing: one side of a connection may never be seen.
func TestQUICEncryptedCostsNoMemory(t *testing.T) {
	q := newQUIC(quicAll)
	found := func(*Event) {}
	id := unhex(t, rfcConnection)
	first := sealQUIC(quicV1, ToServer, id, 0, quicFrame(0, unhex(t, rfcClient)))
	q.datagram(ToServer, first, at{}, found)
	short := append([]byte{0x45}, make([]byte, 1200)...)
	if n := testing.AllocsPerRun(100, func() {
		q.datagram(ToServer, short, at{}, found)
		q.datagram(ToClient, short, at{}, found)
		q.datagram(ToServer, first, at{}, found)
	}); n != 0 {
		t.Errorf("got %v allocations for three datagrams, want 0", n)
	}
}
