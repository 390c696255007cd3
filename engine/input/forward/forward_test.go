package forward

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	other "github.com/IBM/fluent-forward-go/fluent/client"
	"github.com/IBM/fluent-forward-go/fluent/protocol"
	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
	"dragonfly/test/parts"
	test "dragonfly/test/rig"
)

// deadline of whatever a test waits for.
const deadline = parts.Deadline

// rig runs an input; the test finishes what it emits.
type rig struct {
	*test.Input
	t        *testing.T
	in       *input
	counters map[string]*atomic.Int64
}

func newRig(t *testing.T, set engine.Values) *rig {
	t.Helper()
	r := test.NewInput(t, Kind, "forward://127.0.0.1:0", set).Start()
	return &rig{r, t, r.In.(*input), r.Counters}
}

func (r *rig) next() engine.Batch { r.t.Helper(); return r.Next() }
func (r *rig) stop()              { r.Stop() }
func (r *rig) text() string       { return r.Log.String() }
func (r *rig) logged(want string) { r.t.Helper(); r.Log.Wait(r.t, want) }

func bodies(b engine.Batch) []string { return test.Bodies(b) }

func (r *rig) address() string { return r.in.Addr().String() }

func (r *rig) dial() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address())
	if err != nil {
		r.t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(deadline))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// finishing answers each batch as the engine would.
func (r *rig) finishing(n int, got *[]string) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			b := r.next()
			*got = append(*got, bodies(b)...)
			b.Done()
		}
	}()
	return done
}

// TestModesOfAnotherClient receives what an independent implementation sends, in each mode, with acks.
func TestModesOfAnotherClient(t *testing.T) {
	for name, key := range map[string]string{"open": "", "shared key": "secret"} {
		t.Run(name, func(t *testing.T) {
			set := engine.Values{"shared_key": key, "hostname": "server"}
			if key == "" {
				delete(set, "shared_key")
			}
			r := newRig(t, set)
			options := other.ConnectionOptions{Factory: &other.ConnFactory{Address: r.address()}, RequireAck: true, ConnectionTimeout: deadline}
			if key != "" {
				options.AuthInfo.SharedKey = []byte(key)
			}
			c := other.New(options)
			if err := c.Connect(); err != nil {
				t.Fatal(err)
			}
			defer c.Disconnect()
			if key != "" {
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.UTC)
			entries := protocol.EntryList{{Timestamp: protocol.EventTime{Time: at}, Record: map[string]any{"n": 1}}, {Timestamp: protocol.EventTime{Time: at}, Record: map[string]any{"n": []byte("two")}}}
			var got []string
			done := r.finishing(5, &got)
			for _, send := range []func() error{
				func() error { return c.SendMessage("t.message", map[string]any{"n": 0}) },
				func() error { return c.SendMessageExt("t.ext", map[string]any{"n": 0}) },
				func() error { return c.SendForward("t.forward", entries) },
				func() error { return c.SendPacked("t.packed", entries) },
				func() error { return c.SendCompressed("t.gzip", entries) },
			} {
				if err := send(); err != nil {
					t.Fatal(err)
				}
			}
			<-done
			if len(got) != 8 || !strings.HasSuffix(got[0], `"tag":"t.message"}`) || !strings.HasSuffix(got[1], `"tag":"t.ext"}`) {
				t.Fatalf("got %s", got)
			}
			for i, tag := range []string{"forward", "packed", "gzip"} {
				for j, n := range []string{"1", `"two"`} {
					if want := `{"n":` + n + `,"timestamp":"2026-11-21T10:00:00.123456789+0000","tag":"t.` + tag + `"}`; got[2+2*i+j] != want {
						t.Errorf("got %s, want %s", got[2+2*i+j], want)
					}
				}
			}
		})
	}
}

