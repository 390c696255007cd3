// Package wire holds what inputs and outputs that talk over the network have in common.
package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"dragonfly/engine"
)

// ClientOptions are the keys of a row that connects with TLS.
var ClientOptions = []engine.Option{
	{Key: "tls", Type: engine.Bool, Default: false, Doc: "Talks TLS (1.2 or later) and verifies the server's certificate."},
	{Key: "tls_ca", Type: engine.String, Doc: "PEM file with the authorities that may have signed it, instead of the system's. This and the other tls_ keys switch TLS on. Files are relative to ROOT and read at the start and at a reload."},
	{Key: "tls_cert", Type: engine.String, Doc: "PEM file with the certificate to show to the server, for mutual TLS; tls_key belongs to it."},
	{Key: "tls_key", Type: engine.String, Doc: "PEM file with the private key of tls_cert."},
	{Key: "tls_server_name", Type: engine.String, Doc: "Name that the server's certificate must have; the host that is connected to by default."},
	{Key: "tls_insecure", Type: engine.Bool, Default: false, Doc: "Accepts every certificate. Who is on the way can then read and change everything."},
}

// ServerOptions are the keys of a row that listens with TLS.
var ServerOptions = []engine.Option{
	{Key: "tls_cert", Type: engine.String, Doc: "PEM file with the certificate to show, then with those that signed it; with it TLS (1.2 or later) is wanted of every client. Files are relative to ROOT and read at the start and at a reload."},
	{Key: "tls_key", Type: engine.String, Doc: "PEM file with the private key of tls_cert."},
	{Key: "tls_client_ca", Type: engine.String, Doc: "PEM file with the authorities one of which must have signed the client's certificate (mutual TLS); without it clients need none."},
}

// ClientTLS returns the TLS configuration of a row with ClientOptions, nil if it wants none; always, the scheme says that
// it does ("https").
func ClientTLS(p engine.Params, always bool) (*tls.Config, error) {
	ca, name, insecure := p.Options.String("tls_ca"), p.Options.String("tls_server_name"), p.Options.Bool("tls_insecure")
	cert, err := certificate(p)
	if err != nil {
		return nil, err
	}
	if !always && !p.Options.Bool("tls") && ca == "" && name == "" && !insecure && cert == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.Roots, ServerName: name, InsecureSkipVerify: insecure, Certificates: cert}
	if ca != "" {
		if c.RootCAs, err = authorities(p, "tls_ca"); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// ServerTLS returns the TLS configuration of a row with ServerOptions, nil if it wants none.
func ServerTLS(p engine.Params) (*tls.Config, error) {
	cert, err := certificate(p)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: cert}
	if p.Options.String("tls_client_ca") != "" {
		if cert == nil {
			return nil, &engine.ConfigError{Key: "tls_client_ca", Msg: "needs tls_cert and tls_key"}
		}
		if c.ClientCAs, err = authorities(p, "tls_client_ca"); err != nil {
			return nil, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if cert == nil {
		return nil, nil
	}
	return c, nil
}

func certificate(p engine.Params) ([]tls.Certificate, error) {
	cert, key := p.Options.String("tls_cert"), p.Options.String("tls_key")
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, &engine.ConfigError{Key: "tls_cert", Msg: "tls_cert and tls_key go together"}
	}
	certPEM, err := p.Read(cert)
	if err != nil {
		return nil, &engine.ConfigError{Key: "tls_cert", Msg: err.Error()}
	}
	keyPEM, err := p.Read(key)
	if err != nil {
		return nil, &engine.ConfigError{Key: "tls_key", Msg: err.Error()}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, &engine.ConfigError{Key: "tls_cert", Msg: fmt.Sprintf("%s and %s: %v", cert, key, err)}
	}
	return []tls.Certificate{pair}, nil
}

func authorities(p engine.Params, key string) (*x509.CertPool, error) {
	path := p.Options.String(key)
	pem, err := p.Read(path)
	if err != nil {
		return nil, &engine.ConfigError{Key: key, Msg: err.Error()}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q holds no certificate in PEM", path)}
	}
	return pool, nil
}
