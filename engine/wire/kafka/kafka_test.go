package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"dragonfly/engine"
	"dragonfly/engine/wire/kafka"
	test "dragonfly/engine/wire/kafka/kafkatest"
	"dragonfly/test/parts"
)

// connect tries the options of a row, and what it takes to use the connection.
func connect(t *testing.T, row *test.Row) error {
	t.Helper()
	p := row.Params(kafka.Options)
	a, err := kafka.ParseAddress(p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kafka.NewCluster(p, a.Brokers)
	if err != nil {
		return err
	}
	client, err := c.Connect(t.Context(), nil)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Partitions("eve")
	return err
}

func TestLogins(t *testing.T) {
	c := test.New(t, kfake.EnableSASL(), kfake.SeedTopics(1, "eve"), kfake.Superuser("PLAIN", "ann", "a,=b"),
		kfake.Superuser("SCRAM-SHA-256", "bob", "secret"), kfake.Superuser("SCRAM-SHA-512", "b=,c", "geheimnis ä"))
	for _, tc := range []struct{ mechanism, user, password, want string }{
		{"PLAIN", "ann", "a,=b", ""},
		{"SCRAM-SHA-256", "bob", "secret", ""},
		{"SCRAM-SHA-512", "b=,c", "geheimnis ä", ""},
		{"PLAIN", "ann", "hush", `login of "ann"`},
		{"SCRAM-SHA-256", "bob", "hush", `login of "bob"`},
		{"SCRAM-SHA-512", "bob", "hush", `login of "bob"`},
		{"SCRAM-SHA-512", "nobody", "hush", `login of "nobody"`},
		{"", "", "", "a login (sasl_mechanism)"},
	} {
		err := connect(t, &test.Row{Address: c.ListenAddrs()[0], Options: engine.Values{"sasl_mechanism": tc.mechanism, "sasl_user": tc.user, "sasl_password": tc.password}})
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.mechanism, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), c.ListenAddrs()[0])):
			t.Errorf("%s %s: got %v, want %q", tc.mechanism, tc.user, err, tc.want)
		}
	}
}

// TestRefusedLogin is what a real broker says: kfake closes the connection.
func TestRefusedLogin(t *testing.T) {
	c := test.New(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "secret"))
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = int16(sarama.ErrSASLAuthenticationFailed)
		return resp, nil, true
	})
	err := connect(t, &test.Row{Address: c.ListenAddrs()[0], Options: engine.Values{"sasl_mechanism": "PLAIN", "sasl_user": "ann", "sasl_password": "hush"}})
	var login *kafka.LoginError
	if !errors.As(err, &login) || !strings.Contains(err.Error(), `refuses the login of "ann": see sasl_user, sasl_password`) {
		t.Error(err)
	}
}

