// Package nats is what the input and the output nats:// have in common: rows, the connection, errors.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	gonats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Options are the keys of a row that names a server.
var Options = append([]engine.Option{
	{Key: "user", Type: engine.String, Doc: "User."},
	{Key: "password", Type: engine.String, Secret: true, Doc: "Password; `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "token", Type: engine.String, Secret: true, Doc: "Token, instead of user and password."},
	{Key: "nkey", Type: engine.String, Secret: true, Doc: "Seed of an nkey (SU...), instead of a password; `file:PATH` likewise."},
	{Key: "creds", Type: engine.String, Doc: "File with the credentials of a user (a JWT and its seed, as nsc writes it), relative to ROOT; read at the start and at a reload."},
	{Key: "timeout", Type: engine.Duration, Default: 5 * time.Second, Min: 0.1, Max: 300, Doc: "How long connecting and waiting for an answer may take."},
}, wire.ClientOptions...)

// Server is the server, or the servers, of a row.
type Server struct {
	Subject string // as in the row
	Name    string // addresses, for messages
	Timeout time.Duration

	tag     string
	ports   []engine.PortUse
	options []gonats.Option
	log     *slog.Logger
	breaks  *atomic.Int64
}

// dialer connects for nats.go, which has no context here.
type dialer struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	timeout time.Duration
}

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
	defer cancel()
	return d.dial(ctx, network, address)
}

// New reads the row: nats://HOST:PORT,HOST:PORT/SUBJECT. lost is what the log says of an outage.
func New(p engine.Params, lost string) (*Server, error) {
	s := &Server{tag: p.Tag, Timeout: p.Options.Duration("timeout"), log: p.Log}
	wrong := func(key, format string, args ...any) (*Server, error) {
		return nil, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	if s.Timeout <= 0 {
		s.Timeout = 5 * time.Second
	}
	list, subject, _ := strings.Cut(p.Address, "/")
	if wire.HoldsLogin(p.Address) {
		return wrong("uri", "holds a user or a password, and a uri is shown in logs: they belong into the keys user, password and token")
	}
	if subject == "" {
		return wrong("uri", "%q names no subject: want nats://host:4222/SUBJECT", p.URI)
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n") {
			return wrong("uri", "%q: %q is no subject: its parts are separated by single dots, without blanks", p.URI, subject)
		}
	}
	for a := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			host, port = strings.Trim(a, "[]"), "4222"
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || host == "" {
			return wrong("uri", "%q: %q is no host:port; want nats://host:4222/SUBJECT", p.URI, a)
		}
		s.Name += "," + net.JoinHostPort(host, port)
		s.ports = append(s.ports, engine.PortUse{Port: uint16(n)})
	}
	s.Name, s.Subject = s.Name[1:], subject
	if err := s.identity(p); err != nil {
		return nil, err
	}
	tls, err := wire.ClientTLS(p, false)
	if err != nil {
		return nil, err
	}
	if tls != nil {
		s.options = append(s.options, gonats.Secure(tls))
	}
	s.breaks = p.Counter("connection_breaks_total", "Times that the connection to the server broke.")
	s.options = append(s.options, gonats.Name("dragonfly "+p.Tag), gonats.SetCustomDialer(dialer{p.Dial, s.Timeout}), gonats.SkipHostLookup(),
		gonats.IgnoreDiscoveredServers(), gonats.Timeout(s.Timeout), gonats.MaxReconnects(-1), gonats.ReconnectWait(200*time.Millisecond),
		gonats.PingInterval(max(time.Second, s.Timeout)), gonats.MaxPingsOutstanding(2), gonats.FlusherTimeout(s.Timeout),
		gonats.DisconnectErrHandler(func(nc *gonats.Conn, err error) {
			if nc.IsClosed() || err == nil {
				return
			}
			s.breaks.Add(1)
			s.log.Error("the connection to nats broke, trying again; "+lost, "server", s.Name, "err", err)
		}),
		gonats.ReconnectHandler(func(nc *gonats.Conn) {
			s.log.Info("nats answers again", "server", nc.ConnectedAddr())
		}))
	return s, nil
}

