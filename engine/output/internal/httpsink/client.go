// Package httpsink is what outputs that POST events have in common: the client with its options, what the status of an answer
// means, and batches of which the sink takes a part.
package httpsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Setup is what distinguishes the sinks.
type Setup struct {
	Secure bool   // always TLS; else the tls keys of the row decide
	Plain  bool   // never TLS: tls keys are a mistake
	Port   uint16 // when the uri names none
	Token  string // word before auth_token in the header Authorization, where the row has no key "auth"
	Answer int64  // bytes of an answer that are read, default 1 MiB
}

// Client sends requests to one server. It is used by one goroutine.
type Client struct {
	base     *url.URL
	port     uint16
	any      bool // a proxy of the environment may be on any port
	headers  http.Header
	http     *http.Client
	timeout  time.Duration
	gzip     bool
	buf      []byte // of Buffer, nil while the transport may read it
	squeezed bytes.Buffer
	squeezer *gzip.Writer
	answer   int64
	longest  time.Duration
	pause    time.Time         // no request before
	secrets  *strings.Replacer // hides them in what the server says
}

// Answer is what the server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // the beginning, if Broken
	Broken error  // why the body is not complete
}

// New checks the row and returns a client that is not connected.
func New(p engine.Params, s Setup) (*Client, error) {
	c := &Client{timeout: p.Options.Duration("timeout"), gzip: p.Options.Bool("gzip"), longest: p.Options.Duration("retry_after_max"), answer: s.Answer}
	if c.answer == 0 {
		c.answer = 1 << 20
	}
	tls, err := wire.ClientTLS(p, s.Secure)
	if err == nil && s.Plain && tls != nil {
		err = &engine.ConfigError{Key: "uri", Msg: "http:// does not talk TLS, but the row has tls keys; want https://"}
	}
	errs := []error{err}
	scheme := "http"
	if tls != nil {
		scheme = "https"
	}
	errs = append(errs, c.address(p, scheme, s.Port), c.setHeaders(p, s.Token))
	proxy, err := c.proxy(p)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	c.secrets = secretsOf(p, c.base, c.headers)
	c.http = &http.Client{
		Transport: &http.Transport{Proxy: proxy, DialContext: p.Dial, TLSClientConfig: tls, TLSHandshakeTimeout: c.timeout, MaxIdleConnsPerHost: 2,
			IdleConnTimeout: 50 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a server could send us to another
	}
	return c, nil
}

// address sets the base URL of the requests.
func (c *Client) address(p engine.Params, scheme string, port uint16) error {
	bad := func(format string, args ...any) error {
		return &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf(format, args...)}
	}
	const login = "holds a user or password, which the log would show; want them in auth = \"basic\", auth_token = \"user:password\""
	if wire.HoldsLogin(p.Address) {
		return bad(login)
	}
	u, err := url.Parse(scheme + "://" + p.Address)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, in which a password may be
		}
		return bad("is no address: %v; want %s://HOST:PORT/PATH", err, p.Scheme)
	}
	if u.User != nil {
		return bad(login)
	}
	if u.Hostname() == "" {
		return bad("names no host, want %s://HOST:PORT/PATH", p.Scheme)
	}
	if u.Fragment != "" {
		return bad("has a part behind \"#\", which is never sent to a server")
	}
	switch {
	case u.Port() != "":
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			return bad("has the port %q, want one from 1 to 65535", u.Port())
		}
		port = uint16(n)
	case port == 0 && scheme == "https":
		port = 443
	case port == 0:
		port = 80
	}
	c.port = port
	if port != 80 || scheme != "http" {
		if port != 443 || scheme != "https" {
			u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(int(port)))
		}
	}
	if secret := p.Options.String("path"); secret != "" {
		more, err := url.Parse("/" + strings.TrimLeft(strings.ReplaceAll(secret, " ", "%20"), "/"))
		if err != nil {
			return &engine.ConfigError{Key: "path", Msg: "is no path of a URL, want such as \"/services/T000/B000\""}
		}
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+more.Path, strings.TrimRight(u.EscapedPath(), "/")+more.EscapedPath()
		if more.RawQuery != "" {
			u.RawQuery = more.RawQuery
		}
	}
	c.base = u
	return nil
}

