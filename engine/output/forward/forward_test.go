package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/IBM/fluent-forward-go/fluent/protocol"
	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
	"dragonfly/test/rig"
)

// deadline of whatever a test waits for: the machine may be slow.
const deadline = 60 * time.Second

// server is one that decodes with the types of an independent implementation.
type server struct {
	t        *testing.T
	l        net.Listener
	key      string
	user     string // with the password "p"
	records  chan string
	messages chan *protocol.PackedForwardMessage
	ack      func(n int) string // what to answer to the n-th message: "ack", "close", "silence", "wrong"
}

func newServer(t *testing.T) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, l: l, records: make(chan string, 1<<16), messages: make(chan *protocol.PackedForwardMessage, 1<<10)}
	t.Cleanup(func() { l.Close() })
	return s
}

func (s *server) start() *server {
	go func() {
		for n := 0; ; {
			conn, err := s.l.Accept()
			if err != nil {
				return
			}
			if err := s.serve(conn, &n); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
				s.t.Errorf("server: %v", err)
			}
			conn.Close()
		}
	}()
	return s
}

func (s *server) serve(conn net.Conn, n *int) error {
	r, w := msgp.NewReader(conn), msgp.NewWriter(conn)
	if s.key != "" {
		if ok, err := s.greet(r, w); !ok {
			return err
		}
	}
	for {
		var m protocol.PackedForwardMessage
		if err := m.DecodeMsg(r); err != nil {
			return msgp.Cause(err)
		}
		*n++
		answer := "ack"
		if s.ack != nil {
			answer = s.ack(*n)
		}
		if answer == "close" {
			return nil
		}
		if err := s.keep(&m); err != nil {
			return err
		}
		s.messages <- &m
		if m.Options.Chunk == "" || answer == "silence" {
			continue
		}
		ack := protocol.AckMessage{Ack: m.Options.Chunk}
		if answer == "wrong" {
			ack.Ack = "another"
		}
		if err := ack.EncodeMsg(w); err != nil || w.Flush() != nil {
			return err
		}
	}
}

func (s *server) greet(r *msgp.Reader, w *msgp.Writer) (bool, error) {
	nonce := []byte("0123456789abcdef")
	helo := protocol.NewHelo(&protocol.HeloOpts{Nonce: nonce, Auth: []byte(s.user), Keepalive: true})
	if err := helo.EncodeMsg(w); err != nil || w.Flush() != nil {
		return false, err
	}
	var ping protocol.Ping
	if err := ping.DecodeMsg(r); err != nil {
		return false, err
	}
	err := protocol.ValidatePingDigest(&ping, []byte(s.key), nonce)
	reason := ""
	if err != nil {
		reason = "shared_key mismatch"
	}
	pong, err := protocol.NewPong(reason == "", reason, "server", []byte(s.key), &protocol.Helo{Options: &protocol.HeloOpts{Nonce: nonce}}, &ping)
	if err != nil {
		return false, err
	}
	if err := pong.EncodeMsg(w); err != nil {
		return false, err
	}
	return reason == "", w.Flush()
}

func (s *server) keep(m *protocol.PackedForwardMessage) error {
	stream := m.EventStream
	if m.Options.Compressed == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(stream))
		if err != nil {
			return err
		}
		if stream, err = io.ReadAll(z); err != nil {
			return err
		}
	}
	count := 0
	for len(stream) > 0 {
		var e protocol.EntryExt
		rest, err := e.UnmarshalMsg(stream)
		if err != nil {
			return err
		}
		text, err := json.Marshal(e.Record)
		if err != nil {
			return err
		}
		s.records <- m.Tag + " " + e.Timestamp.UTC().Format(time.RFC3339Nano) + " " + string(text)
		stream = rest
		count++
	}
	if m.Options.Size == nil || *m.Options.Size != count {
		return errors.New("the option size is wrong")
	}
	return nil
}

