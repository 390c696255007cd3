package wire

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// files is a ROOT with a certificate of "sensor.test", its key, and something that is neither.
func files(t *testing.T) map[string][]byte {
	c := parts.Certify(t, nil, "sensor.test")
	return map[string][]byte{"cert.pem": c.Cert, "key.pem": c.Key, "text": []byte("no certificate")}
}

func params(files map[string][]byte, o engine.Values) engine.Params {
	return engine.Params{Options: o, Read: func(path string) ([]byte, error) {
		if b, ok := files[path]; ok {
			return b, nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}}
}

func TestBothSidesVerify(t *testing.T) {
	f := files(t)
	server, err := ServerTLS(params(f, engine.Values{"tls_cert": "cert.pem", "tls_key": "key.pem", "tls_client_ca": "cert.pem"}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(a, server)
			if conn.Handshake() == nil {
				fmt.Fprint(conn, "hello")
			}
			conn.Close()
		}
	})
	for _, tc := range []struct {
		name    string
		options engine.Values
		wrong   string
	}{
		{"mutual", engine.Values{"tls_ca": "cert.pem", "tls_server_name": "sensor.test", "tls_cert": "cert.pem", "tls_key": "key.pem"}, ""},
		{"insecure, with certificate", engine.Values{"tls_insecure": true, "tls_cert": "cert.pem", "tls_key": "key.pem"}, ""},
		{"no certificate", engine.Values{"tls_ca": "cert.pem", "tls_server_name": "sensor.test"}, "certificate required"},
		{"another name", engine.Values{"tls_ca": "cert.pem", "tls_server_name": "other.test", "tls_cert": "cert.pem", "tls_key": "key.pem"}, "not other.test"},
		{"signed by nobody we know", engine.Values{"tls": true, "tls_server_name": "sensor.test", "tls_cert": "cert.pem", "tls_key": "key.pem"}, "unknown authority"},
	} {
		c, err := ClientTLS(params(f, tc.options), false)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		b, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(b, c)
		buf := make([]byte, 5)
		_, err = conn.Read(buf)
		if tc.wrong == "" && (err != nil || string(buf) != "hello") || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.wrong)
		}
		b.Close()
	}
}

func TestTLSOptions(t *testing.T) {
	f := files(t)
	if c, err := ClientTLS(params(f, engine.Values{}), false); c != nil || err != nil {
		t.Error("TLS that nobody asked for", c, err)
	}
	if c, err := ClientTLS(params(f, engine.Values{}), true); c == nil || err != nil || c.InsecureSkipVerify {
		t.Error(c, err)
	}
	if c, err := ServerTLS(params(f, engine.Values{})); c != nil || err != nil {
		t.Error("TLS that nobody asked for", c, err)
	}
	for _, tc := range []struct {
		options   engine.Values
		key, want string
		server    bool
	}{
		{engine.Values{"tls_cert": "cert.pem"}, "tls_cert", "go together", false},
		{engine.Values{"tls_key": "key.pem"}, "tls_cert", "go together", true},
		{engine.Values{"tls_cert": "cert.pem", "tls_key": "no.pem"}, "tls_key", "no.pem", false},
		{engine.Values{"tls_cert": "no.pem", "tls_key": "key.pem"}, "tls_cert", "no.pem", false},
		{engine.Values{"tls_cert": "text", "tls_key": "key.pem"}, "tls_cert", "text and key.pem", false},
		{engine.Values{"tls_ca": "text"}, "tls_ca", "no certificate", false},
		{engine.Values{"tls_ca": "no.pem"}, "tls_ca", "no.pem", false},
		{engine.Values{"tls_client_ca": "cert.pem"}, "tls_client_ca", "needs tls_cert", true},
	} {
		_, err := ClientTLS(params(f, tc.options), false)
		if tc.server {
			_, err = ServerTLS(params(f, tc.options))
		}
		list := engine.ConfigErrors(err)
		if len(list) != 1 || list[0].Key != tc.key || !strings.Contains(list[0].Msg, tc.want) {
			t.Errorf("%v: %v, want %s: %s", tc.options, err, tc.key, tc.want)
		}
	}
}
