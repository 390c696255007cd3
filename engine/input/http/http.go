// Package http takes events that clients POST: http:// and https:// inputs.
package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Kind is http://.
var Kind = engine.InputKind{
	Doc:     "`http://HOST:PORT/PATH`: takes events that clients POST: one JSON object, an array of them, or one a line (NDJSON), also with gzip. It answers 200 when the events are delivered, 429 with Retry-After while there is no room, 413 above max_body, and 400 with the line that is no JSON object; then no event of the request is taken. With tls_cert it talks TLS.",
	Options: options,
	New:     New,
}

// SecureKind is https://.
var SecureKind = engine.InputKind{
	Doc:     "`https://HOST:PORT/PATH`: the same; tls_cert and tls_key are required.",
	Options: options,
	New:     New,
}

var options = append([]engine.Option{
	{Key: "paths", Type: engine.Strings, Doc: "Further paths that take events; all others are 404."},
	{Key: "auth", Type: engine.String, Default: "none", Enum: []string{"none", "basic", "bearer", "header"}, Doc: "What clients show: `Authorization: Basic` or `Bearer`, or the header auth_header."},
	{Key: "auth_token", Type: engine.String, Secret: true, Doc: "The secret that they show; `user:password` for \"basic\". `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "auth_header", Type: engine.String, Default: "X-API-Key", Doc: "Name of the header for auth = \"header\"."},
	{Key: "ack", Type: engine.String, Default: "delivered", Enum: []string{"delivered", "received"}, Doc: "When a client gets its 200: when its events are delivered (or dropped, or dead letters), or when they are read, and a crash may lose them."},
	{Key: "ack_timeout", Type: engine.Duration, Default: time.Minute, Min: 0.01, Max: 86400, Doc: "After that a client is told (503) to send events again that are not delivered; they then come twice."},
	{Key: "wait", Type: engine.Duration, Default: 5 * time.Second, Min: 0.001, Max: 3600, Doc: "How long a request waits for room before it gets 429."},
	{Key: "max_body", Type: engine.Bytes, Default: int64(8 << 20), Min: 1024, Max: 1 << 30, Doc: "Longest body of a request, unpacked."},
	{Key: "max_held", Type: engine.Bytes, Default: int64(64 << 20), Min: 1024, Max: 1 << 40, Doc: "Bytes of all bodies that are held; above that requests wait for room."},
	{Key: "max_clients", Type: engine.Int, Default: int64(256), Min: 1, Max: 65536, Doc: "Connections at a time; further ones wait."},
	{Key: "read_timeout", Type: engine.Duration, Default: 30 * time.Second, Min: 0.1, Max: 3600, Doc: "How long a client may take to send a request."},
}, wire.ServerOptions...)

type input struct {
	address   string // host:port
	port      uint16
	paths     []string
	secret    *secret
	tls       *tls.Config
	received  bool // ack
	ackLimit  time.Duration
	wait      time.Duration
	readLimit time.Duration
	maxBody   int64
	held      *budget
	clients   chan struct{} // a token per connection
	log       *slog.Logger
	told      atomic.Int64 // unix seconds of the last line about clients that are not let in
	listener  *net.TCPListener

	refused, busy, late *atomic.Int64
}

var (
	_ engine.Opener   = (*input)(nil)
	_ engine.Closer   = (*input)(nil)
	_ engine.PortUser = (*input)(nil)
)

