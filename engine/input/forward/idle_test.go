package forward

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
	test "dragonfly/test/rig"
)

// TestIdleClientsAreClosed, whatever they have sent, but not those that wait for an ack.
func TestIdleClientsAreClosed(t *testing.T) {
	r := newRig(t, engine.Values{"idle_timeout": 100 * time.Millisecond})
	waiting := r.dial()
	waiting.Write([]byte("\x94\xa1t\x01\x80\x81\xa5chunk\xa3one"))
	open := r.next()
	for _, start := range []string{"", "\xc0", "\x93\xa1t\x01\x80", `["t",1,{}]`} { // nothing, a heartbeat, messages
		conn := r.dial()
		conn.Write([]byte(start))
		if start != "" {
			r.next().Done()
		}
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Errorf("%q: got %q, %v, want the end", start, got, err)
		}
	}
	if strings.Contains(r.text(), "middle of a message") {
		t.Error(r.text())
	}
	half := r.dial()
	half.Write([]byte("\x94\xa1t"))
	if got, err := io.ReadAll(half); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v, want the end", got, err)
	}
	r.logged("in the middle of a message, 3 bytes of which had come")
	open.Done() // it was not idle: it waited for this
	ack := make([]byte, 9)
	if _, err := io.ReadFull(waiting, ack); err != nil || string(ack) != "\x81\xa3ack\xa3one" {
		t.Fatalf("got %q, %v, want the ack", ack, err)
	}
	if _, err := waiting.Read(ack); err != io.EOF {
		t.Errorf("behind its ack: %v, want the end", err)
	}
	parts.Until(t, "all are counted", func() bool { return r.counters["forward_idle_total"].Load() == 6 })
	if n := r.counters["forward_errors_total"].Load(); n != 0 {
		t.Errorf("%d errors are counted", n)
	}
}

// TestTLS: clients verify the server, and with tls_client_ca the server verifies clients; whoever is refused is told.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	authority, stranger := parts.Certify(t, nil), parts.Certify(t, nil)
	ca, _ := authority.Write(t, dir, "ca")
	cert, key := parts.Certify(t, authority, "127.0.0.1").Write(t, dir, "server")
	known, unknown := parts.Certify(t, authority, "agent.test").Pair(t), parts.Certify(t, stranger, "agent.test").Pair(t)
	message := []byte("\x94\xa1t\x01\x80\x81\xa5chunk\xa3one")
	const refused = "a client's TLS handshake failed"
	for _, c := range []struct {
		name   string
		set    engine.Values
		client *tls.Config // nil: it talks no TLS
		want   string      // in the log; "": it is served
	}{
		{"verified", nil, &tls.Config{RootCAs: authority.Pool()}, ""},
		{"of another authority", nil, &tls.Config{RootCAs: stranger.Pool()}, refused},
		{"of another name", nil, &tls.Config{RootCAs: authority.Pool(), ServerName: "other.test"}, refused},
		{"too old", nil, &tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, refused},
		{"no TLS", nil, nil, refused},
		{"mutual", engine.Values{"tls_client_ca": ca}, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{known}}, ""},
		{"mutual and idle_timeout", engine.Values{"tls_client_ca": ca, "idle_timeout": time.Hour}, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{known}}, ""},
		{"mutual, without a certificate", engine.Values{"tls_client_ca": ca}, &tls.Config{RootCAs: authority.Pool()}, "with tls_client_ca show a certificate"},
		{"mutual, of another authority", engine.Values{"tls_client_ca": ca}, &tls.Config{RootCAs: authority.Pool(), Certificates: []tls.Certificate{unknown}}, "with tls_client_ca show a certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := engine.Values{"tls_cert": cert, "tls_key": key}
			for k, v := range c.set {
				set[k] = v
			}
			r := newRig(t, set)
			conn := r.dial()
			if c.client != nil {
				if c.client.ServerName == "" {
					c.client.ServerName = "127.0.0.1"
				}
				conn = tls.Client(conn, c.client)
			}
			conn.Write(message)
			if c.want != "" {
				r.logged(c.want)
				if len(r.Left()) > 0 {
					t.Error("its message is emitted")
				}
				return
			}
			r.next().Done()
			ack := make([]byte, 9)
			if _, err := io.ReadFull(conn, ack); err != nil || string(ack) != "\x81\xa3ack\xa3one" {
				t.Errorf("got %q, %v, want the ack", ack, err)
			}
		})
	}
	for _, set := range []engine.Values{{"tls_cert": cert}, {"tls_client_ca": ca}, {"tls_cert": ca, "tls_key": key}} {
		if _, err := New((&test.Row{}).Params(Kind.Options, "forward://127.0.0.1:0", set)); err == nil || !strings.Contains(err.Error(), "tls_") {
			t.Errorf("%v: got %v", set, err)
		}
	}
}
