package remote

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"dragonfly/engine/store"
)

// session is a user of a Client. MULTI and WATCH bind it to one connection until they end.
type session struct {
	c     *Client
	bound *redis.Conn
	multi bool // bound by MULTI, or MULTI came after WATCH
	args  []any
}

// Session implements store.Client.
func (c *Client) Session() store.Session { return &session{c: c} }

// Close implements store.Session.
func (s *session) Close() { s.release(false) }

// release gives the bound connection back to the pool. Unless it is clean, the server is told first to forget the transaction
// and the watched keys, or the next user would find them.
func (s *session) release(clean bool) {
	if s.bound == nil {
		return
	}
	if !clean {
		ctx, cancel := context.WithTimeout(s.c.ctx, s.c.o.Timeout)
		p := s.bound.Pipeline()
		if s.multi {
			p.Do(ctx, "DISCARD")
		}
		p.Do(ctx, "UNWATCH")
		p.Exec(ctx) // a connection that fails here is closed
		cancel()
	}
	s.bound.Close()
	s.bound, s.multi = nil, false
}

// refused are commands that would change a connection of the pool for others, or that the client would send again and again;
// each with what to do instead.
var refused = map[string]string{
	"select": "set redis_database in config.lua", "subscribe": "use an input for channels", "psubscribe": "use an input for channels",
	"ssubscribe": "use an input for channels", "monitor": "use redis-cli", "reset": "it is not needed", "hello": "it is not needed",
	"quit": "use close()", "auth": "set redis_user and redis_password in config.lua", "sync": "use redis-cli", "psync": "use redis-cli",
	"shutdown": "use redis-cli", "asking": "it is not needed", "readonly": "it is not needed", "readwrite": "it is not needed",
}

// refuse returns the reply to a command that cannot be sent, nil if it can.
func (c *Client) refuse(name string, args []string) *store.Reply {
	remedy := refused[name]
	if name == "client" && len(args) > 1 {
		switch strings.ToLower(args[1]) {
		case "reply", "tracking":
			name, remedy = name+" "+args[1], "it is not needed"
		}
	}
	if remedy != "" {
		r := store.Err("ERR " + strings.ToUpper(name) + " is not possible on shared connections: " + remedy)
		return &r
	}
	if wait, blocks := blocking(name, args); blocks && wait >= c.o.Timeout {
		text := "for ever"
		if wait != forever {
			text = wait.String()
		}
		r := store.Err(fmt.Sprintf("ERR %s would wait %s: its timeout must be above 0 and below redis_timeout (%s)", strings.ToUpper(name), text, c.o.Timeout))
		return &r
	}
	return nil
}

const forever = time.Duration(math.MaxInt64)

// blocking returns how long a command may wait inside the server; blocks is false for commands that do not wait, or that the
// server will refuse.
func blocking(name string, args []string) (wait time.Duration, blocks bool) {
	at, unit := 0, time.Second
	switch name {
	case "blpop", "brpop", "brpoplpush", "blmove", "bzpopmin", "bzpopmax":
		at = len(args) - 1
	case "blmpop", "bzmpop":
		at = 1
	case "wait":
		at, unit = 2, time.Millisecond
	case "waitaof":
		at, unit = 3, time.Millisecond
	case "xread", "xreadgroup":
		for i, a := range args[1:] {
			if strings.EqualFold(a, "streams") {
				break
			}
			if strings.EqualFold(a, "block") {
				at, unit = i+2, time.Millisecond
			}
		}
	}
	if at < 1 || at >= len(args) {
		return 0, false
	}
	n, err := strconv.ParseFloat(args[at], 64)
	if err != nil || n < 0 || n != n {
		return 0, false
	}
	if n == 0 || n > 1e9 {
		return forever, true
	}
	return time.Duration(n * float64(unit)), true
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
	if r := s.c.refuse(name, args); r != nil && (!s.multi || refused[name] != "") { // inside MULTI nothing waits
		return *r, nil
	}
	one, _ := s.c.c.(*redis.Client)
	bind := s.bound == nil && (name == "multi" || name == "watch")
	if bind && one == nil {
		return store.Err("ERR " + strings.ToUpper(name) + " is not possible with redis_cluster; use redis.transaction or redis.script, with keys of one {tag}"), nil
	}
	s.args = s.args[:0]
	for _, a := range args {
		s.args = append(s.args, a)
	}
	var reply store.Reply
	err := s.c.try(func(ctx context.Context) error {
		var p processor = s.c.c
		if bind {
			s.release(true) // of the try before
			s.bound = one.Conn()
		}
		if s.bound != nil {
			p = s.bound
		}
		cmd := redis.NewRawCmd(ctx, s.args...)
		err := p.Process(ctx, cmd)
		if err != nil {
			return err
		}
		reply, _, err = parse(cmd.Val(), 0)
		return s.c.transient(&reply, err)
	}, s.bound != nil)
	clear(s.args)
	if s.bound != nil {
		s.follow(name, reply, err)
	}
	return reply, err
}