// setHeaders makes the headers that every request has.
func (c *Client) setHeaders(p engine.Params, scheme string) error {
	version := p.Version
	if version == "" {
		version = "dev"
	}
	c.headers = http.Header{"User-Agent": {"Dragonfly/" + version}}
	text := p.Options.String("headers")
	var own map[string]string
	if text != "" && text != "[]" && json.Unmarshal([]byte(text), &own) != nil {
		return &engine.ConfigError{Key: "headers", Msg: "is no table of names and texts, want such as {[\"X-Sensor\"] = \"one\"}"}
	}
	for name, value := range own {
		if !validName(name) || !validValue(value) {
			return &engine.ConfigError{Key: "headers", Msg: fmt.Sprintf("%q with its text is no header of HTTP", name)}
		}
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Transfer-Encoding", "Content-Encoding", "Connection":
			return &engine.ConfigError{Key: "headers", Msg: fmt.Sprintf("%q is set by the output itself", name)}
		}
		c.headers.Set(name, value)
	}
	return c.authorize(p, scheme)
}

func (c *Client) authorize(p engine.Params, scheme string) error {
	token, kind := p.Options.String("auth_token"), p.Options.String("auth")
	if scheme != "" {
		kind = "fixed"
	}
	if !validValue(token) {
		return &engine.ConfigError{Key: "auth_token", Msg: "holds a line end or another character that no header may have"}
	}
	if kind == "" || kind == "none" {
		if token != "" {
			return &engine.ConfigError{Key: "auth", Msg: "is missing beside auth_token, want basic, bearer, api_key or header"}
		}
		return nil
	}
	if token == "" {
		return &engine.ConfigError{Key: "auth_token", Msg: "is missing or empty"}
	}
	switch kind {
	case "fixed":
		c.headers.Set("Authorization", scheme+" "+token)
	case "basic":
		user, password, ok := strings.Cut(token, ":")
		if !ok {
			return &engine.ConfigError{Key: "auth_token", Msg: "has no \":\", want \"user:password\" for auth = \"basic\""}
		}
		r := &http.Request{Header: c.headers}
		r.SetBasicAuth(user, password)
	case "bearer":
		c.headers.Set("Authorization", "Bearer "+token)
	case "api_key":
		c.headers.Set("Authorization", "ApiKey "+token)
	case "header":
		name := p.Options.String("auth_header")
		if !validName(name) {
			return &engine.ConfigError{Key: "auth_header", Msg: fmt.Sprintf("%q is no name of a header", name)}
		}
		c.headers.Set(name, token)
	}
	return nil
}

func (c *Client) proxy(p engine.Params) (func(*http.Request) (*url.URL, error), error) {
	switch text := p.Options.String("proxy"); text {
	case "":
		return nil, nil
	case "environment":
		c.any = true
		return http.ProxyFromEnvironment, nil
	default:
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
			return nil, &engine.ConfigError{Key: "proxy", Msg: "is no address of a proxy, want \"environment\", or http://HOST:PORT, https:// or socks5://"}
		}
		port := map[string]uint64{"http": 80, "https": 443, "socks5": 1080}[u.Scheme]
		if u.Port() != "" {
			if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
				return nil, &engine.ConfigError{Key: "proxy", Msg: fmt.Sprintf("has the port %q, want one from 1 to 65535", u.Port())}
			}
		}
		c.port = uint16(port)
		return http.ProxyURL(u), nil
	}
}

// Ports is what an output answers as engine.PortUser.
func (c *Client) Ports() ([]engine.PortUse, bool) {
	return []engine.PortUse{{Port: c.port}}, c.any
}

// Server names the server, for messages: without the path, which may be a secret.
func (c *Client) Server() string { return c.base.Scheme + "://" + c.base.Host }

// Base returns a copy of the URL of the row.
func (c *Client) Base() *url.URL { u := *c.base; return &u }

