package store

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// version is the Redis whose commands these are: what INFO tells clients.
const version = "7.0.15"

var connCommands = []command{
	{name: "ping", min: 1, max: -1, run: func(c *call) Reply {
		if len(c.args) > 2 {
			return errArity("ping")
		}
		if len(c.args) == 2 {
			return bulk(strings.Clone(c.args[1]))
		}
		return status("PONG")
	}},
	{name: "echo", min: 2, max: 2, run: func(c *call) Reply { return bulk(strings.Clone(c.args[1])) }},
	{name: "select", min: 2, max: 2, run: func(c *call) Reply {
		n, good := parseInt(c.args[1])
		if !good {
			return errInt
		}
		if n < math.MinInt32 || n > math.MaxInt32 {
			return errInt32
		}
		if n != 0 {
			return Err("ERR DB index is out of range")
		}
		return ok
	}},
	{name: "auth", min: 2, max: 3, run: func(c *call) Reply {
		return Err("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	}},
	{name: "time", min: 1, max: 1, run: func(c *call) Reply {
		us := c.s.opt.Now().UnixMicro()
		return array([]Reply{bulk(strconv.FormatInt(us/1e6, 10)), bulk(strconv.FormatInt(us%1e6, 10))})
	}},
	{name: "quit", min: 1, max: -1, noQueue: true, run: func(c *call) Reply { return ok }},
	{name: "reset", min: 1, max: 1, noQueue: true, run: func(c *call) Reply {
		c.conn.unwatch()
		c.conn.multi, c.conn.name = nil, ""
		return status("RESET")
	}},
	{name: "publish", min: 3, max: 3, run: func(c *call) Reply {
		return integer(int64(c.s.pubsub.publish(strings.Clone(c.args[1]), strings.Clone(c.args[2]))))
	}},
	{name: "subscribe", min: 2, max: -1, noQueue: true, run: func(c *call) Reply { return c.subscribe(false) }},
	{name: "psubscribe", min: 2, max: -1, noQueue: true, run: func(c *call) Reply { return c.subscribe(true) }},
	{name: "unsubscribe", min: 1, max: -1, noQueue: true, run: func(c *call) Reply { return c.unsubscribe(false) }},
	{name: "punsubscribe", min: 1, max: -1, noQueue: true, run: func(c *call) Reply { return c.unsubscribe(true) }},
	{name: "client", min: 2, max: -1, run: func(c *call) Reply {
		switch strings.ToLower(c.args[1]) {
		case "setname":
			if len(c.args) != 3 {
				return errArity("client|setname")
			}
			c.conn.name = strings.Clone(c.args[2])
		case "getname":
			if c.conn.name == "" {
				return nilReply
			}
			return bulk(c.conn.name)
		case "id":
			return integer(1)
		}
		return ok
	}},
	{name: "command", min: 1, max: -1, run: func(c *call) Reply {
		if len(c.args) > 1 && is(c.args[1], "count") {
			return integer(int64(len(commands) / 2))
		}
		return emptyArray()
	}},
	{name: "config", min: 2, max: -1, run: func(c *call) Reply {
		if !is(c.args[1], "get") {
			return Err("ERR the embedded store is configured in config.lua (store_max_memory, store_save_interval, store_eviction)")
		}
		list := []Reply{}
		settings := [][2]string{{"maxmemory", strconv.FormatInt(c.s.opt.MaxMemory, 10)},
			{"maxmemory-policy", [...]string{"allkeys-lru", "noeviction"}[c.s.opt.Eviction]},
			{"appendonly", "no"}, {"save", ""}, {"databases", "1"}}
		for _, kv := range settings {
			for _, pattern := range c.args[2:] {
				if match(strings.ToLower(pattern), kv[0]) {
					list = append(list, bulk(kv[0]), bulk(kv[1]))
					break
				}
			}
		}
		return array(list)
	}},
	{name: "info", min: 1, max: -1, keys: everyKey, run: func(c *call) Reply {
		keys, expires := 0, 0
		for i := range c.s.shards {
			keys += len(c.s.shards[i].keys)
			expires += len(c.s.shards[i].expires)
		}
		return bulk(fmt.Sprintf("# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\nserver_name:dragonfly embedded store\r\n"+
			"# Memory\r\nused_memory:%d\r\nmaxmemory:%d\r\n# Stats\r\nexpired_keys:%d\r\nevicted_keys:%d\r\n# Keyspace\r\ndb0:keys=%d,expires=%d,avg_ttl=0\r\n",
			version, c.s.used.Load(), c.s.opt.MaxMemory, c.s.expired.Load(), c.s.evicted.Load(), keys, expires))
	}},
	{name: "memory", min: 3, max: -1, keys: func(args []string) ([]string, bool) { return args[2:3], false }, run: func(c *call) Reply {
		if !is(c.args[1], "usage") {
			return Err("ERR unknown subcommand '" + clip(c.args[1], 128) + "'. Try MEMORY USAGE key.")
		}
		if e := c.find(c.args[2]); e != nil {
			return integer(e.size)
		}
		return nilReply
	}},
	{name: "save", min: 1, max: 1, noQueue: true, run: func(c *call) Reply {
		if c.s.file == nil {
			return Err("ERR this store is not saved")
		}
		if err := c.s.Save(); err != nil {
			return Err("ERR " + err.Error())
		}
		return ok
	}},
}

// pubsub are the subscriptions of Serve's clients.
type pubsub struct {
	mu       sync.Mutex
	channels map[string]map[*Conn]struct{}
	patterns map[string]map[*Conn]struct{}
}

// subscriber is a client that may subscribe: push sends it a message and must not wait.
type subscriber struct {
	push  func(Reply)
	names map[string]bool // channel, or "\x00" and pattern
}

// publish returns how many clients got the message.
func (p *pubsub) publish(channel, message string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.channels[channel] {
		c.subs.push(array([]Reply{bulk("message"), bulk(channel), bulk(message)}))
		n++
	}
	for pattern, clients := range p.patterns {
		if match(pattern, channel) {
			for c := range clients {
				c.subs.push(array([]Reply{bulk("pmessage"), bulk(pattern), bulk(channel), bulk(message)}))
				n++
			}
		}
	}
	return n
}

func (p *pubsub) of(pattern bool) map[string]map[*Conn]struct{} {
	if pattern {
		return p.patterns
	}
	return p.channels
}

func subscription(name string, pattern bool) string {
	if pattern {
		return "\x00" + name
	}
	return name
}

// several is the reply to a command that has one reply per argument.
const several Kind = 255

func (c *call) subscribe(pattern bool) Reply {
	conn := c.conn
	if conn.subs == nil {
		return Err("ERR only a client of store_listen can subscribe; a script publishes")
	}
	p := &c.s.pubsub
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Reply{Kind: several}
	for _, a := range c.args[1:] {
		name := strings.Clone(a)
		all := p.of(pattern)
		if all[name] == nil {
			all[name] = map[*Conn]struct{}{}
		}
		all[name][conn] = struct{}{}
		conn.subs.names[subscription(name, pattern)] = true
		r.Elems = append(r.Elems, array([]Reply{bulk(strings.ToLower(c.args[0])), bulk(name), integer(int64(len(conn.subs.names)))}))
	}
	return r
}

func (c *call) unsubscribe(pattern bool) Reply {
	conn := c.conn
	if conn.subs == nil {
		return Err("ERR only a client of store_listen can subscribe; a script publishes")
	}
	names := c.args[1:]
	if len(names) == 0 {
		for n := range conn.subs.names {
			if strings.HasPrefix(n, "\x00") == pattern {
				names = append(names, strings.TrimPrefix(n, "\x00"))
			}
		}
	}
	r := Reply{Kind: several}
	for _, name := range names {
		c.s.pubsub.remove(conn, name, pattern)
		r.Elems = append(r.Elems, array([]Reply{bulk(strings.ToLower(c.args[0])), bulk(name), integer(int64(len(conn.subs.names)))}))
	}
	if len(names) == 0 {
		r.Elems = []Reply{array([]Reply{bulk(strings.ToLower(c.args[0])), nilReply, integer(int64(len(conn.subs.names)))})}
	}
	return r
}

func (p *pubsub) remove(conn *Conn, name string, pattern bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.of(pattern)
	delete(all[name], conn)
	if len(all[name]) == 0 {
		delete(all, name)
	}
	delete(conn.subs.names, subscription(name, pattern))
}

// leave ends all watches and subscriptions of a client that goes.
func (c *Conn) leave() {
	c.unwatch()
	if c.subs == nil {
		return
	}
	for name := range c.subs.names {
		c.s.pubsub.remove(c, strings.TrimPrefix(name, "\x00"), strings.HasPrefix(name, "\x00"))
	}
}

// scripts are those that EVALSHA knows by their SHA-1.
type scriptCache struct {
	mu   sync.Mutex
	text map[string]string
}

// scriptsMax bounds the cache: who makes a new script for each event does it wrong, but does not fill the memory.
const scriptsMax = 10000

func (s *scriptCache) get(sha string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, known := s.text[strings.ToLower(sha)]
	return text, known
}

func (s *scriptCache) add(script string) string {
	sha := sha1Hex(script)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || len(s.text) >= scriptsMax {
		s.text = map[string]string{}
	}
	if _, known := s.text[sha]; !known {
		s.text[sha] = strings.Clone(script)
	}
	return sha
}

func (s *scriptCache) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = nil
}

func sha1Hex(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