func newOutput(t *testing.T, s *server, set engine.Values) engine.Output {
	t.Helper()
	out, _ := rig.NewOutput(t, Kind, "forward://"+s.l.Addr().String(), set)
	return out
}

func events(t *testing.T, list ...string) []engine.Event { t.Helper(); return rig.Events(t, list...) }

func (s *server) next() string {
	s.t.Helper()
	select {
	case r := <-s.records:
		return r
	case <-time.After(deadline):
		s.t.Fatal("the server got nothing")
		panic("unreachable")
	}
}

func TestAnotherServerReadsWhatIsSent(t *testing.T) {
	const ts = `"timestamp":"2026-11-21T10:00:00.123456+0100"`
	for name, set := range map[string]engine.Values{"gzip": {}, "plain": {"compress": "none"}, "without acks": {"require_ack": false}, "shared key": {"shared_key": "k", "hostname": "me"},
		"user": {"shared_key": "k", "hostname": "me", "username": "u", "password": "p"}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.key, _ = set["shared_key"].(string)
			s.user, _ = set["username"].(string)
			s.start()
			set["tag_field"] = "event_type"
			out := newOutput(t, s, set)
			n, err := out.Write(t.Context(), events(t, `{`+ts+`,"event_type":"alert","n":-1,"big":18446744073709551615,"f":1.5,"t":true,"z":null,"a":[1,{"k":"\u00e4\n"}]}`,
				`{`+ts+`,"event_type":"dns"}`, `{`+ts+`,"event_type":"alert","o":{"p":{}}}`))
			if n != 3 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			const at = " 2026-11-21T09:00:00.123456Z "
			const text = `"timestamp":"2026-11-21T10:00:00.123456+0100"`
			for _, want := range []string{
				`suricata.alert` + at + `{"a":[1,{"k":"ä\n"}],"big":18446744073709551615,"event_type":"alert","f":1.5,"n":-1,"t":true,` + text + `,"z":null}`,
				`suricata.alert` + at + `{"event_type":"alert","o":{"p":{}},` + text + `}`, `suricata.dns` + at + `{"event_type":"dns",` + text + `}`,
			} {
				if got := s.next(); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

func TestOnlyWhatIsAckedIsDelivered(t *testing.T) {
	s := newServer(t)
	s.ack = func(n int) string { return [...]string{"", "ack", "silence", "close"}[min(n, 3)] }
	s.start()
	out := newOutput(t, s, engine.Values{"chunk": int64(1024)})
	var list []string
	for range 9 { // three chunks of three
		list = append(list, `{"pad":"`+strings.Repeat("x", 320)+`"}`)
	}
	batch := events(t, list...)
	n, err := out.Write(t.Context(), batch)
	if err == nil || n == 0 || n == 9 {
		t.Fatalf("%d delivered, %v; want those of the first chunk", n, err)
	}
	first := n
	s2 := newServer(t).start()
	out.(*output).Address = s2.l.Addr().String()
	if n, err := out.Write(t.Context(), batch[first:]); n != 9-first || err != nil {
		t.Fatalf("again: %d, %v", n, err)
	}
}

func TestErrorsNameTheirRemedy(t *testing.T) {
	f := func(name string, set engine.Values, prepare func(*server), want string) {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			prepare(s)
			s.start()
			n, err := newOutput(t, s, set).Write(t.Context(), events(t, `{"a":1}`))
			if n != 0 || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %d, %v, want %q", n, err, want)
			}
		})
	}
	f("wrong key", engine.Values{"shared_key": "wrong", "hostname": "me"}, func(s *server) { s.key = "right" }, "shared_key, username and password must be the server's")
	f("no user", engine.Values{"shared_key": "k", "hostname": "me"}, func(s *server) { s.key, s.user = "k", "salt" }, "set username and password")
	f("same name", engine.Values{"shared_key": "k", "hostname": "server"}, func(s *server) { s.key = "k" }, "set hostname")
	f("ack of another chunk", nil, func(s *server) { s.ack = func(int) string { return "wrong" } }, "was not sent")
	f("no ack", engine.Values{"ack_timeout": 200 * time.Millisecond}, func(s *server) { s.ack = func(int) string { return "silence" } }, "waiting for the ack")
	t.Run("key that we do not know", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := l.Accept(); err == nil {
				w := msgp.NewWriter(conn)
				protocol.NewHelo(nil).EncodeMsg(w)
				w.Flush()
				io.Copy(io.Discard, conn)
				conn.Close()
			}
		}()
		out := newOutput(t, &server{l: l}, nil)
		if _, err := out.Write(t.Context(), events(t, `{}`)); err == nil || !strings.Contains(err.Error(), "set shared_key") {
			t.Errorf("got %v", err)
		}
	})
}