// URL returns the URL of the row with a path behind its own, and a query.
func (c *Client) URL(path, query string) *url.URL {
	u := c.Base()
	if path != "" {
		more := &url.URL{Path: path}
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/")+path, strings.TrimRight(u.EscapedPath(), "/")+more.EscapedPath()
	}
	if query != "" {
		if u.RawQuery != "" {
			query = u.RawQuery + "&" + query
		}
		u.RawQuery = query
	}
	return u
}

// Close ends the connections. The client can be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Pause holds back the next requests; it is limited by retry_after_max.
func (c *Client) Pause(d time.Duration) {
	if d = min(d, c.longest); d > 0 {
		c.pause = time.Now().Add(d)
	}
}

// Wait ends when a pause does, or with ctx's error.
func (c *Client) Wait(ctx context.Context) error { return Sleep(ctx, time.Until(c.pause)) }

// Sleep waits, or returns ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepBuffer is the largest buffer that is kept, in bytes.
const keepBuffer = 16 << 20

// Buffer returns an empty buffer for the body of the next Post, whose room is that of the last if possible.
func (c *Client) Buffer() []byte {
	buf := c.buf
	c.buf = nil
	return buf
}

// reader is a body on its way. The transport closes it when it reads no more.
type reader struct {
	*bytes.Reader
	open   *atomic.Int32
	closed atomic.Bool
}

func (r *reader) Close() error {
	if !r.closed.Swap(true) {
		r.open.Add(-1)
	}
	return nil
}

// Post sends body, which belongs to the client then, after a pause that the server asked for, and returns the answer whatever its status. more are further
// headers, name and value by turns. An error says that there was no answer.
func (c *Client) Post(ctx context.Context, u *url.URL, contentType string, body []byte, more ...string) (*Answer, error) {
	if err := c.Wait(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	encoding, whole := "", body
	if c.gzip && len(body) > 0 {
		var err error
		if body, err = c.squeeze(body); err != nil {
			return nil, err
		}
		encoding = "gzip"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, err
	}
	var readers atomic.Int32
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { // called again when a connection had ended before
		readers.Add(1)
		return &reader{Reader: bytes.NewReader(body), open: &readers}, nil
	}
	if req.Body, err = req.GetBody(); err != nil {
		return nil, err
	}
	req.Header = c.headers.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if req.Header.Get("Content-Type") == "" || len(more) > 0 {
		req.Header.Set("Content-Type", contentType)
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	for i := 0; i+1 < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	resp, err := c.http.Do(req)
	if readers.Load() == 0 && cap(whole) > cap(c.buf) && cap(whole) <= keepBuffer { // an answer may come before all is sent
		c.buf = whole[:0]
	}
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer resp.Body.Close()
	a := &Answer{Status: resp.StatusCode, Header: resp.Header}
	a.Body, a.Broken = io.ReadAll(io.LimitReader(resp.Body, c.answer+1))
	if int64(len(a.Body)) > c.answer {
		a.Body, a.Broken = a.Body[:c.answer], fmt.Errorf("the answer is longer than %d bytes", c.answer)
	}
	if a.Broken != nil {
		a.Broken = fmt.Errorf("%s: the answer with status %d is not complete: %w", c.Server(), a.Status, c.explain(ctx, a.Broken))
	}
	return a, nil
}

func (c *Client) squeeze(body []byte) ([]byte, error) {
	c.squeezed.Reset()
	if c.squeezer == nil {
		w, err := gzip.NewWriterLevel(&c.squeezed, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		c.squeezer = w
	}
	c.squeezer.Reset(&c.squeezed)
	_, err := c.squeezer.Write(body)
	err = errors.Join(err, c.squeezer.Close())
	return bytes.Clone(c.squeezed.Bytes()), err // the transport may read it after Do has returned
}

// validName reports whether s is a token of RFC 9110, section 5.6.2.
func validName(s string) bool {
	for _, r := range s {
		if r > 126 || r <= ' ' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r) {
			return false
		}
	}
	return s != ""
}

// validValue reports whether a header may have s as its text.
func validValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 127 })
}
