package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/engine"
	"dragonfly/engine/store/remote"
	"dragonfly/luabind"
)

// options loads a config.lua with settings and returns what they say of redis.
func options(t *testing.T, settings string) (remote.Options, *engine.Config, error) {
	t.Helper()
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "scripts"), 0o755)
	os.WriteFile(filepath.Join(dir, "secret"), []byte("hush\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "scripts/f.lua"), []byte("function loop() end"), 0o644)
	os.WriteFile(filepath.Join(dir, "scripts/config.lua"), []byte(settings+"\ninputs = { {tag = \"in\", uri = \"dummy://\", script = \"f.lua\"} }\noutputs = {}\n"), 0o644)
	loader, err := luabind.NewLoader(dir, luabind.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loader.Close() })
	cfg, err := loadConfig(loader, dir, kinds(loader))
	if err != nil {
		return remote.Options{}, nil, err
	}
	o, err := redisOptions(cfg, loader.Read)
	return o, cfg, err
}

func TestRedisOfAConfig(t *testing.T) {
	for settings, want := range map[string]string{
		``:                                          "",
		`redis = "embedded" redis_host = "h"`:       "",
		`redis_host = "10.0.0.1"`:                   "10.0.0.1:6379",
		`redis_host = "h" redis_port = "6380"`:      "h:6380",
		`redis_port = 6380`:                         "127.0.0.1:6380",
		`redis_host = "/run/r.sock"`:                "/run/r.sock",
		`redis_host = "/run/r.sock" redis_port = 0`: "/run/r.sock",
		`redis = "h"`:                               "h:6379",
		`redis = "h:1" redis_host = "other"`:        "h:1",
		`redis = "[::1]:7"`:                         "[::1]:7",
		`redis = "/run/r.sock"`:                     "/run/r.sock",
		`redis = "unix:///run/r.sock?db=3"`:         "/run/r.sock",
		`redis = "rediss://u:p@h:8/2"`:              "h:8",
		`redis = "a:1, b:2" redis_master = "m"`:     "a:1,b:2",
		`redis = "a:1,b" redis_cluster = true`:      "a:1,b:6379",
	} {
		o, cfg, err := options(t, settings)
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		if got := strings.Join(o.Addrs, ","); got != want || (want == "") != (cfg.Redis.Address == "") {
			t.Errorf("%s: got %q (%q), want %q", settings, got, cfg.Redis.Address, want)
		}
	}
	o, _, err := options(t, `redis = "rediss://u:p@h:8/2"`)
	if err != nil || o.User != "u" || o.Password != "p" || o.DB != 2 || o.TLS == nil {
		t.Errorf("%+v %v", o, err)
	}
	o, cfg, err := options(t, `redis = "h" redis_password = "file:secret" redis_database = 4 redis_tls = true redis_wait = "2h" store_max_memory = "1MiB" store_eviction = "none"`)
	if err != nil || o.Password != "hush" || o.DB != 4 || o.TLS == nil || o.Wait.Hours() != 2 || cfg.Store.MaxMemory != 1<<20 || cfg.Store.Eviction != "none" {
		t.Errorf("%+v %+v %v", o, cfg, err)
	}
}

func TestMistakesInRedisSettings(t *testing.T) {
	for settings, want := range map[string]string{
		`redis = "a,b"`:                                       "names 2 servers",
		`redis = "http://h"`:                                  `scheme "http" is not known`,
		`redis = "redis://h/x"`:                               `the database "x" is not a number`,
		`redis = "h" redis_ca = "no.pem"`:                     "redis_ca",
		`redis = "h" redis_ca = "secret"`:                     "holds no certificate",
		`redis = "h" redis_cluster = true redis_database = 1`: "only database 0",
		`store_eviction = "fifo"`:                             "want one of lru, none",
		`store_max_memory = "much"`:                           "store_max_memory",
		`redis_port = 70000`:                                  "redis_port",
		`redis_hots = "h"`:                                    `did you mean "redis_host"`,
	} {
		_, _, err := options(t, settings)
		if err == nil || len(engine.ConfigErrors(err)) == 0 || !strings.Contains(errors.Join(err).Error(), want) {
			t.Errorf("%s: got %v, want %q", settings, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the message holds the password", settings)
		}
	}
}

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
