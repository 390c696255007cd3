package http

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// TestTLS: a certificate that is not known is told at once, with its remedy, and with it events go.
func TestTLS(t *testing.T) {
	var posted atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { posted.Add(1) }))
	defer s.Close()
	plain := sinktest.Serve(t, ok)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	row := func(uri string, v engine.Values) engine.Output {
		t.Helper()
		v["timeout"] = 30 * time.Second
		p := sinktest.Params(SecureKind, uri, v, nil)
		p.Read = func(string) ([]byte, error) { return ca, nil }
		out, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tc := range []struct {
		uri  string
		v    engine.Values
		want string
	}{
		{s.URL, engine.Values{}, "tls_ca"},
		{s.URL, engine.Values{"tls_ca": "ca.pem", "tls_server_name": "other.test"}, "tls_server_name"},
		{strings.Replace(plain.URL, "http:", "https:", 1), engine.Values{}, "does not talk TLS"},
		{strings.Replace(s.URL, "https:", "http:", 1), engine.Values{}, "it talks TLS"},
		{s.URL, engine.Values{"tls_ca": "ca.pem"}, ""},
		{s.URL, engine.Values{"tls_insecure": true}, ""},
	} {
		out := row(tc.uri, tc.v)
		n, err := out.Write(t.Context(), sinktest.Events(t, `{}`))
		if tc.want == "" && (n != 1 || err != nil) || tc.want != "" && (n != 0 || err == nil || isReject(err) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s %v: got %d, %v, want %q", tc.uri, tc.v, n, err, tc.want)
		}
		out.Close()
	}
	if posted.Load() != 2 {
		t.Errorf("%d requests came", posted.Load())
	}
}

func isReject(err error) bool {
	var rejected *engine.RejectError
	return errors.As(err, &rejected)
}
