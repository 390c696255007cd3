package luabind

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/engine"
)

// TestHTTPVerifiesTLS talks to a server whose certificate nobody trusts, then trusts it, as it is handed to the Loader
// before a chroot.
func TestHTTPVerifiesTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", r.Method)
		w.Write([]byte(r.Header.Get("Content-Type") + " " + string(body)))
	}))
	defer server.Close()
	server.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	f := func(roots *x509.CertPool, code string) {
		t.Helper()
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "a.lua"), []byte("function setup()\nlocal url = '"+server.URL+"'\n"+code+"\nend\nfunction loop() end"), 0o644)
		l, err := NewLoader(dir, Options{Stdout: io.Discard, Roots: roots, Hosts: map[string][]string{"sensor.test": {"127.0.0.1"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p, err := l.Program("a.lua")
		if err != nil {
			t.Fatal(err)
		}
		var out engine.Results
		s, err := p.Load(engine.ScriptEnv{Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &out)
		if err != nil {
			t.Errorf("%s: %v", code, err)
			return
		}
		s.Close()
	}
	none := x509.NewCertPool()
	f(none, `local answer, err = http.get(url) assert(answer == nil and string.find(err, "certificate"), err)`)
	f(none, `local answer = assert(http.get(url, {insecure = true})) assert(answer.status == 200)`)
	f(none, `assert(not pcall(dragonfly.http_get, url, "x.txt"))`)
	f(roots, `local answer = assert(http.post(url, {a = 1})) assert(answer.body == 'application/json {"a":1}' and answer.headers["x-method"] == "POST", answer.body)`)
	f(roots, `local answer = assert(http.request{method = "put", url = url, body = "text"}) assert(answer.headers["x-method"] == "PUT")`)
	f(roots, `local answer, err = http.get(url, {max_body = 0}) assert(answer == nil and string.find(err, "larger than max_body"), err)`)
	f(roots, `dragonfly.http_get(url, "x.txt") assert(not pcall(dragonfly.http_get, url, "../x.txt"))`)
	f(roots, `assert(dragonfly.dnslookup("sensor.test")[1] == "127.0.0.1")`)
	if strings.Contains(server.URL, "127.0.0.1") {
		f(none, `local answer, err = http.get((string.gsub(url, "127.0.0.1", "sensor.test")), {insecure = true}) assert(answer, err)`)
	}
}
