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
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // nil is net.Dialer
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
	hurry    atomic.Bool // Interrupt is on
	retries  atomic.Uint64
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
	if o.TLS != nil && o.TLS.ServerName == "" && !o.Cluster && o.Master == "" {
		o.TLS = o.TLS.Clone()
		o.TLS.ServerName, _, _ = net.SplitHostPort(o.Addrs[0])
	}
	cl := &Client{o: o, name: strings.Join(o.Addrs, ",")}
	cl.ctx, cl.cancel = context.WithCancel(context.Background())
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, Username: o.User, Password: o.Password, DB: o.DB, MasterName: o.Master, IsClusterMode: o.Cluster,
		Protocol: 2, DisableIdentity: true, TLSConfig: o.TLS, PoolSize: o.Pool,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, ContextTimeoutEnabled: true,
		DialerRetries: 1, MaxRetries: -1, Dialer: cl.dial,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.Cluster || o.Master != "" {
		u.MaxRetries, u.MaxRedirects = 3, 8
	}
	cl.c = redis.NewUniversalClient(u)
	return cl, nil
}

// dial connects; an address that is a path is a unix socket.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	dial := c.o.Dial
	if dial == nil || network == "unix" {
		dial = (&net.Dialer{Timeout: c.o.Timeout, KeepAlive: 30 * time.Second}).DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil || c.o.TLS == nil || network == "unix" {
		return conn, err
	}
	t := tls.Client(conn, c.o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// Close ends commands that wait, and the connections.
func (c *Client) Close() error {
	c.cancel()
	return c.c.Close()
}

// Interrupt makes commands that wait for the server fail within a second, and later ones at once, while on is true.
func (c *Client) Interrupt(on bool) { c.hurry.Store(on) }

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

// session is a user of a Client. MULTI and WATCH bind it to one connection until they end.
type session struct {
	c     *Client
	bound *redis.Conn
	args  []any
}

// Session implements store.Client.
func (c *Client) Session() store.Session { return &session{c: c} }

// Close implements store.Session.
func (s *session) Close() { s.release() }

func (s *session) release() {
	if s.bound != nil {
		s.bound.Close()
		s.bound = nil
	}
}

// refused are commands that would change a connection of the pool for others; each with what to do instead.
var refused = map[string]string{
	"select": "set redis_database in config.lua", "subscribe": "use an input for channels", "psubscribe": "use an input for channels",
	"ssubscribe": "use an input for channels", "monitor": "use redis-cli", "reset": "it is not needed", "hello": "it is not needed",
	"quit": "use close()", "auth": "set redis_user and redis_password in config.lua",
}

// processor is a pool or one connection.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// Do implements store.Session.
func (s *session) Do(args []string) (store.Reply, error) {
	if len(args) == 0 {
		return store.Err("ERR empty command"), nil
	}
	name := strings.ToLower(args[0])
	if remedy := refused[name]; remedy != "" {
		return store.Err("ERR " + strings.ToUpper(name) + " is not possible on shared connections: " + remedy), nil
	}
	var p processor = s.c.c
	switch name {
	case "multi", "watch":
		if s.bound == nil {
			one, ok := s.c.c.(*redis.Client)
			if !ok {
				return store.Err("ERR " + strings.ToUpper(name) + " is not possible with redis_cluster; use redis.transaction"), nil
			}
			s.bound = one.Conn()
		}
	}
	if s.bound != nil {
		p = s.bound
	}
	s.args = s.args[:0]
	for _, a := range args {
		s.args = append(s.args, a)
	}
	var reply store.Reply
	err := s.c.try(func(ctx context.Context) error {
		cmd := redis.NewRawCmd(ctx, s.args...)
		err := p.Process(ctx, cmd)
		if err != nil {
			return err
		}
		reply, _, err = parse(cmd.Val(), 0)
		return s.c.transient(ctx, &reply, err)
	}, s.bound != nil)
	clear(s.args)
	if s.bound != nil {
		if err != nil || name == "exec" || name == "discard" || name == "unwatch" {
			s.release()
		}
	}
	return reply, err
}

// Pipeline implements store.Session.
func (s *session) Pipeline(commands [][]string) ([]store.Reply, error) {
	if s.bound != nil || len(commands) == 1 {
		return s.oneByOne(commands)
	}
	for _, args := range commands {
		if len(args) == 0 || refused[strings.ToLower(args[0])] != "" {
			return s.oneByOne(commands)
		}
		switch strings.ToLower(args[0]) {
		case "multi", "watch", "exec":
			if _, ok := s.c.c.(*redis.Client); !ok {
				return s.oneByOne(commands)
			}
		}
	}
	replies := make([]store.Reply, len(commands))
	err := s.c.try(func(ctx context.Context) error {
		p := s.c.c.Pipeline()
		cmds := make([]*redis.RawCmd, len(commands))
		for i, args := range commands {
			list := make([]any, len(args))
			for k, a := range args {
				list[k] = a
			}
			cmds[i] = redis.NewRawCmd(ctx, list...)
			if err := p.Process(ctx, cmds[i]); err != nil {
				return err
			}
		}
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
		for i, cmd := range cmds {
			var err error
			replies[i], _, err = parse(cmd.Val(), 0)
			if err = s.c.transient(ctx, &replies[i], err); err != nil {
				return err
			}
		}
		return nil
	}, false)
	return replies, err
}

func (s *session) oneByOne(commands [][]string) ([]store.Reply, error) {
	replies := make([]store.Reply, len(commands))
	for i, args := range commands {
		var err error
		if replies[i], err = s.Do(args); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// errTransient is a reply that says: not now.
type errTransient struct{ msg string }

func (e errTransient) Error() string { return e.msg }

// transient returns an error for replies of a server that starts, fails over or moves a slot: they are worth another try.
func (c *Client) transient(ctx context.Context, r *store.Reply, err error) error {
	if err != nil || r.Kind != store.Error {
		return err
	}
	code, _, _ := strings.Cut(r.Str, " ")
	switch code {
	case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "ASK", "READONLY":
		return errTransient{r.Str}
	case "MOVED":
		if cluster, ok := c.c.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx)
			return errTransient{r.Str}
		}
	}
	return nil
}

// Times between tries.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// try calls f until it succeeds or the server has been away for Wait. bound commands are tried once: what came before them on
// their connection is lost with it.
func (c *Client) try(f func(ctx context.Context) error, bound bool) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		ctx, cancel := context.WithTimeout(c.ctx, 2*c.o.Timeout)
		err := f(ctx)
		cancel()
		if err == nil {
			if c.away.Load() != 0 {
				c.back()
			}
			return nil
		}
		if fatal := permanent(err); fatal != nil {
			c.failures.Add(1)
			return &Error{c.name, fatal}
		}
		since := c.gone(err)
		if bound || c.ctx.Err() != nil || c.hurry.Load() || time.Since(since) >= c.o.Wait {
			c.failures.Add(1)
			if c.ctx.Err() != nil {
				err = errors.New("the connection is closed")
			}
			return &Error{c.name, err}
		}
		c.retries.Add(1)
		select {
		case <-time.After(pause):
		case <-c.ctx.Done():
		}
	}
}

