package forward

import (
	"crypto/tls"
	"errors"
	"maps"
	"strings"
	"testing"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

// TestTLS: the server's certificate is verified, and a client's is shown. What is refused is told with its remedy, is no
// reject, and nothing is sent.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	authority, stranger := parts.Certify(t, nil), parts.Certify(t, nil)
	ca, _ := authority.Write(t, dir, "ca")
	other, _ := stranger.Write(t, dir, "other")
	cert, key := parts.Certify(t, authority, "agent.test").Write(t, dir, "client")
	strange, strangeKey := parts.Certify(t, stranger, "agent.test").Write(t, dir, "strange")
	plain := &tls.Config{Certificates: []tls.Certificate{parts.Certify(t, authority, "127.0.0.1").Pair(t)}}
	mutual := plain.Clone()
	mutual.ClientCAs, mutual.ClientAuth = authority.Pool(), tls.RequireAndVerifyClientCert
	for _, c := range []struct {
		name   string
		server *tls.Config // nil: it talks no TLS
		set    engine.Values
		want   string // "": it is delivered
	}{
		{"verified", plain, engine.Values{"tls_ca": ca}, ""},
		{"not verified", plain, engine.Values{"tls_insecure": true}, ""},
		{"of another authority", plain, engine.Values{"tls_ca": other}, "tls_ca says who may sign it"},
		{"of an authority that the system does not know", plain, engine.Values{"tls": true}, "tls_ca says who may sign it"},
		{"of another name", plain, engine.Values{"tls_ca": ca, "tls_server_name": "other.test"}, "tls_server_name"},
		{"no TLS", nil, engine.Values{"tls_ca": ca}, "TLS"},
		{"TLS that the row does not say", plain, nil, "may want TLS"},
		{"mutual", mutual, engine.Values{"tls_ca": ca, "tls_cert": cert, "tls_key": key}, ""},
		{"mutual, without acks", mutual, engine.Values{"tls_ca": ca, "tls_cert": cert, "tls_key": key, "require_ack": false}, ""},
		{"mutual, without a certificate", mutual, engine.Values{"tls_ca": ca}, "it may want a client certificate"},
		{"mutual, without a certificate and acks", mutual, engine.Values{"tls_ca": ca, "require_ack": false}, "it may want a client certificate"},
		{"mutual and a shared key, without a certificate", mutual, engine.Values{"tls_ca": ca, "shared_key": "k"}, "it may want a client certificate"},
		{"mutual, of another authority", mutual, engine.Values{"tls_ca": ca, "tls_cert": strange, "tls_key": strangeKey}, "it may want a client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			l := s.l
			if c.server != nil {
				l = tls.NewListener(s.l, c.server)
			}
			go func() {
				for n := 0; ; {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					s.serve(conn, &n) // refused clients are errors here
					conn.Close()
				}
			}()
			set := engine.Values{"ack_timeout": parts.Deadline}
			maps.Copy(set, c.set)
			out := newOutput(t, s, set)
			n, err := out.Write(t.Context(), events(t, `{"n":1}`))
			if c.want == "" {
				if n != 1 || err != nil {
					t.Fatalf("got %d, %v", n, err)
				}
				if got := s.next(); !strings.Contains(got, `"n":1`) {
					t.Errorf("the server got %s", got)
				}
				return
			}
			var rejected *engine.RejectError
			if n != 0 || err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %d, %v, want %q", n, err, c.want)
			}
			if len(s.messages) > 0 {
				t.Error("the server got the event")
			}
		})
	}
	for _, set := range []engine.Values{{"tls_cert": cert}, {"tls_ca": key}, {"tls_ca": dir + "/nothing"}} {
		if _, err := New((&rig.Row{}).Params(Kind.Options, "forward://127.0.0.1:1", set)); err == nil || !strings.Contains(err.Error(), "tls_") && !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: got %v", set, err)
		}
	}
}