func TestAckOnlyWhenFinished(t *testing.T) {
	r := newRig(t, nil)
	conn := r.dial()
	message := func(chunk string) []byte {
		b := msgp.AppendArrayHeader(nil, 4)
		b = msgp.AppendString(b, "t")
		b = msgp.AppendInt(b, 1)
		b = msgp.AppendMapHeader(b, 0)
		b = msgp.AppendMapHeader(b, 1)
		b = msgp.AppendString(b, "chunk")
		return msgp.AppendString(b, chunk)
	}
	conn.Write(append(message("one"), message("two")...))
	one, two := r.next(), r.next()
	two.Done()
	ack := make([]byte, 9)
	want := func(id string) {
		t.Helper()
		if _, err := io.ReadFull(conn, ack); err != nil || string(ack) != "\x81\xa3ack\xa3"+id {
			t.Fatalf("got %q, %v, want the ack of %s", ack, err, id)
		}
	}
	want("two") // and not "one", which is not finished
	r.stop()    // the engine drains now
	one.Done()
	want("one")
	if _, err := conn.Read(ack); err != io.EOF {
		t.Errorf("after the last ack: %v, want the end", err)
	}
	if n := r.counters["forward_acks_total"].Load(); n != 2 {
		t.Errorf("%d acks are counted", n)
	}
}

