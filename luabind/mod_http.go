package luabind

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// Limits of http, unless a request sets others.
const (
	httpTimeout = 10 * time.Second
	httpMaxBody = 10 << 20
	httpMaxFile = 256 << 20
)

func (s *script) httpModule() module {
	options := "options: `headers` (table), `timeout` (seconds, default 10), `max_body` (bytes, default 10 MiB), `insecure` (true switches TLS verification off)."
	return module{
		Name: "http",
		Doc:  "HTTP(S) requests. They block the worker until the answer is there: use them in setup() and timers, cache what they return. " + options,
		Funcs: []hostFunc{
			{"get", "get(url [, options]) -> {status, body, headers} | nil, message",
				"GETs url. Any status is an answer; no answer within the timeout, a body above max_body or a TLS fault gives nil and a message.",
				`local answer, err = http.get("http://127.0.0.1:1/", {timeout = 1}) assert(answer == nil and err)`, func(L *lua.LState) int {
					return s.httpRequest(L, "GET", L.CheckString(1), "", L.OptTable(2, nil))
				}},
			{"post", "post(url, body [, options]) -> {status, body, headers} | nil, message",
				"POSTs body, a string (as it is) or a table or event (as JSON, with its Content-Type).",
				`assert(http.post("http://127.0.0.1:1/", {a = 1}) == nil)`, func(L *lua.LState) int {
					return s.httpRequest(L, "POST", L.CheckString(1), s.httpBody(L, L.Get(2)), L.OptTable(3, L.NewTable()))
				}},
			{"request", "request{method=, url=, body=, ...options} -> {status, body, headers} | nil, message",
				"Any method.",
				`assert(http.request{method = "PUT", url = "http://127.0.0.1:1/", body = "x"} == nil)`, func(L *lua.LState) int {
					o := L.CheckTable(1)
					method, url := lua.LVAsString(o.RawGetString("method")), lua.LVAsString(o.RawGetString("url"))
					if method == "" {
						method = "GET"
					}
					return s.httpRequest(L, strings.ToUpper(method), url, s.httpBody(L, o.RawGetString("body")), o)
				}},
		},
	}
}

// httpBody returns v as a request body: strings as they are, tables as JSON.
func (s *script) httpBody(L *lua.LState, v lua.LValue) string {
	switch v := v.(type) {
	case *lua.LNilType:
		return ""
	case lua.LString:
		return string(v)
	}
	body, _, err := s.views.encode(v, false)
	if err != nil {
		L.RaiseError("http: body: %s", err.Error())
	}
	return body
}

func (s *script) httpRequest(L *lua.LState, method, url, body string, o *lua.LTable) int {
	timeout, limit := httpTimeout, int64(httpMaxBody)
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return failed(L, err)
	}
	insecure := false
	if o != nil {
		if n, ok := o.RawGetString("timeout").(lua.LNumber); ok && n > 0 {
			timeout = time.Duration(float64(n) * float64(time.Second))
		}
		if n, ok := o.RawGetString("max_body").(lua.LNumber); ok && n >= 0 {
			limit = int64(min(n, maxString))
		}
		if most := s.lim.budget.memory; most > 0 {
			limit = min(limit, most)
		}
		insecure = lua.LVAsBool(o.RawGetString("insecure"))
		if h, ok := o.RawGetString("headers").(*lua.LTable); ok {
			h.ForEach(func(k, v lua.LValue) { req.Header.Set(k.String(), lua.LVAsString(v)) })
		}
		if body != "" && req.Header.Get("Content-Type") == "" && (body[0] == '{' || body[0] == '[') {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	var resp *http.Response
	var text []byte
	s.lim.waiting(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if resp, err = s.client(insecure).Do(req.WithContext(ctx)); err != nil {
			return
		}
		defer resp.Body.Close()
		text, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	})
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s %q: the body is larger than max_body (%d bytes)", method, url, limit)
	}
	if err != nil {
		return failed(L, err)
	}
	s.lim.room(L, len(text))
	headers := L.CreateTable(0, len(resp.Header))
	for k, v := range resp.Header {
		headers.RawSetString(strings.ToLower(k), lua.LString(strings.Join(v, ", ")))
	}
	t := L.CreateTable(0, 3)
	t.RawSetString("status", lua.LNumber(resp.StatusCode))
	t.RawSetString("body", lua.LString(text))
	t.RawSetString("headers", headers)
	L.Push(t)
	return 1
}

// failed returns nil and the message: a failure of the world, not a mistake of the script. That a budget is used up is
// raised.
func failed(L *lua.LState, err error) int {
	if stop, ok := err.(stopError); ok {
		L.RaiseError("%s", stop.text)
	}
	L.Push(lua.LNil)
	L.Push(lua.LString(err.Error()))
	return 2
}

// client returns the process-wide client that trusts the Loader's roots.
func (s *script) client(insecure bool) *http.Client {
	return s.program.loader.clients(insecure)
}

func (l *Loader) clients(insecure bool) *http.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.verified
	if insecure {
		c = &l.unverified
	}
	if *c == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = l.Dial
		t.TLSClientConfig = &tls.Config{RootCAs: l.roots, InsecureSkipVerify: insecure}
		*c = &http.Client{Transport: t}
	}
	return *c
}

// Roots returns who may sign the certificates of servers; nil is the system's.
func (l *Loader) Roots() *x509.CertPool { return l.roots }

// Dial connects to an address, looking into hosts before DNS.
func (l *Loader) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: httpTimeout}
	if host, port, err := net.SplitHostPort(address); err == nil {
		if known := l.hosts[strings.ToLower(host)]; len(known) > 0 {
			address = net.JoinHostPort(known[0], port)
		}
	}
	conn, err := d.DialContext(ctx, network, address)
	return conn, l.usage.dialed(address, err)
}

// httpGetFile is dragonfly.http_get.
func (s *script) httpGetFile(L *lua.LState) int {
	arity(L, 2)
	url, name := L.CheckString(1), L.CheckString(2)
	var err error
	s.lim.waiting(func() { err = s.download(url, name) })
	if err != nil {
		L.RaiseError("dragonfly_http_get: failed: %s", err.Error())
	}
	return 0
}

// download saves url in the file name below ROOT: in a new file that then takes its place.
func (s *script) download(url, name string) error {
	l := s.program.loader
	name = path.Clean(strings.TrimPrefix(name, l.dir+"/"))
	if err := l.downloadable(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := s.client(false).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("GET %q: status %s", url, resp.Status)
	}
	l.usage.path(path.Join(l.dir, name), engine.Write)
	temp := path.Join(path.Dir(name), fmt.Sprintf(".%s.%s.%d.part", path.Base(name), s.env.Stage, s.env.Shard))
	f, err := l.root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(resp.Body, httpMaxFile+1))
	if err == nil && n > httpMaxFile {
		err = fmt.Errorf("GET %q: the body is larger than %d bytes", url, httpMaxFile)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.root.Rename(temp, name)
	}
	if err != nil {
		l.root.Remove(temp)
	}
	return err
}