func TestEventThatIsNoObjectIsRejected(t *testing.T) {
	s := newServer(t).start()
	out := newOutput(t, s, nil)
	n, err := out.Write(t.Context(), events(t, `{"a":1}`, `[1]`, `{"a":2}`))
	var reject *engine.RejectError
	if n != 1 || !errors.As(err, &reject) {
		t.Fatalf("got %d, %v", n, err)
	}
	if n, err := out.Write(t.Context(), events(t, `{"a":2}`)); n != 1 || err != nil {
		t.Fatalf("after it: %d, %v", n, err)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	s := newServer(t)
	s.ack = func(int) string { return "silence" }
	s.start()
	out := newOutput(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-s.messages; cancel() }()
	start := time.Now()
	if n, err := out.Write(ctx, events(t, `{"a":1}`)); n != 0 || err == nil || time.Since(start) > 50*time.Second {
		t.Errorf("got %d, %v after %v", n, err, time.Since(start))
	}
}

func TestEventsAsText(t *testing.T) {
	s := newServer(t).start()
	out := newOutput(t, s, engine.Values{"message_key": "log"})
	const body = `{"timestamp":"2026-11-21T10:00:00Z",  "n":1.0}`
	if n, err := out.Write(t.Context(), events(t, body)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	var rec struct{ Log string }
	got := s.next()
	if err := json.Unmarshal([]byte(got[strings.Index(got, "{"):]), &rec); err != nil || rec.Log != body {
		t.Errorf("got %s", got)
	}
}

// TestServerThatEndsIdleConnections is written to again without an error.
func TestServerThatEndsIdleConnections(t *testing.T) {
	s := newServer(t)
	s.ack = func(n int) string { return "ack" }
	s.start()
	out := newOutput(t, s, nil)
	if n, err := out.Write(t.Context(), events(t, `{"n":1}`)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	conn := out.(*output).conn
	conn.Conn.(*net.TCPConn).CloseWrite() // the server reads the end, and closes
	io.Copy(io.Discard, conn)
	if n, err := out.Write(t.Context(), events(t, `{"n":2}`)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// FuzzPack: of every JSON object comes one entry, whole, that the library reads as encoding/json reads the object.
func FuzzPack(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,-1,1e3,18446744073709551616,null,true],"timestamp":"2026-11-21T10:00:00.000000+0100"}`, `{"\u00e4":{"b":"\ud800"}}`, `{"a":1e999}`, `{"":[],"":""}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		ev, err := engine.NewEvent(body)
		if err != nil || ev.Index == nil {
			return
		}
		p := packer{}
		b := p.append(nil, &ev, ev.Index)
		if rest, err := msgp.Skip(b); err != nil || len(rest) > 0 {
			t.Fatalf("%d bytes are left, %v", len(rest), err)
		}
		var want map[string]any
		if json.Unmarshal([]byte(body), &want) != nil {
			return // numbers beyond a double
		}
		got, _, err := msgp.ReadMapStrIntfBytes(b[11:], nil)
		if errors.Is(err, msgp.ErrShortBytes) {
			return // the library takes a map of empty keys for cut off; Skip has read it
		}
		if err != nil || len(got) != len(want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}