func TestHalfClosedClientGetsItsAck(t *testing.T) {
	r := newRig(t, nil)
	conn := r.dial()
	conn.Write([]byte("\x94\xa1t\x01\x80\x81\xa5chunk\xa3one"))
	conn.(*net.TCPConn).CloseWrite()
	b := r.next()
	b.Done()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "\x81\xa3ack\xa3one" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUserAndKeyAreChecked(t *testing.T) {
	r := newRig(t, engine.Values{"shared_key": "k", "username": "u", "password": "p", "hostname": "server"})
	for _, c := range []struct{ key, user, password, want string }{
		{"wrong", "u", "p", "shared_key mismatch"}, {"k", "u", "wrong", "username/password mismatch"}, {"k", "other", "p", "username/password mismatch"}, {"k", "u", "p", ""},
	} {
		conn := r.dial()
		m := msgp.NewReader(conn)
		var helo protocol.Helo
		if err := helo.DecodeMsg(m); err != nil {
			t.Fatal(err)
		}
		salt := []byte("salt")
		sum := hexOf(string(helo.Options.Auth) + c.user + c.password)
		ping := protocol.Ping{MessageType: "PING", ClientHostname: "client", SharedKeySalt: salt,
			SharedKeyHexDigest: hexOf("salt" + "client" + string(helo.Options.Nonce) + c.key), Username: c.user, Password: sum}
		w := msgp.NewWriter(conn)
		if err := ping.EncodeMsg(w); err != nil || w.Flush() != nil {
			t.Fatal(err)
		}
		var pong protocol.Pong
		if err := pong.DecodeMsg(m); err != nil {
			t.Fatal(err)
		}
		if pong.AuthResult != (c.want == "") || pong.Reason != c.want {
			t.Errorf("%+v: got %+v", c, pong)
		}
		if c.want != "" {
			r.logged(c.want)
			if _, err := conn.Read(salt); err != io.EOF {
				t.Errorf("%+v: the connection goes on: %v", c, err)
			}
			continue
		}
		if err := protocol.ValidatePongDigest(&pong, []byte("k"), helo.Options.Nonce, salt); err != nil {
			t.Error(err)
		}
	}
	if n := r.counters["forward_refused_total"].Load(); n != 3 {
		t.Errorf("%d refusals are counted", n)
	}
}

func TestTextMessagesAndHeartbeats(t *testing.T) {
	r := newRig(t, engine.Values{"udp_heartbeat": true})
	conn := r.dial()
	fmt.Fprint(conn, `["t",1700000000,{"a": 1}]`+"\n"+`["u",[[1700000000.5,{"b":{}}],[0,5]],{"chunk":"c"}]`)
	if got := fmt.Sprint(bodies(r.next())); got != `[{"a":1,"timestamp":"2023-11-14T22:13:20.000000+0000","tag":"t"}]` {
		t.Errorf("got %s", got)
	}
	b := r.next()
	b.Done()
	if got := fmt.Sprint(bodies(b)); got != `[{"b":{},"timestamp":"2023-11-14T22:13:20.500000+0000","tag":"u"} not_object5]` {
		t.Errorf("got %s", got)
	}
	ack := make([]byte, 7)
	if _, err := io.ReadFull(conn, ack); err != nil || string(ack) != "\x81\xa3ack\xa1c" {
		t.Errorf("got %q, %v", ack, err)
	}
	beat, err := net.Dial("udp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer beat.Close()
	beat.SetDeadline(time.Now().Add(deadline))
	beat.Write([]byte{0})
	if n, err := beat.Read(ack); n != 1 || err != nil {
		t.Errorf("heartbeat: %d bytes, %v", n, err)
	}
	tcp := r.dial()
	tcp.Write([]byte("\xc0\xc0\x93\xa1t\x01\x80"))
	for _, want := range []int{0, 0, 1} {
		if b := r.next(); len(b.Records) != want {
			t.Errorf("got %d records, want %d", len(b.Records), want)
		}
	}
}

func TestWhatIsNotTheProtocolIsTold(t *testing.T) {
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                  "not a message of the forward protocol",
		"\x92\xa1t":                               "within a message",
		"\xc1":                                    "0xc1",
		"\x93\xa1t\x01\xdd\xff\xff\xff\xff":       "longer than max_message",
		"\x93\xa1t\xc6\x7f\xff\xff\xff":           "longer than max_message",
		`["t",{"a":` + strings.Repeat(" ", 1<<20): "longer than max_message",
		"\x94\xa1t\x01\x80\x93\x01\x02\x03":       "option of a message",
		"\x93\x01\x01\x80":                        "tag is no text",
		"{\"a\":1}":                               "cannot unmarshal",
		"\x92\xa1t\x01":                           "record is missing",
		"\x81\xa1t\x01":                           "not a message of the forward protocol",
		"\x9f" + strings.Repeat("\xdd\x00\x00\x00\x01", 300000): "longer than max_message",
	} {
		r := newRig(t, engine.Values{"max_message": int64(1 << 20)})
		conn := r.dial()
		conn.Write([]byte(text))
		conn.(*net.TCPConn).CloseWrite()
		r.logged(want)
		if n := r.counters["forward_errors_total"].Load(); n != 1 {
			t.Errorf("%.20q: %d errors are counted", text, n)
		}
		r.stop()
	}
}

func TestEntriesThatAreNoRecords(t *testing.T) {
	at := []byte{0xd7, 0, 0x5f, 0xce, 0x07, 0xa5, 0x0c, 0x45, 0x8a, 0x6e}
	deep := bytes.Repeat([]byte{0x91}, 5000)
	var packed []byte
	add := func(parts ...[]byte) {
		packed = append(packed, 0x92)
		packed = append(packed, bytes.Join(parts, nil)...)
	}
	add(at, []byte("\x81\xa1a\x01"))
	add(at, []byte("\x05"))                                          // no map
	add([]byte("\x92"), at, []byte("\x80"), []byte("\x81\xa1m\x02")) // [time, metadata]
	add(at, []byte("\x81\xa1d"), deep, []byte("\x01"))
	add(at, []byte("\x81\x91\x01\x02")) // a key that is an array
	packed = append(packed, 0x05)       // no entry
	add(at, []byte("\x82\x01\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa1x\xc7\x03\x05abc"))
	packed = append(packed, 0x92, 0x01) // cut off
	b := msgp.AppendArrayHeader(nil, 2)
	b = msgp.AppendString(b, "t")
	b = msgp.AppendBytes(b, packed)
	r := &reader{shape: shape{tagKey: "tag", timeKey: "timestamp"}, maxUnpacked: 1 << 20}
	c, err := r.read(b, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const end = `,"timestamp":"2020-12-07T10:44:53.205884014+0000","tag":"t"}`
	want := []string{`{"a":1` + end, "not_object", `{"m":2` + end, "malformed", "malformed", "malformed", `{"1":null,"x":"YWJj"` + end, "malformed"}
	if len(c.records) != len(want) {
		t.Fatalf("got %d records: %v", len(c.records), c.records)
	}
	for i, rec := range c.records {
		if got := rec.Reject; got != want[i] && rec.Body != want[i] {
			t.Errorf("record %d: got %s %.200s, want %s", i, got, rec.Body, want[i])
		}
	}
}

func TestUnwrapIsByteForByte(t *testing.T) {
	const eve = `{"timestamp":"2026-11-21T10:00:00.000000+0100", "n":1.0,"s":"\u00e4"}`
	r := &reader{shape: shape{tagKey: "tag", timeKey: "timestamp", unwrap: []string{"log"}}, maxUnpacked: 1 << 20}
	message := func(value string) []byte {
		b := msgp.AppendArrayHeader(nil, 3)
		b = msgp.AppendString(b, "t")
		b = msgp.AppendInt(b, 1)
		b = msgp.AppendMapHeader(b, 2)
		b = msgp.AppendString(b, "stream")
		b = msgp.AppendString(b, "stdout")
		b = msgp.AppendString(b, "log")
		return msgp.AppendString(b, value)
	}
	for in, want := range map[string]string{
		eve:            eve[:len(eve)-1] + `,"tag":"t"}`,
		eve + "\n":     eve[:len(eve)-1] + `,"tag":"t"}`,
		"{}":           `{"timestamp":"1970-01-01T00:00:01.000000+0000","tag":"t"}`,
		`{"tag":1}  `:  `{"tag":1,"timestamp":"1970-01-01T00:00:01.000000+0000"}`,
		"{no json}":    `{"stream":"stdout","log":"{no json}","timestamp":"1970-01-01T00:00:01.000000+0000","tag":"t"}`,
		"plain \"text": `{"stream":"stdout","log":"plain \"text","timestamp":"1970-01-01T00:00:01.000000+0000","tag":"t"}`,
	} {
		c, err := r.read(message(in), time.Now())
		if err != nil || len(c.records) != 1 || c.records[0].Body != want {
			t.Errorf("%q: got %v, %v, want %s", in, c.records, err, want)
		}
	}
}

func TestCompressedEntriesAreBounded(t *testing.T) {
	z, _ := zstd.NewWriter(nil)
	entry := []byte("\x92\x01\x81\xa1a\x01")
	pack := func(raw []byte) []byte {
		b := msgp.AppendArrayHeader(nil, 3)
		b = msgp.AppendString(b, "t")
		b = msgp.AppendBytes(b, z.EncodeAll(raw, nil))
		b = msgp.AppendMapHeader(b, 1)
		b = msgp.AppendString(b, "compressed")
		return msgp.AppendString(b, "zstd")
	}
	r := &reader{maxUnpacked: 1 << 16}
	c, err := r.read(pack(bytes.Repeat(entry, 100)), time.Now())
	if err != nil || len(c.records) != 100 || c.records[99].Body != `{"a":1}` {
		t.Fatalf("got %d records, %v", len(c.records), err)
	}
	c, err = r.read(pack(bytes.Repeat(entry, 1<<20)), time.Now())
	if err != nil || len(c.records) == 0 || c.records[0].Reject == "" {
		t.Fatalf("bomb: got %d records, %v", len(c.records), err)
	}
}

// hexOf is the digest of the protocol, written down again.
func hexOf(s string) string {
	sum := sha512.Sum512([]byte(s))
	return hex.EncodeToString(sum[:])
}