// permanent returns err if another try cannot help: wrong password, wrong certificate.
func permanent(err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return err
	}
	for _, code := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR DB index", "ERR invalid DB"} {
		if strings.HasPrefix(err.Error(), code) {
			return err
		}
	}
	return nil
}

// gone notes that the server is away and returns since when.
func (c *Client) gone(err error) time.Time {
	now := time.Now()
	if c.away.CompareAndSwap(0, now.UnixNano()) {
		c.o.Log.Warn("redis does not answer: commands wait for it and are tried again", "server", c.name, "error", err, "redis_wait", c.o.Wait.String())
		return now
	}
	if ns := c.away.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return now
}

func (c *Client) back() {
	if ns := c.away.Swap(0); ns != 0 {
		c.o.Log.Info("redis answers again", "server", c.name, "away_for", time.Since(time.Unix(0, ns)).Round(time.Millisecond).String())
	}
}

// errReply is what a reply that is not RESP2 fails with.
var errReply = errors.New("the server's reply is not RESP2")

// parse reads one reply in RESP2 and returns what follows it.
func parse(b []byte, depth int) (r store.Reply, rest []byte, err error) {
	i := 0
	for i+1 < len(b) && (b[i] != '\r' || b[i+1] != '\n') {
		i++
	}
	if i+1 >= len(b) || i == 0 || depth > 128 {
		return r, nil, errReply
	}
	line, rest := string(b[1:i]), b[i+2:]
	switch b[0] {
	case '+':
		return store.Reply{Kind: store.Status, Str: line}, rest, nil
	case '-':
		return store.Reply{Kind: store.Error, Str: line}, rest, nil
	case ':':
		n, err := strconv.ParseInt(line, 10, 64)
		return store.Reply{Kind: store.Int, Int: n}, rest, err
	case '$':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 {
			return store.Reply{}, rest, err
		}
		if len(rest) < n+2 {
			return r, nil, errReply
		}
		return store.Reply{Kind: store.Bulk, Str: string(rest[:n])}, rest[n+2:], nil
	case '*':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 {
			return store.Reply{}, rest, err
		}
		r = store.Reply{Kind: store.Array, Elems: make([]store.Reply, 0, min(n, 1024))}
		for range n {
			var e store.Reply
			if e, rest, err = parse(rest, depth+1); err != nil {
				return r, nil, err
			}
			r.Elems = append(r.Elems, e)
		}
		return r, rest, nil
	}
	return r, nil, errReply
}
