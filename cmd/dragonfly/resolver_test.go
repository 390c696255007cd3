package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRememberedServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# by hand\nsearch a.test\nnameserver 192.0.2.1\nnameserver 2001:db8::1 # second\noptions ndots:2\nnameserver\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	servers := nameServers(path)
	if want := []string{"192.0.2.1:53", "[2001:db8::1]:53"}; !slices.Equal(servers, want) {
		t.Fatalf("got %v, want %v", servers, want)
	}
	f := func(servers []string, asked, want string) {
		t.Helper()
		if got := remembered(servers, asked); got != want {
			t.Errorf("%s: got %s, want %s", asked, got, want)
		}
	}
	f(servers, "127.0.0.1:53", "192.0.2.1:53")
	f(servers, "[::1]:53", "[2001:db8::1]:53")
	f(servers, "[2001:db8::1]:53", "[2001:db8::1]:53")
	f(servers[:1], "[::1]:53", "192.0.2.1:53")
	if got := nameServers(path + ".missing"); !slices.Equal(got, []string{"127.0.0.1:53"}) {
		t.Errorf("without a file: got %v", got)
	}
	if canRead(path+".missing") || !canRead(path) {
		t.Error("canRead is wrong")
	}
}

func TestOwnHost(t *testing.T) {
	f := func(host string, want bool) {
		t.Helper()
		if got := ownHost(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
	for _, host := range []string{"", "localhost", "localhost.", "LocalHost:80", "127.0.0.1", "127.0.0.1:7070", "[::1]:7070", "[::1]", "127.1.2.3"} {
		f(host, true)
	}
	for _, host := range []string{"evil.test", "evil.test:7070", "localhost.evil.test", "127.0.0.1.nip.test", "0.0.0.0", "[::]:80", "10.0.0.1", "::ffff:10.0.0.1", "2130706433", "127.1"} {
		f(host, false)
	}
}
