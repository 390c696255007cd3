package store

import (
	"crypto/sha1"
	"strings"
)

// multi is what a Conn queued since MULTI.
type multi struct {
	queue  []queued
	broken bool // a command could not be queued
}

type queued struct {
	cmd  *command
	args []string
}

// spoil makes EXEC fail after a command that could not be queued.
func (c *Conn) spoil() {
	if c.multi != nil {
		c.multi.broken = true
	}
}

func (c *Conn) enqueue(cmd *command, args []string) Reply {
	kept := make([]string, len(args))
	for i, a := range args {
		kept[i] = strings.Clone(a)
	}
	c.multi.queue = append(c.multi.queue, queued{cmd, kept})
	return status("QUEUED")
}

var txCommands = []command{
	{name: "multi", min: 1, max: 1, noQueue: true, run: func(c *call) Reply {
		if c.conn.multi != nil {
			return Err("ERR MULTI calls can not be nested")
		}
		c.conn.multi = &multi{}
		return ok
	}},
	{name: "discard", min: 1, max: 1, noQueue: true, run: func(c *call) Reply {
		if c.conn.multi == nil {
			return Err("ERR DISCARD without MULTI")
		}
		c.conn.multi = nil
		c.conn.unwatch()
		return ok
	}},
	// EXEC is carried out by Conn.exec, which takes the locks of what was queued
	{name: "exec", min: 1, max: 1, noQueue: true, run: func(c *call) Reply { return c.conn.exec() }},
	{name: "watch", min: 2, max: -1, first: 1, last: -1, noQueue: true, run: func(c *call) Reply {
		if c.conn.multi != nil {
			return Err("ERR WATCH inside MULTI is not allowed")
		}
		if c.conn.watch == nil {
			c.conn.watch = map[string]watched{}
		}
		for _, key := range c.args[1:] {
			if _, known := c.conn.watch[key]; !known {
				c.watchKey(strings.Clone(key))
			}
		}
		return ok
	}},
	{name: "unwatch", min: 1, max: 1, run: func(c *call) Reply {
		c.conn.unwatch()
		return ok
	}},
}

// watched is a key at the time of WATCH.
type watched struct {
	version uint64 // 0 if it was missing
	times   uint64 // of its absence
}

// absence is a key that somebody watches and that was missing then: were it made and dropped again, nothing else would tell.
type absence struct {
	watchers int
	times    uint64 // how often it was dropped since
}

func (c *call) watchKey(key string) {
	w := watched{version: c.version(key)}
	if w.version == 0 {
		sh := c.shard(key)
		a := sh.absent[key]
		if a == nil {
			if sh.absent == nil {
				sh.absent = map[string]*absence{}
			}
			a = &absence{}
			sh.absent[key] = a
		}
		a.watchers++
		w.times = a.times
	}
	c.conn.watch[key] = w
}

// touched reports whether a watched key changed; its shard is locked.
func (c *call) touched(key string, w watched) bool {
	return c.version(key) != w.version || w.version == 0 && c.shard(key).absent[key].times != w.times
}

// forget ends the watch of a key; its shard is locked.
func (sh *shard) forget(key string, w watched) {
	if w.version != 0 {
		return
	}
	if a := sh.absent[key]; a.watchers > 1 {
		a.watchers--
	} else {
		delete(sh.absent, key)
	}
}

// unwatch ends all watches. No shard is locked.
func (c *Conn) unwatch() {
	for key, w := range c.watch {
		sh := &c.s.shards[c.s.shardIndex(key)]
		sh.mu.Lock()
		sh.forget(key, w)
		sh.mu.Unlock()
	}
	c.watch = nil
}

// version tells the states of a key apart; 0 is none.
func (c *call) version(key string) uint64 {
	if e := c.find(key); e != nil {
		return e.version
	}
	return 0
}

