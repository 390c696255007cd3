package main

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"dragonfly/engine/store/remote"
)

func TestPasswordGoesToTheServersOfConfigOnly(t *testing.T) {
	roots := x509.NewCertPool()
	of := &remote.Options{Addrs: []string{"a:6379"}, User: "ann", Password: "secret", TLS: &tls.Config{RootCAs: roots}}
	for _, tc := range []struct {
		address, user, password string
		tls                     bool
	}{
		{"a", "ann", "secret", true}, {"a:6379", "ann", "secret", true}, {"a:6380", "", "", false}, {"b", "", "", false}, {"/run/s", "", "", false},
		{"redis://bob:own@a", "bob", "own", true}, {"redis://bob:own@b", "bob", "own", false}, {"rediss://b", "", "", true}, {"b,a", "", "", false},
	} {
		own, err := ownOptions(tc.address, of)
		if err != nil || own.User != tc.user || own.Password != tc.password || (own.TLS != nil) != tc.tls || tc.tls && own.TLS.RootCAs != roots {
			t.Errorf("%s: got %+v, %v", tc.address, own, err)
		}
	}
	if _, err := ownOptions("http://x", of); err == nil {
		t.Error("no error")
	}
}
