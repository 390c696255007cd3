// Package redis is what the inputs and outputs redis:// and rediss:// have in common: rows, connections, errors.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"dragonfly/engine"
	"dragonfly/engine/store/remote"
	"dragonfly/engine/wire"
)

// Options are the keys of a row that names a server.
var Options = append([]engine.Option{
	{Key: "key", Type: engine.String, Doc: "KEY, where the uri has none: with the path of a unix socket."},
	{Key: "user", Type: engine.String, Doc: "User, for servers with access lists."},
	{Key: "password", Type: engine.String, Secret: true, Doc: "Password; `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "database", Type: engine.Int, Default: int64(0), Max: 1 << 20, Doc: "Number of the database."},
	{Key: "sentinel_master", Type: engine.String, Doc: "Name of the master: the servers of the uri are Sentinels."},
	{Key: "cluster", Type: engine.Bool, Default: false, Doc: "The servers of the uri are nodes of a Redis Cluster."},
	{Key: "timeout", Type: engine.Duration, Default: 5 * time.Second, Min: 0.1, Max: 300, Doc: "How long connecting, sending and waiting for an answer may take."},
}, wire.ClientOptions...)

// Server is the server, or the servers, of a row.
type Server struct {
	Key     string // as in the row
	Name    string // addresses, for messages
	Cluster bool

	o    remote.Options
	tls  *tls.Config
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	answered atomic.Bool // it has ever said anything
}

// quiet keeps go-redis from writing to stderr: what fails is told by the commands.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() {
	goredis.SetLogger(quiet{})
	logging.Disable()
})

// New reads the row: redis://HOST:PORT,HOST:PORT/KEY, or redis:///PATH/OF/SOCKET with the option key.
func New(p engine.Params) (*Server, error) {
	s := &Server{Cluster: p.Options.Bool("cluster"), dial: p.Dial}
	s.o = remote.Options{User: p.Options.String("user"), Password: p.Options.String("password"), DB: int(p.Options.Int("database")),
		Master: p.Options.String("sentinel_master"), Cluster: s.Cluster, Timeout: p.Options.Duration("timeout")}
	wrong := func(key, format string, args ...any) (*Server, error) {
		return nil, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	if s.o.Timeout <= 0 {
		s.o.Timeout = 5 * time.Second
	}
	list, key := p.Address, ""
	if !strings.HasPrefix(list, "/") {
		list, key, _ = strings.Cut(list, "/")
	}
	if wire.HoldsLogin(p.Address) {
		return wrong("uri", "holds a user or a password, and a uri is shown in logs: they belong into the keys user and password")
	}
	if option := p.Options.String("key"); key != "" && option != "" && option != key {
		return wrong("key", "is %q, and the uri says %q: want one of them", option, key)
	} else if key == "" {
		key = option
	}
	if key == "" {
		return wrong("uri", "%q names no key: want %s://host:6379/KEY, or for a unix socket %s:///path with key = \"KEY\"", p.URI, p.Scheme, p.Scheme)
	}
	if err := remote.ParseAddress(list, &s.o); err != nil {
		return wrong("uri", "%q: %v; want %s://host:6379/KEY", p.URI, err, p.Scheme)
	}
	for _, a := range s.o.Addrs {
		if strings.HasPrefix(a, "/") {
			continue
		}
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || portOf(port) == 0 {
			return wrong("uri", "%q: %q is no host:port; want %s://host:6379/KEY", p.URI, a, p.Scheme)
		}
	}
	if len(s.o.Addrs) > 1 && !s.Cluster && s.o.Master == "" {
		return wrong("uri", "names %d servers; that wants cluster = true, or sentinel_master = the name that Sentinel has for the master", len(s.o.Addrs))
	}
	if s.Cluster && s.o.Master != "" {
		return wrong("cluster", "and sentinel_master exclude each other")
	}
	if s.Cluster && s.o.DB != 0 {
		return wrong("database", "a cluster has only database 0")
	}
	var err error
	if s.tls, err = wire.ClientTLS(p, p.Scheme == "rediss"); err != nil {
		return nil, err
	}
	s.Key, s.Name = key, strings.Join(s.o.Addrs, ",")
	return s, nil
}

func portOf(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// Ports returns the ports that are connected to; any, where other servers are found through the first.
func (s *Server) Ports() (ports []engine.PortUse, any bool) {
	if s.Cluster || s.o.Master != "" {
		return nil, true
	}
	for _, a := range s.o.Addrs {
		if !strings.HasPrefix(a, "/") {
			_, port, _ := net.SplitHostPort(a)
			ports = append(ports, engine.PortUse{Port: portOf(port)})
		}
	}
	return ports, false
}

// Timeout is how long a command may take.
func (s *Server) Timeout() time.Duration { return s.o.Timeout }

// Link is connections to a Server.
type Link struct {
	goredis.UniversalClient
	s    *Server
	open wire.Conns
}

// Link returns connections to s; none is made before the first command. No command is tried twice.
func (s *Server) Link() *Link {
	silence()
	l := &Link{s: s}
	u := &goredis.UniversalOptions{
		Addrs: s.o.Addrs, Username: s.o.User, Password: s.o.Password, DB: s.o.DB, MasterName: s.o.Master, IsClusterMode: s.Cluster,
		Protocol: 2, DisableIdentity: true, PoolSize: 4, DialTimeout: s.o.Timeout, ReadTimeout: s.o.Timeout, WriteTimeout: s.o.Timeout,
		ContextTimeoutEnabled: true, PoolTimeout: s.o.Timeout, DialerRetries: 1, MaxRetries: -1, Dialer: l.connect,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if s.Cluster || s.o.Master != "" {
		u.MaxRedirects = 8
	}
	if s.Cluster {
		opt := u.Cluster()
		opt.DisableRoutingPolicies = true
		l.UniversalClient = goredis.NewClusterClient(opt)
		return l
	}
	l.UniversalClient = goredis.NewUniversalClient(u)
	return l
}

// Break ends all connections, so that commands that wait for an answer fail at once.
func (l *Link) Break() { l.open.Break() }

// Close ends the connections, and what waits for them.
func (l *Link) Close() error {
	l.Break()
	if err := l.UniversalClient.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// heard is a connection that notes when the server says something.
type heard struct {
	net.Conn
	s *Server
}

// Read implements net.Conn.
func (c heard) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.s.answered.Load() {
		c.s.answered.Store(true)
	}
	return n, err
}

func (l *Link) connect(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.s.o.Timeout)
	defer cancel()
	dial := l.s.dial
	if strings.HasPrefix(address, "/") {
		network, dial = "unix", (&net.Dialer{}).DialContext
	}
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if l.s.tls != nil && network != "unix" {
		cfg := l.s.tls
		if cfg.ServerName == "" {
			cfg = cfg.Clone()
			cfg.ServerName, _, _ = net.SplitHostPort(address)
		}
		t := tls.Client(c, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
		}
		c = t
	}
	return l.open.Add(heard{c, l.s}), nil
}