// identity adds who we are.
func (s *Server) identity(p engine.Params) error {
	o := p.Options
	kinds := 0
	for _, key := range []string{"user", "token", "nkey", "creds"} {
		if o.String(key) != "" {
			kinds++
		}
	}
	if kinds > 1 {
		return &engine.ConfigError{Key: "user", Msg: "user with password, token, nkey and creds exclude each other"}
	}
	if o.String("password") != "" && o.String("user") == "" {
		return &engine.ConfigError{Key: "password", Msg: "needs user"}
	}
	switch {
	case o.String("user") != "":
		s.options = append(s.options, gonats.UserInfo(o.String("user"), o.String("password")))
	case o.String("token") != "":
		s.options = append(s.options, gonats.Token(o.String("token")))
	case o.String("nkey") != "":
		pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(o.String("nkey"))))
		if err != nil {
			return &engine.ConfigError{Key: "nkey", Msg: "is no seed of an nkey, which begins with SU: " + err.Error()}
		}
		public, err := pair.PublicKey()
		if err != nil {
			return &engine.ConfigError{Key: "nkey", Msg: err.Error()}
		}
		s.options = append(s.options, gonats.Nkey(public, pair.Sign))
	case o.String("creds") != "":
		text, err := p.Read(o.String("creds"))
		if err == nil {
			if _, err = nkeys.ParseDecoratedJWT(text); err == nil {
				_, err = nkeys.ParseDecoratedNKey(text)
			}
		}
		if err != nil {
			return &engine.ConfigError{Key: "creds", Msg: fmt.Sprintf("%q: %v", o.String("creds"), err)}
		}
		s.options = append(s.options, gonats.UserCredentialBytes(text))
	}
	return nil
}

// Ports returns the ports that are connected to: servers that the row does not name are not used.
func (s *Server) Ports() []engine.PortUse { return s.ports }

// Connect connects. The connection then repairs itself until it is closed; faulty is told, from another goroutine, what the
// server says against single messages and subscriptions.
func (s *Server) Connect(ctx context.Context, faulty func(error), more ...gonats.Option) (*gonats.Conn, error) {
	options := append(append([]gonats.Option{}, s.options...), more...)
	options = append(options, gonats.ErrorHandler(func(_ *gonats.Conn, _ *gonats.Subscription, err error) { faulty(err) }))
	type result struct {
		nc  *gonats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() { // ends after the timeout at the latest
		nc, err := gonats.Connect("nats://"+strings.ReplaceAll(s.Name, ",", ",nats://"), options...)
		done <- result{nc, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, s.Explain(r.err)
		}
		return r.nc, nil
	case <-ctx.Done():
		go func() { // it is not wanted any more
			if r := <-done; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// Explain adds the server and the remedy to an error.
func (s *Server) Explain(err error) error {
	remedy := ""
	text := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, gonats.ErrAuthorization), strings.Contains(text, "authorization violation"), strings.Contains(text, "authentication"):
		remedy = "correct user and password, token, nkey or creds of the row"
	case errors.Is(err, gonats.ErrPermissionViolation):
		remedy = "let this user use the subject: permissions of the server"
	case errors.Is(err, gonats.ErrSecureConnRequired):
		remedy = "the server wants TLS: set tls = true"
	case errors.Is(err, gonats.ErrSecureConnWanted):
		remedy = "the server has no TLS: remove the tls keys of the row"
	case errors.Is(err, gonats.ErrTLS), strings.Contains(text, "x509"), strings.Contains(text, "tls:"):
		// ErrTLS is also what a server does that closes after the handshake; whether its alert is read before a write fails is chance.
		if remedy = wire.TLSRemedy(err, true, !errors.Is(err, gonats.ErrTLS)); remedy == "" {
			remedy = "see tls_ca, tls_cert and tls_server_name of the row"
		}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		remedy = "enable JetStream in the server or for the account, or set jetstream = false"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		remedy = "make a stream for the subject: nats stream add"
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, gonats.ErrNoResponders):
		remedy = "no stream takes the subject: nats stream add; or JetStream is not ready"
	case errors.Is(err, gonats.ErrNoServers):
		remedy = "start the server, or correct the uri"
	}
	if remedy != "" {
		return fmt.Errorf("nats %s: %w (%s)", s.Name, err, remedy)
	}
	return fmt.Errorf("nats %s: %w", s.Name, err)
}
