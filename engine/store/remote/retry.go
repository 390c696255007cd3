package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"dragonfly/engine/store"
)

// errTransient is a reply that says: not now.
type errTransient struct{ msg string }

func (e errTransient) Error() string { return e.msg }

// transient returns an error for replies of a server that starts, fails over or moves a slot: they are worth another try.
func (c *Client) transient(r *store.Reply, err error) error {
	if err != nil || r.Kind != store.Error {
		return err
	}
	code, _, _ := strings.Cut(r.Str, " ")
	switch code {
	case "READONLY": // the master has become a replica: its name may stand for another server now
		c.conns.closeAll()
		return errTransient{r.Str}
	case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOAUTH":
		return errTransient{r.Str}
	case "MOVED", "ASK":
		if cluster, ok := c.c.(*redis.ClusterClient); ok {
			cluster.ReloadState(c.ctx)
			return errTransient{r.Str}
		}
	}
	return nil
}

// redirects makes go-redis follow the redirections of a cluster: it does not look into raw replies.
type redirects struct{}

func (redirects) DialHook(next redis.DialHook) redis.DialHook { return next }

func (redirects) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next // their replies are looked at in session.chunk
}

func (redirects) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		raw, ok := cmd.(*redis.RawCmd)
		if err != nil || !ok {
			return err
		}
		if b := raw.Val(); len(b) > 4 && b[0] == '-' {
			text := strings.TrimSuffix(string(b[1:]), "\r\n")
			switch code, _, _ := strings.Cut(text, " "); code {
			case "MOVED", "ASK", "TRYAGAIN":
				return errTransient{text}
			}
		}
		return nil
	}
}

// Times between tries.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// errClosed is what commands end with when the Client is closed.
var errClosed = errors.New("the connection is closed")

// try calls f until it succeeds or the server has been away for Wait. bound commands are tried once: what came before them on
// their connection is lost with it.
//
// Connections of the pool may have ended while nobody used them: as long as broken ones come out of it there is another try at
// once, which does not count.
func (c *Client) try(f func(ctx context.Context) error, bound bool) error {
	stale := c.poolSize()
	var cause error     // the last that says more than that time is over
	var first time.Time // when this command failed first: others may succeed meanwhile, on other nodes
	for pause := firstPause; ; {
		err := c.blocked()
		if err == nil {
			start := time.Now()
			if err = c.once(f, first); err == nil {
				if c.away.Load() != 0 {
					c.back()
				}
				return nil
			}
			if fatal := permanent(err); fatal != nil {
				c.failures.Add(1)
				return &Error{c.name, fatal}
			}
			if !bound && stale > 0 && broken(err) && c.ctx.Err() == nil {
				stale--
				c.retries.Add(1)
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			took := time.Since(start)
			switch {
			case errors.Is(err, redis.ErrPoolTimeout):
				took, err = 0, fmt.Errorf("all %d connections are in use (redis_pool): %w", c.poolSize(), err)
				cause = err
			case cause == nil || !errors.Is(err, context.DeadlineExceeded):
				cause = err
			default:
				took, err = 0, cause
			}
			c.gone(err, took)
		}
		if bound || c.ctx.Err() != nil || (c.o.Interrupt != nil && c.o.Interrupt.Load()) || c.patience(first) <= 0 {
			c.failures.Add(1)
			if c.ctx.Err() != nil {
				err = errClosed
			} else if c.o.Master != "" && strings.Contains(err.Error(), "all sentinels") {
				err = fmt.Errorf("no Sentinel names a master for redis_master %q: %w", c.o.Master, err)
			}
			return &Error{c.name, err}
		}
		c.retries.Add(1)
		t := time.NewTimer(min(pause, c.patience(first)))
		select {
		case <-t.C:
		case <-c.ctx.Done():
		}
		t.Stop()
		pause = min(2*pause, longestPause)
	}
}

// once calls f with the limit of one try, which ends with Wait when the server is away.
func (c *Client) once(f func(ctx context.Context) error, first time.Time) error {
	limit := 2 * c.o.Timeout
	if c.away.Load() != 0 || !first.IsZero() {
		if left := c.patience(first); left > 0 {
			limit = min(limit, max(left, firstPause))
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	return recovered(ctx, f)
}

// recovered calls f. go-redis panics when a reply claims to be longer than memory is.
func recovered(ctx context.Context, f func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w (%v)", errReply, p)
		}
	}()
	return f(ctx)
}

// patience is how much of Wait is left to a command that failed first at first, zero if it has not.
func (c *Client) patience(first time.Time) time.Duration {
	since := first
	if ns := c.away.Load(); ns != 0 && (first.IsZero() || ns < first.UnixNano()) {
		since = time.Unix(0, ns)
	}
	if since.IsZero() {
		return c.o.Wait
	}
	return c.o.Wait - time.Since(since)
}

// blocked returns why a command fails without a try: Wait is over and the last look, which took long, has just been. A server
// that hangs costs commands half of the time at most.
func (c *Client) blocked() error {
	if c.away.Load() == 0 {
		return nil
	}
	c.said.Lock()
	defer c.said.Unlock()
	if c.lastErr != nil && time.Now().Before(c.notBefore) && c.patience(time.Time{}) <= 0 {
		return c.lastErr
	}
	return nil
}

// broken reports whether err says that a connection had ended.
func broken(err error) bool {
	var dial *dialError
	if errors.As(err, &dial) {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// permanent returns what to say of err if another try cannot help: wrong password, wrong certificate.
func permanent(err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return fmt.Errorf("%w (redis_ca names the authority that signed it)", err)
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return errors.New("the server does not talk TLS (redis_tls, redis_ca, rediss://)")
	}
	text := err.Error()
	for code, remedy := range map[string]string{
		"WRONGPASS": "redis_user, redis_password", "NOAUTH": "set redis_password", "NOPERM": "the rights of redis_user",
		"ERR AUTH": "the server wants no password: remove redis_password", "ERR Client sent AUTH": "the server wants no password: remove redis_password",
		"ERR invalid password": "redis_password", "ERR DB index": "redis_database", "ERR invalid DB": "redis_database",
	} {
		if at := strings.Index(text, code); at == 0 || at > 1 && text[at-2:at] == ": " {
			return fmt.Errorf("%w (%s)", err, remedy)
		}
	}
	return nil
}

// gone notes that the server is away, and that a try took took.
func (c *Client) gone(err error, took time.Duration) {
	now := time.Now()
	c.said.Lock()
	defer c.said.Unlock()
	c.lastErr, c.notBefore = err, now.Add(took)
	if c.ctx.Err() != nil {
		return
	}
	c.away.CompareAndSwap(0, now.UnixNano())
	if c.told.Before(time.Unix(0, c.away.Load())) && now.Sub(c.told) >= c.tellEvery() {
		c.told = now
		c.o.Log.Warn("redis does not answer: commands wait for it and are tried again", "server", c.name, "error", err, "redis_wait", c.o.Wait.String())
	}
}

// tellEvery is how often the log says at most that the server is away: while it goes some commands still succeed, and of a
// cluster one node may be away while the others answer.
func (c *Client) tellEvery() time.Duration {
	if c.o.Cluster {
		return 30 * time.Second
	}
	return 100 * time.Millisecond
}

func (c *Client) back() {
	ns := c.away.Swap(0)
	if ns == 0 {
		return
	}
	c.said.Lock()
	defer c.said.Unlock()
	if !c.told.Before(time.Unix(0, ns)) {
		c.o.Log.Info("redis answers again", "server", c.name, "away_for", time.Since(time.Unix(0, ns)).Round(time.Millisecond).String())
	}
}