// New implements the kinds.
func New(p engine.Params) (engine.Input, error) {
	v := p.Options
	in := &input{received: v.String("ack") == "received", ackLimit: v.Duration("ack_timeout"), wait: v.Duration("wait"), readLimit: v.Duration("read_timeout"),
		maxBody: v.Int("max_body"), held: newBudget(max(v.Int("max_held"), v.Int("max_body"))), clients: make(chan struct{}, max(1, v.Int("max_clients"))), log: p.Log,
		refused: p.Counter("requests_refused_total", "Requests that were refused: not let in, no JSON, too long, another path or method."),
		busy:    p.Counter("requests_busy_total", "Requests that were told to come again, as there was no room for their events."),
		late:    p.Counter("requests_late_total", "Requests whose events were not delivered within ack_timeout, or at the end: they come again."),
	}
	errs := []error{in.listen(p), in.allPaths(p)}
	var err error
	if in.secret, err = newSecret(v); err != nil {
		errs = append(errs, err)
	}
	if in.tls, err = wire.ServerTLS(p); err != nil {
		errs = append(errs, err)
	} else if in.tls == nil && p.Scheme == "https" {
		errs = append(errs, &engine.ConfigError{Key: "tls_cert", Msg: "is missing, https:// wants tls_cert and tls_key"})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return in, nil
}

// listen sets the address.
func (in *input) listen(p engine.Params) error {
	in.address, _, _ = strings.Cut(p.Address, "/")
	_, port, err := net.SplitHostPort(in.address)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil {
		return &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q is no address to listen on, want %s://HOST:PORT/PATH, such as %[2]s://127.0.0.1:8080/events", p.URI, p.Scheme)}
	}
	in.port = uint16(n)
	return nil
}

// allPaths sets the paths.
func (in *input) allPaths(p engine.Params) error {
	_, path, _ := strings.Cut(p.Address, "/")
	in.paths = append([]string{"/" + path}, p.Options.Strings("paths")...)
	for i, path := range in.paths {
		key := "paths"
		if i == 0 {
			key = "uri"
		}
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#% ") {
			return &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q is no path of a URL, want such as \"/events\"", path)}
		}
	}
	return nil
}

// Open implements engine.Opener.
func (in *input) Open(ctx context.Context) error {
	if in.listener != nil {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", in.address)
	if err != nil {
		return err
	}
	in.listener = l.(*net.TCPListener)
	in.log.Info("listens", "address", in.listener.Addr().String(), "paths", strings.Join(in.paths, " "))
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() && in.secret == nil && (in.tls == nil || in.tls.ClientCAs == nil) {
		in.log.Warn("everybody who reaches this address may send events: set auth and auth_token, or tls_client_ca", "address", l.Addr().String())
	}
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	if in.listener == nil {
		return nil
	}
	err := in.listener.Close()
	in.listener = nil
	return err
}

// patience is how long a client is still waited for when the input ends: its events are in the pipeline, which is drained.
const patience = 5 * time.Second

// Run implements engine.Input. When ctx ends, requests whose events are taken are still answered.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	in.listener.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { in.listener.SetDeadline(time.Now()) })()
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	t := &taker{input: in, ctx: ctx, patient: late, emit: emit, turn: make(chan struct{}, 1)}
	server := &http.Server{Handler: http.NewCrossOriginProtection().Handler(t), ReadHeaderTimeout: min(in.readLimit, 10*time.Second), IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(in.log.Handler(), slog.LevelDebug)}
	var l net.Listener = &listener{TCPListener: in.listener, ctx: ctx, clients: in.clients}
	if in.tls != nil {
		l = tls.NewListener(l, in.tls) // of HTTP/1 only, as it names no protocol
	}
	err := server.Serve(l)
	if ctx.Err() != nil {
		err = nil
	}
	grace, stop := context.WithTimeout(late, patience)
	defer stop()
	if server.Shutdown(grace) != nil {
		cancel() // those who still wait are told to send again
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		server.Shutdown(last)
		server.Close()
	}
	return err
}

// listener lends a bound socket to a server, which cannot close it, and limits the connections.
type listener struct {
	*net.TCPListener
	ctx     context.Context
	clients chan struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.clients <- struct{}{}:
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
	conn, err := l.TCPListener.Accept()
	if err != nil {
		<-l.clients
		return nil, err
	}
	return &client{Conn: conn, clients: l.clients}, nil
}

// Close implements net.Listener: the socket stays for the next Run.
func (*listener) Close() error { return nil }

// client gives its token back when it is closed.
type client struct {
	net.Conn
	clients chan struct{}
	closed  atomic.Bool
}

func (c *client) Close() error {
	if !c.closed.Swap(true) {
		<-c.clients
	}
	return c.Conn.Close()
}

// Paths implements engine.PathUser.
func (*input) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (in *input) Ports() ([]engine.PortUse, bool) {
	return []engine.PortUse{{Port: in.port, Bind: true}}, false
}

// takes reports whether events may be sent to path.
func (in *input) takes(path string) bool { return slices.Contains(in.paths, path) }