// exec carries out what was queued, under the locks of all its keys and of the watched ones.
func (c *Conn) exec() Reply {
	m := c.multi
	if m == nil {
		return Err("ERR EXEC without MULTI")
	}
	c.multi = nil
	if m.broken {
		c.unwatch()
		return Err("EXECABORT Transaction discarded because of previous errors.")
	}
	s := c.s
	var set shardSet
	write, memory := false, false
	for _, q := range m.queue {
		set = append(set, q.cmd.shards(s, q.args)...)
		write, memory = write || q.cmd.write, memory || q.cmd.memory
	}
	for key := range c.watch {
		set = append(set, s.shardIndex(key))
	}
	if memory && s.opt.MaxMemory > 0 && s.opt.Eviction == EvictNone && s.used.Load() > s.opt.MaxMemory {
		c.unwatch()
		return Err("EXECABORT Transaction discarded because of: " + errMemory.Str)
	}
	if write {
		s.snap.RLock()
		defer s.snap.RUnlock()
	}
	set = set.sorted()
	s.lock(set)
	cl := &call{s: s, conn: c, held: set, ms: s.now()}
	touched := false
	for key, w := range c.watch {
		touched = cl.touched(key, w) || touched
		cl.shard(key).forget(key, w)
	}
	c.watch = nil
	if touched {
		s.unlock(set)
		return nilReply
	}
	replies := make([]Reply, len(m.queue))
	for i, q := range m.queue {
		cl.args = q.args
		replies[i] = q.cmd.run(cl)
		cl.book()
	}
	s.unlock(set)
	if memory {
		s.evict()
	}
	return array(replies)
}

// evaluator is what EVAL runs scripts with.
type evaluator struct{ EvalFunc }

// EvalFunc runs a Lua script with its KEYS and ARGV; do carries out a command of the script. It is called with all of the
// store locked: it must not wait.
type EvalFunc func(script string, keys, args []string, do func(args []string) Reply) Reply

// SetEval gives EVAL a way to run Lua. Without it EVAL is an unknown command.
func (s *Store) SetEval(f EvalFunc) { s.eval.Store(&evaluator{f}) }

var scriptCommands = []command{
	{name: "eval", min: 3, max: -1, keys: everyKey, write: true, memory: true, run: func(c *call) Reply { return c.evalScript(c.args[1], true) }},
	{name: "evalsha", min: 3, max: -1, keys: everyKey, write: true, memory: true, run: func(c *call) Reply {
		script, known := c.s.scripts.get(c.args[1])
		if len(c.args[1]) != 2*sha1.Size {
			return errNoScript
		}
		return c.evalScript(script, known)
	}},
	{name: "script", min: 2, max: -1, check: checkScript, run: func(c *call) Reply {
		switch strings.ToLower(c.args[1]) {
		case "load":
			return bulk(c.s.scripts.add(c.args[2]))
		case "exists":
			var list []Reply
			for _, sha := range c.args[2:] {
				_, known := c.s.scripts.get(sha)
				list = append(list, boolean(known))
			}
			return array(list)
		}
		if len(c.args) > 3 || len(c.args) == 3 && !is(c.args[2], "async") && !is(c.args[2], "sync") {
			return Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		}
		c.s.scripts.clear()
		return ok
	}},
}

// checkScript checks the subcommands of SCRIPT.
func checkScript(args []string) *Reply {
	sub := strings.ToLower(args[1])
	var bad Reply
	switch {
	case sub == "load" && len(args) != 3, sub == "exists" && len(args) < 3:
		bad = errArity("script|" + sub)
	case sub != "load" && sub != "exists" && sub != "flush":
		bad = Err("ERR unknown subcommand '" + printable(clip(args[1], 128)) + "'. Try SCRIPT HELP.")
	default:
		return nil
	}
	return &bad
}

var errNoScript = Err("NOSCRIPT No matching script. Please use EVAL.")

// evalScript runs a script; known is false for a SHA-1 that stands for none.
func (c *call) evalScript(script string, known bool) Reply {
	n, good := parseInt(c.args[2])
	switch {
	case !good:
		return errInt
	case n > int64(len(c.args)-3):
		return Err("ERR Number of keys can't be greater than number of args")
	case n < 0:
		return Err("ERR Number of keys can't be negative")
	case !known:
		return errNoScript
	}
	f := c.s.eval.Load()
	if f == nil {
		return Err("ERR this store runs no scripts")
	}
	c.s.scripts.add(script)
	inner := &call{s: c.s, conn: c.conn, held: c.held, ms: c.now()}
	return f.EvalFunc(script, c.args[3:3+n], c.args[3+n:], func(args []string) Reply {
		if len(args) == 0 {
			return Err("ERR Please specify at least one argument for this redis.call() call")
		}
		cmd := commands[strings.ToLower(args[0])]
		switch {
		case cmd == nil:
			return Err("ERR Unknown Redis command called from script")
		case len(args) < cmd.min || (cmd.max >= 0 && len(args) > cmd.max):
			return Err("ERR Wrong number of args calling Redis command from script")
		case cmd.noQueue || cmd.name == "eval" || cmd.name == "evalsha" || cmd.name == "script" || cmd.name == "unwatch" || strings.HasSuffix(cmd.name, "subscribe"):
			return Err("ERR This Redis command is not allowed from script")
		}
		inner.args = args
		r := cmd.run(inner)
		inner.book()
		return r
	})
}