// follow notes what a command did to the bound connection.
func (s *session) follow(name string, reply store.Reply, err error) {
	switch {
	case err != nil:
		s.release(false)
	case name == "multi" && reply.Kind == store.Status:
		s.multi = true
	case name == "exec" && len(s.args) == 1, name == "discard" && len(s.args) == 1:
		s.release(reply.Kind != store.Error)
	case name == "unwatch" && !s.multi && reply.Kind == store.Status:
		s.release(true)
	}
}

// Commands and bytes that are sent at once: a pipeline of any length stays below the time limit of a try, and a try that fails
// repeats little.
const (
	chunkLen   = 4096
	chunkBytes = 1 << 20
)

// Pipeline implements store.Session.
func (s *session) Pipeline(commands [][]string) ([]store.Reply, error) {
	if s.bound != nil || len(commands) == 1 {
		return s.oneByOne(commands)
	}
	_, single := s.c.c.(*redis.Client)
	atomic, open := false, false
	for _, args := range commands {
		if len(args) == 0 {
			return s.oneByOne(commands)
		}
		name := strings.ToLower(args[0])
		if s.c.refuse(name, args) != nil {
			return s.oneByOne(commands)
		}
		switch name {
		case "multi", "watch":
			atomic, open = true, true
		case "exec", "discard":
			open = open && len(args) > 1
		}
	}
	if open || atomic && !single && strings.EqualFold(commands[0][0], "watch") {
		return s.oneByOne(commands)
	}
	replies := make([]store.Reply, len(commands))
	for start := 0; start < len(commands); {
		end, size := start, 0
		for end < len(commands) && (atomic || end-start < chunkLen && size < chunkBytes) {
			for _, a := range commands[end] {
				size += len(a)
			}
			end++
		}
		if err := s.chunk(commands[start:end], replies[start:end], atomic); err != nil {
			return nil, err
		}
		start = end
	}
	return replies, nil
}

// chunk carries out commands in one round trip. Those that got no answer are tried again, all of them if they are atomic.
func (s *session) chunk(commands [][]string, replies []store.Reply, atomic bool) error {
	pending := make([]int, len(commands))
	for i := range pending {
		pending[i] = i
	}
	return s.c.try(func(ctx context.Context) error {
		p, err := s.pipeline(ctx, commands, atomic)
		if err != nil {
			return err
		}
		cmds := make([]*redis.RawCmd, len(pending))
		for i, n := range pending {
			list := make([]any, len(commands[n]))
			for k, a := range commands[n] {
				list[k] = a
			}
			cmds[i] = redis.NewRawCmd(ctx, list...)
			if err := p.Process(ctx, cmds[i]); err != nil {
				return err
			}
		}
		_, failed := p.Exec(ctx)
		var again []int
		for i, n := range pending {
			err := cmds[i].Err()
			if err == nil {
				replies[n], _, err = parse(cmds[i].Val(), 0)
				err = s.c.transient(&replies[n], err)
			}
			if err == nil {
				continue
			}
			again = append(again, n)
			if failed == nil {
				failed = err
			}
		}
		if len(again) == 0 {
			return nil
		}
		if !atomic {
			pending = again
		}
		return failed
	}, false)
}

// pipeline returns where commands are sent. A transaction goes to the node of a cluster that has the first key; whether the
// others are there too the server tells.
func (s *session) pipeline(ctx context.Context, commands [][]string, atomic bool) (redis.Pipeliner, error) {
	cluster, ok := s.c.c.(*redis.ClusterClient)
	if !ok || !atomic {
		return s.c.c.Pipeline(), nil
	}
	key := ""
	for _, args := range commands {
		if len(args) > 1 {
			key = args[1]
			break
		}
	}
	node, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	return node.Pipeline(), nil
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
