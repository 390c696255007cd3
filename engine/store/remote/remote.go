// Package remote talks to a real Redis through go-redis: one server over TCP, TLS or a unix socket, Sentinel, or Cluster.
//
// All sessions of a process share one pool of connections. A server that is away costs time: a command is tried again, with
// backoff, until it has been away for Options.Wait; after that commands fail at once, and each looks whether it is back. A
// command whose connection broke after it was sent is tried again too, so it may have been carried out twice.
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"dragonfly/engine/store"
)

// Options of a Client.
type Options struct {
	Addrs    []string // "host:port", or the path of a unix socket ("/run/redis.sock"); several for Sentinel and Cluster
	User     string
	Password string
	DB       int
	TLS      *tls.Config // nil is no TLS
	Master   string      // name of the master: Addrs are Sentinels
	Cluster  bool        // Addrs are nodes of a Redis Cluster

	Timeout time.Duration // of one try: dial, write, read; 0 is 5 s
	Wait    time.Duration // how long a server that is away is waited for; 0 is not
	Pool    int           // connections at most; 0 is go-redis's default, 10 per CPU
	Log     *slog.Logger
	// Interrupt, while it is true, makes commands that wait for the server fail within a second, and later ones at once.
	Interrupt *atomic.Bool                                                         // nil never
	Context   context.Context                                                      // its end is that of the Client, as Close; nil has none
	Dial      func(ctx context.Context, network, address string) (net.Conn, error) // nil is net.Dialer
}

// ParseAddress reads what config.lua's `redis` may be besides "embedded": "host", "host:port", "/path", several of these
// separated by commas, or a URL: redis://user:password@host:port/db, rediss:// with TLS, unix:///path?db=1.
func ParseAddress(s string, o *Options) error {
	if scheme, _, isURL := strings.Cut(s, "://"); isURL {
		u, err := url.Parse(s)
		if err != nil {
			return fmt.Errorf("%q is not a URL", scheme+"://...") // the text may hold a password
		}
		if u.User != nil {
			if name := u.User.Username(); name != "" {
				o.User = name
			}
			if p, has := u.User.Password(); has {
				o.Password = p
			}
		}
		db := strings.Trim(u.Path, "/")
		switch scheme {
		case "redis":
		case "rediss":
			if o.TLS == nil {
				o.TLS = &tls.Config{}
			}
		case "unix":
			if u.Path == "" {
				return errors.New("unix:// wants the path of a socket: unix:///run/redis.sock")
			}
			o.Addrs, db = []string{u.Path}, u.Query().Get("db")
		default:
			return fmt.Errorf("the scheme %q is not known: want redis://, rediss:// or unix://", scheme)
		}
		if db != "" {
			if o.DB, err = strconv.Atoi(db); err != nil || o.DB < 0 {
				return fmt.Errorf("the database %q is not a number", db)
			}
		}
		if scheme != "unix" {
			return hosts(u.Host, o)
		}
		return nil
	}
	return hosts(s, o)
}

func hosts(list string, o *Options) error {
	o.Addrs = nil
	for a := range strings.SplitSeq(list, ",") {
		a = strings.TrimSpace(a)
		if a == "" {
			return errors.New("an address is empty")
		}
		if !strings.HasPrefix(a, "/") {
			if _, _, err := net.SplitHostPort(a); err != nil {
				a = net.JoinHostPort(strings.Trim(a, "[]"), "6379")
			}
		}
		o.Addrs = append(o.Addrs, a)
	}
	return nil
}

// Client is a pool of connections to a Redis.
type Client struct {
	o      Options
	c      redis.UniversalClient
	name   string // for messages
	ctx    context.Context
	cancel context.CancelFunc

	away     atomic.Int64 // Unix nanoseconds since which the server is away, 0 if it is there
	failures atomic.Uint64
	retries  atomic.Uint64
	conns    conns
	closed   func() error

	said      sync.Mutex // guards the following
	lastErr   error      // of the last try that failed
	told      time.Time  // when the log said that the server is away
	notBefore time.Time  // when the next look is due after Wait is over
}

var _ store.Client = (*Client)(nil)

// quiet keeps go-redis from writing to stderr: what fails is told by the commands.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() {
	redis.SetLogger(quiet{})
	logging.Disable()
})

// New returns a Client. It does not connect before the first command.
func New(o Options) (*Client, error) {
	silence()
	if len(o.Addrs) == 0 {
		return nil, errors.New("redis: there is no address")
	}
	if o.Cluster && o.DB != 0 {
		return nil, errors.New("redis: a cluster has only database 0")
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	cl := &Client{o: o, name: strings.Join(o.Addrs, ",")}
	cl.ctx, cl.cancel = context.WithCancel(o.Context)
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, Username: o.User, Password: o.Password, DB: o.DB, MasterName: o.Master, IsClusterMode: o.Cluster,
		Protocol: 2, DisableIdentity: true, TLSConfig: o.TLS, PoolSize: o.Pool,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true, PoolTimeout: o.Timeout,
		DialerRetries: 1, MaxRetries: -1, Dialer: cl.dial,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.Cluster || o.Master != "" {
		u.MaxRedirects = 8
	}
	if o.Cluster {
		opt := u.Cluster()
		opt.DisableRoutingPolicies = true // a command goes to one node, and its reply comes back as it is
		cluster := redis.NewClusterClient(opt)
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(redirects{}) })
		cl.c = cluster
	} else {
		cl.c = redis.NewUniversalClient(u)
	}
	cl.closed = sync.OnceValue(func() error {
		cl.cancel()
		cl.conns.closeAll() // go-redis waits for commands that read
		return cl.c.Close()
	})
	context.AfterFunc(cl.ctx, func() { cl.closed() })
	return cl, nil
}

// dial connects for go-redis. It never fails: after as many failed dials as the pool has places, go-redis would not try itself
// but look once a second whether the server is back. What it returns instead fails when it is used.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout*9/10) // before go-redis ends it, without saying where it was
	defer cancel()
	conn, err := c.connect(ctx, network, address)
	if err != nil {
		return failed{&dialError{&dialError{err}}}, nil // go-redis takes one layer off
	}
	return conn, nil
}

// connect connects; an address that is a path is a unix socket.
func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	dial := c.o.Dial
	if dial == nil || network == "unix" {
		dial = (&net.Dialer{Timeout: c.o.Timeout, KeepAlive: 30 * time.Second}).DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if c.o.TLS == nil || network == "unix" {
		return c.conns.add(conn), nil
	}
	cfg := c.o.TLS
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return c.conns.add(t), nil
}

// poolSize is how many connections there may be.
func (c *Client) poolSize() int {
	if c.o.Pool > 0 {
		return c.o.Pool
	}
	return 10 * runtime.GOMAXPROCS(0)
}

// Close ends commands that wait, and the connections. It may be called more than once.
func (c *Client) Close() error { return c.closed() }

// Stats are figures of a Client.
type Stats struct {
	Conns    int    // open connections
	Retries  uint64 // tries beyond the first
	Failures uint64 // commands that got no answer
	Away     bool
}

// Stats returns the current figures.
func (c *Client) Stats() Stats {
	return Stats{Conns: int(c.c.PoolStats().TotalConns), Retries: c.retries.Load(), Failures: c.failures.Load(), Away: c.away.Load() != 0}
}

// Error is a command that got no answer.
type Error struct {
	Server string
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("redis %s: %v", e.Server, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
