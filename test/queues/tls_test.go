package queues

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	gonats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dragonfly/engine"
	innats "dragonfly/engine/input/nats"
	inredis "dragonfly/engine/input/redis"
	outnats "dragonfly/engine/output/nats"
	outredis "dragonfly/engine/output/redis"
)

// authority writes ca.pem, and NAME.pem with NAME.key for a server of 127.0.0.1 and for a client, to a directory.
func authority(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	for i, c := range []*x509.Certificate{ca,
		{Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}} {
		key := caKey
		if i > 0 {
			c.SerialNumber, c.NotBefore, c.NotAfter, c.KeyUsage = big.NewInt(int64(i+1)), ca.NotBefore, ca.NotAfter, x509.KeyUsageDigitalSignature
			if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(c.Subject.CommonName)
		write(name+".pem", "CERTIFICATE", der)
		if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
		write(name+".key", "PRIVATE KEY", der)
	}
	return dir
}

// tlsCase is a row and what its error says; "" wants the events delivered.
type tlsCase struct {
	name, scheme string
	port         string // "tls", "mutual" or "plain"
	options      engine.Values
	want         []string
}

// tlsCases are those that every wire must answer alike: what is wrong, and the key to correct. notAsked is what a row without TLS is told
// at a port with it.
func tlsCases(dir, plainScheme, tlsScheme, notAsked string) []tlsCase {
	file := func(name string) string { return filepath.Join(dir, name) }
	other := authorityOf(dir)
	return []tlsCase{
		{"right authority", tlsScheme, "tls", engine.Values{"tls": true, "tls_ca": file("ca.pem")}, nil},
		{"a tls key switches it on", plainScheme, "tls", engine.Values{"tls_ca": file("ca.pem")}, nil},
		{"another authority", tlsScheme, "tls", engine.Values{"tls": true, "tls_ca": other}, []string{"certificate signed by unknown authority", "tls_ca"}},
		{"another name", tlsScheme, "tls", engine.Values{"tls_ca": file("ca.pem"), "tls_server_name": "siem.example"}, []string{"siem.example", "tls_server_name"}},
		{"nothing verified", tlsScheme, "tls", engine.Values{"tls_insecure": true}, nil},
		{"both certificates", tlsScheme, "mutual", engine.Values{"tls_ca": file("ca.pem"), "tls_cert": file("client.pem"), "tls_key": file("client.key")}, nil},
		{"no certificate of ours", tlsScheme, "mutual", engine.Values{"tls_ca": file("ca.pem")}, []string{"tls_cert"}},
		{"no TLS to a port with TLS", plainScheme, "tls", nil, []string{notAsked}},
		{"TLS to a port without", tlsScheme, "plain", engine.Values{"tls": true, "tls_ca": file("ca.pem"), "timeout": time.Second}, []string{"server has no TLS"}},
	}
}

// authorityOf is the path of another authority's certificate, beside dir.
func authorityOf(dir string) string { return filepath.Join(dir, "other", "ca.pem") }

func twoAuthorities(t *testing.T) string {
	t.Helper()
	dir := authority(t)
	if err := os.Rename(authority(t), filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writes checks a case with an output: the events are delivered, or the error says what the case wants.
func (c tlsCase) writes(t *testing.T, kind engine.OutputKind, uri string) {
	t.Helper()
	out, _ := newOutput(t, kind, uri, c.options)
	n, err := out.Write(context.Background(), makeEvents(0, 3))
	if c.want == nil && (n != 3 || err != nil) || c.want != nil && (n != 0 || err == nil) {
		t.Errorf("%d delivered, %v", n, err)
		return
	}
	for _, want := range c.want {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

// reads checks a case with an input: it gets n records, or the log says what the case wants.
func (c tlsCase) reads(t *testing.T, kind engine.InputKind, uri string, n int) {
	t.Helper()
	r := read(t, kind, uri, c.options, false)
	if c.want == nil {
		until(t, "the records", func() bool { return r.len() >= n })
	}
	for _, want := range c.want {
		until(t, "word of it", func() bool { return strings.Contains(r.text(), want) })
	}
	r.stop()
}

// TestRedisOverTLS checks both ends against a real redis-server.
func TestRedisOverTLS(t *testing.T) {
	dir := twoAuthorities(t)
	ports := map[string]string{"tls": freePort(t), "mutual": freePort(t), "plain": freePort(t)}
	servers := map[string]*redisServer{"plain": newRedis(t, "--bind", "127.0.0.1", "--port", ports["plain"])}
	for port, clients := range map[string]string{"tls": "no", "mutual": "yes"} {
		servers[port] = newRedis(t, "--bind", "127.0.0.1", "--tls-port", ports[port], "--tls-auth-clients", clients,
			"--tls-cert-file", dir+"/server.pem", "--tls-key-file", dir+"/server.key", "--tls-ca-cert-file", dir+"/ca.pem")
	}
	for _, c := range tlsCases(dir, "redis", "rediss", "the port may want TLS, tls = true") {
		t.Run(c.name, func(t *testing.T) {
			uri := c.scheme + "://127.0.0.1:" + ports[c.port] + "/eve"
			c.writes(t, outredis.Kind, uri)
			if c.want == nil && servers[c.port].cli("LLEN", "eve") != "3" {
				t.Error("the events are not in the list")
			}
			c.reads(t, inredis.Kind, uri, 3)
			if n := servers[c.port].cli("LLEN", "eve"); n != "0" {
				t.Errorf("%s events are left", n)
			}
		})
	}
}

// TestNATSOverTLS checks both ends against a real nats-server.
func TestNATSOverTLS(t *testing.T) {
	dir := twoAuthorities(t)
	pair, err := tls.LoadX509KeyPair(dir+"/server.pem", dir+"/server.key")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	with := func(auth tls.ClientAuthType) func(o *server.Options) {
		return func(o *server.Options) {
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: auth, MinVersion: tls.VersionTLS12}
			o.TLS, o.TLSTimeout = true, 30
		}
	}
	servers := map[string]*natsServer{"plain": newNATS(t, nil), "tls": newNATS(t, with(tls.NoClientCert)), "mutual": newNATS(t, with(tls.RequireAndVerifyClientCert))}
	for port, s := range servers {
		var options []gonats.Option
		if port != "plain" {
			options = []gonats.Option{gonats.RootCAs(dir + "/ca.pem"), gonats.ClientCert(dir+"/client.pem", dir+"/client.key")}
		}
		nc, js := s.client(options...)
		if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "EVE", Subjects: []string{"eve"}}); err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	for _, c := range tlsCases(dir, "nats", "nats", "tls_ca") { // nats-server asks for TLS, and gets it
		t.Run(c.name, func(t *testing.T) {
			_, address, _ := strings.Cut(servers[c.port].s.ClientURL(), "://")
			c.writes(t, outnats.Kind, "nats://"+address+"/eve")
			c.reads(t, innats.Kind, "nats://"+address+"/eve", 3)
		})
	}
}