// TestOAuth: a token of the row, and one of an endpoint that is asked again only when it ends.
func TestOAuth(t *testing.T) {
	var asked atomic.Int64
	var expires atomic.Int64
	expires.Store(3600)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		user, password, _ := r.BasicAuth()
		if user != "id" || password != "s%26cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"from the endpoint","expires_in":%d}`, expires.Load())
	}))
	defer endpoint.Close()
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	c.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return req.ResponseKind(), nil, true
	})
	var seen atomic.Value
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		seen.Store(string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes))
		return req.ResponseKind(), nil, true
	})
	row := func(o engine.Values) *test.Row {
		o["sasl_mechanism"] = "OAUTHBEARER"
		return &test.Row{Address: c.ListenAddrs()[0], Options: o}
	}
	if err := connect(t, row(engine.Values{"sasl_token": "of the row"})); err != nil || !strings.Contains(seen.Load().(string), "auth=Bearer of the row\x01") {
		t.Error(err, seen.Load())
	}
	good := engine.Values{"sasl_token_url": endpoint.URL, "sasl_user": "id", "sasl_password": "s&cret", "sasl_scope": "kafka"}
	if err := connect(t, row(good)); err != nil || asked.Load() != 1 || !strings.Contains(seen.Load().(string), "auth=Bearer from the endpoint\x01") {
		t.Error(err, asked.Load(), seen.Load()) // the seed and the broker are two connections
	}
	bad := engine.Values{"sasl_token_url": endpoint.URL, "sasl_user": "id", "sasl_password": "hush"}
	if err := connect(t, row(bad)); err == nil || !strings.Contains(err.Error(), "invalid_client") || !strings.Contains(err.Error(), "see sasl_token_url") || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	files, pair, pool := certificate(t)
	c := test.New(t, kfake.SeedTopics(1, "eve"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}))
	for _, tc := range []struct {
		name    string
		options engine.Values
		want    string
	}{
		{"mutual", engine.Values{"tls_ca": "cert.pem", "tls_cert": "cert.pem", "tls_key": "key.pem", "tls_server_name": "broker.test"}, ""},
		{"no certificate of ours", engine.Values{"tls_ca": "cert.pem", "tls_server_name": "broker.test"}, "see tls_cert and tls_key"},
		{"unknown authority", engine.Values{"tls": true, "tls_cert": "cert.pem", "tls_key": "key.pem", "tls_server_name": "broker.test"}, "set tls_ca"},
		{"another name", engine.Values{"tls_ca": "cert.pem", "tls_cert": "cert.pem", "tls_key": "key.pem"}, "set tls_server_name"},
		{"no TLS of ours", nil, "tls = true"},
	} {
		err := connect(t, &test.Row{Address: c.ListenAddrs()[0], Options: tc.options, Files: files})
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// certificate makes one for broker.test that signs itself.
func certificate(t *testing.T) (files map[string][]byte, pair tls.Certificate, pool *x509.CertPool) {
	c := parts.Certify(t, nil, "broker.test")
	return map[string][]byte{"cert.pem": c.Cert, "key.pem": c.Key}, c.Pair(t), c.Pool()
}

// TestConnectEndsWithItsContext although nobody answers.
func TestConnectEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			cancel()
			<-t.Context().Done()
		}
	}()
	p := (&test.Row{Address: l.Addr().String(), Options: engine.Values{"timeout": 5 * time.Minute}}).Params(kafka.Options)
	c, err := kafka.NewCluster(p, []string{l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Connect(ctx, nil)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(test.Deadline):
		t.Fatal("does not end")
	}
}

func TestMistakesOfLogins(t *testing.T) {
	for _, tc := range []struct {
		options   engine.Values
		key, want string
	}{
		{engine.Values{"sasl_user": "u"}, "sasl_user", "needs sasl_mechanism"},
		{engine.Values{"sasl_token": "hush"}, "sasl_token", "needs sasl_mechanism"},
		{engine.Values{"sasl_mechanism": "PLAIN", "sasl_user": "u"}, "sasl_user", "sasl_password"},
		{engine.Values{"sasl_mechanism": "PLAIN", "sasl_user": "u", "sasl_password": "hush", "sasl_token": "hush"}, "sasl_token", "for sasl_mechanism OAUTHBEARER"},
		{engine.Values{"sasl_mechanism": "OAUTHBEARER"}, "sasl_token", "either"},
		{engine.Values{"sasl_mechanism": "OAUTHBEARER", "sasl_token": "hush", "sasl_token_url": "http://h"}, "sasl_token", "either"},
		{engine.Values{"sasl_mechanism": "OAUTHBEARER", "sasl_token_url": "ftp://h"}, "sasl_token_url", "no http://"},
		{engine.Values{"sasl_mechanism": "OAUTHBEARER", "sasl_token_url": "http://h"}, "sasl_user", "secret of the client"},
		{engine.Values{"tls_ca": "no.pem"}, "tls_ca", "no.pem"},
	} {
		_, err := kafka.NewCluster((&test.Row{Options: tc.options}).Params(kafka.Options), []string{"h:1"})
		list := engine.ConfigErrors(err)
		if len(list) != 1 || list[0].Key != tc.key || !strings.Contains(list[0].Msg, tc.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v: got %v, want %s: %s", tc.options, err, tc.key, tc.want)
		}
	}
}
