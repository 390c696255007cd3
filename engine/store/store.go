// Package store is the embedded store: a key space with Redis's commands, in process, shared by all workers.
//
// Scripts that talk to Redis find it answering when config.lua names no server. A command is a Go call: an INCR costs a
// map look-up under the lock of one of 512 shards (0.1 us) where a server costs a round trip (17 to 32 us).
//
// # Why not an existing one
//
// miniredis v2.40, the one in-process Redis to be had in Go, was measured: 0.3 us per INCR called directly, but behind one
// global lock; no persistence; no memory bound; time to live does not elapse by itself, and with the clock switched on every
// command scans all keys (11 INCR/s at 50,000 keys); ZRANK sorts the set at every call (15.9 ms at 100,000 members). It is
// made for tests, not for state. Sorted sets here are skip lists with spans: BenchmarkZRank. The commands are checked, reply
// for reply, against redis-server 7.0.15 in test/parity.
//
// # Keys, locks, transactions
//
// A key belongs to one of 512 shards by its hash. A command locks the shards of its keys, in ascending order; MULTI/EXEC
// locks those of all its keys, a script (EVAL) and FLUSHALL all of them. So each command and each transaction is atomic, and
// commands on different keys hardly ever meet.
//
// # Memory
//
// Each value knows its approximate size. Above MaxMemory the key that was not used for the longest time goes, of a sample
// (EvictLRU), or commands that need memory fail as Redis's do (EvictNone). Evicted keys are counted.
//
// # On disk
//
// Every SaveEvery the shards that changed are encoded one after the other, each under its lock, and written to a new file,
// synced, that takes the old one's place; see save.go. A key is never torn, nor is a transaction. After a kill the store is at
// most that interval old. A damaged file is moved aside and reported, and the store starts empty.
package store

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// shardCount is how many parts the key space has: many, so that workers on different keys seldom touch the same cache line.
const shardCount = 512

// shardSet are shards in ascending order, each once.
type shardSet []uint16

// everyShard are all of them.
var everyShard = func() shardSet {
	set := make(shardSet, shardCount)
	for i := range set {
		set[i] = uint16(i)
	}
	return set
}()

func (s shardSet) has(i uint16) bool {
	if len(s) == 1 {
		return s[0] == i
	}
	_, found := slices.BinarySearch(s, i)
	return found
}

// maxString is the longest string in bytes that a command makes: Redis's proto-max-bulk-len.
const maxString = 512 << 20

// Eviction says what happens above MaxMemory.
type Eviction uint8

// The kinds of eviction.
const (
	EvictLRU  Eviction = iota // the least recently used key of a sample goes
	EvictNone                 // commands that need memory fail: "OOM command not allowed ..."
)

// Options of a Store; the zero value is a store in memory without a bound.
type Options struct {
	File      string        // snapshot; "" is none. Its directory must exist
	SaveEvery time.Duration // 0: only Save and Close save
	MaxMemory int64         // bytes, approximate; 0 is no bound
	Eviction  Eviction
	Log       *slog.Logger     // nil is none
	Now       func() time.Time // nil is time.Now
}

// Store is a key space. Its methods are safe for all goroutines; commands go through a Conn.
type Store struct {
	opt    Options
	seed   maphash.Seed
	shards [shardCount]shard

	used     atomic.Int64  // approximate bytes of all keys and values
	clock    atomic.Uint32 // seconds since the start, for EvictLRU
	versions atomic.Uint64 // of changes over several shards
	evicted  atomic.Uint64
	expired  atomic.Uint64
	hand     atomic.Uint32 // the shard that eviction looks at next

	snap sync.RWMutex // held for reading by commands that change more than one shard, for writing by a snapshot

	file    *saver
	pubsub  pubsub
	scripts scriptCache
	eval    atomic.Pointer[evaluator]
	quit    chan struct{}
	wg      sync.WaitGroup
	closed  sync.Once
}

// shard is a part of the key space with its own lock.
type shard struct {
	mu      sync.Mutex
	keys    map[string]*entry
	expires map[string]*entry   // those with a time to live: what the sweeper samples
	writes  uint64              // changes so far: tells a snapshot what is new
	absent  map[string]*absence // missing keys that are watched
	_       [24]byte            // a cache line each
}

// entry is a key's value and what goes with it.
type entry struct {
	val     value
	expire  int64  // Unix milliseconds; 0 is never
	version uint64 // of the last change; WATCH compares it
	size    int64  // as counted in Store.used
	used    uint32 // clock of the last use
	keyLen  uint32
}

// value is one of *text, *hash, *list, *set, *zset, *hll, *stream, *model.
type value interface {
	typeName() string // as TYPE says
	bytes() int64     // approximate memory
}

// Open returns a store, with the content of o.File if there is one. A damaged file is kept under another name, logged, and
// the store is empty.
func Open(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{opt: o, seed: maphash.MakeSeed(), quit: make(chan struct{})}
	for i := range s.shards {
		s.shards[i].keys, s.shards[i].expires = map[string]*entry{}, map[string]*entry{}
	}
	s.pubsub.channels = map[string]map[*Conn]struct{}{}
	s.pubsub.patterns = map[string]map[*Conn]struct{}{}
	if o.File != "" {
		s.file = &saver{path: o.File}
		if err := s.load(); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	s.wg.Go(s.run)
	return s, nil
}

// Close saves the store if it has a file and ends what runs in the background.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		close(s.quit)
		s.wg.Wait()
		if s.file != nil {
			err = s.Save()
		}
	})
	return err
}

// tellEvery is how often a fault of saving that stays is logged.
const tellEvery = time.Minute

// run keeps the clock, drops what has expired and saves.
func (s *Store) run() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var save <-chan time.Time
	if s.file != nil && s.opt.SaveEvery > 0 {
		t := time.NewTicker(s.opt.SaveEvery)
		defer t.Stop()
		save = t.C
	}
	start := time.Now()
	var told time.Time // when a fault of saving was logged last
	for {
		select {
		case <-s.quit:
			return
		case now := <-tick.C:
			s.clock.Store(uint32(now.Sub(start) / time.Second))
			s.sweep()
		case <-save:
			err := s.Save()
			switch {
			case err != nil && time.Since(told) >= tellEvery:
				told = time.Now()
				s.opt.Log.Error("the store could not be saved; the last snapshot stays and saving is tried again",
					"error", err, "again_in", s.opt.SaveEvery.String())
			case err == nil && !told.IsZero():
				told = time.Time{}
				s.opt.Log.Info("the store is saved again", "file", s.opt.File)
			}
		}
	}
}

// Stats are figures of a store.
type Stats struct {
	Keys    int
	Expires int   // keys with a time to live
	Memory  int64 // approximate bytes
	Evicted uint64
	Expired uint64
	Saves   uint64
	// SaveErrors counts snapshots that could not be written; LastSave is the time of the last one that was.
	SaveErrors uint64
	LastSave   time.Time
}

// Stats returns the current figures.
func (s *Store) Stats() Stats {
	st := Stats{Memory: s.used.Load(), Evicted: s.evicted.Load(), Expired: s.expired.Load()}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.Keys += len(sh.keys)
		st.Expires += len(sh.expires)
		sh.mu.Unlock()
	}
	if s.file != nil {
		st.Saves, st.SaveErrors = s.file.saves.Load(), s.file.errors.Load()
		if ns := s.file.last.Load(); ns != 0 {
			st.LastSave = time.Unix(0, ns)
		}
	}
	return st
}

func (s *Store) shardIndex(key string) uint16 {
	return uint16(maphash.String(s.seed, key) % shardCount)
}

func (s *Store) now() int64 { return s.opt.Now().UnixMilli() }

// lock locks the shards of set, in ascending order.
func (s *Store) lock(set shardSet) {
	for _, i := range set {
		s.shards[i].mu.Lock()
	}
}

func (s *Store) unlock(set shardSet) {
	for _, i := range set {
		s.shards[i].mu.Unlock()
	}
}

// Conn is what one user of the store holds: the state of MULTI, WATCH and subscriptions. It is for one goroutine at a time.
type Conn struct {
	_     [64]byte
	s     *Store
	c     call
	multi *multi
	watch map[string]watched
	subs  *subscriber // of a client of Serve
	name  string
}

// Conn returns a new Conn.
func (s *Store) Conn() *Conn { return &Conn{s: s} }

// call is one command being carried out.
type call struct {
	s     *Store
	conn  *Conn
	args  []string // with the command's name
	ms    int64    // the time, once asked for
	held  shardSet // shards that are locked
	one   [1]uint16
	dirty []*entry // changed by this command
}

// Do carries out one command: its name (in any case) and its arguments. It keeps neither args nor, but for what it stores,
// the strings in it.
func (c *Conn) Do(args []string) Reply {
	if len(args) == 0 {
		return Err("ERR empty command")
	}
	cmd := commands[args[0]]
	if cmd == nil {
		if cmd = commands[strings.ToLower(args[0])]; cmd == nil {
			c.spoil()
			return unknownCommand(args)
		}
	}
	if len(args) < cmd.min || (cmd.max >= 0 && len(args) > cmd.max) {
		c.spoil()
		if cmd.name == "exec" {
			c.multi = nil
			c.unwatch()
			return Err("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
		}
		return errArity(cmd.name)
	}
	if cmd.check != nil {
		if bad := cmd.check(args); bad != nil {
			c.spoil()
			return *bad
		}
	}
	if c.multi != nil && !cmd.noQueue {
		return c.enqueue(cmd, args)
	}
	return c.run(cmd, args)
}

func unknownCommand(args []string) Reply {
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= 128 {
			break
		}
		b.WriteString("'" + clip(a, 128-b.Len()) + "' ")
	}
	return Err(printable("ERR unknown command '" + clip(args[0], 128) + "', with args beginning with: " + b.String()))
}

// printable is text of a client as it may stand in an error: up to a NUL, on one line.
func printable(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
}

func clip(s string, n int) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	if len(s) > n {
		return s[:max(n, 0)]
	}
	return s
}

// run locks what cmd needs, carries it out and books what it changed.
func (c *Conn) run(cmd *command, args []string) Reply {
	s := c.s
	if cmd.memory && s.opt.MaxMemory > 0 && s.opt.Eviction == EvictNone && s.used.Load() > s.opt.MaxMemory {
		return errMemory
	}
	cl := &c.c
	cl.s, cl.conn, cl.args, cl.ms, cl.dirty = s, c, args, 0, cl.dirty[:0]
	if cmd.first == 1 && cmd.last == 1 { // one key: what nearly every command is
		i := s.shardIndex(args[1])
		cl.one[0] = i
		cl.held = cl.one[:]
		sh := &s.shards[i]
		sh.mu.Lock()
		r := cmd.run(cl)
		cl.book()
		sh.mu.Unlock()
		cl.args, cl.held = nil, nil
		if cmd.memory {
			s.evict()
		}
		return r
	}
	set := cmd.shards(s, args)
	several := cmd.write && len(set) > 1
	if several {
		s.snap.RLock()
	}
	s.lock(set)
	cl.held = set
	r := cmd.run(cl)
	cl.book()
	s.unlock(set)
	if several {
		s.snap.RUnlock()
	}
	cl.args, cl.held = nil, nil
	if cmd.memory {
		s.evict()
	}
	return r
}

// shard returns the shard of key, which the command has locked.
func (c *call) shard(key string) *shard {
	i := c.s.shardIndex(key)
	if !c.held.has(i) {
		panic("store: a command touched a key that it did not lock: " + c.args[0])
	}
	return &c.s.shards[i]
}

// now returns the time of the command in Unix milliseconds.
func (c *call) now() int64 {
	if c.ms == 0 {
		c.ms = c.s.now()
	}
	return c.ms
}

// find returns the entry of key; nil if there is none or its time is over.
func (c *call) find(key string) *entry {
	sh := c.shard(key)
	e := sh.keys[key]
	if e == nil {
		return nil
	}
	if e.expire != 0 && e.expire <= c.now() {
		c.s.drop(sh, key, e)
		c.s.expired.Add(1)
		return nil
	}
	e.used = c.s.clock.Load()
	return e
}

// drop removes an entry from its shard, which is locked.
func (s *Store) drop(sh *shard, key string, e *entry) {
	delete(sh.keys, key)
	if e.expire != 0 {
		delete(sh.expires, key)
	}
	if a := sh.absent[key]; a != nil {
		a.times++
	}
	sh.writes++
	s.used.Add(-e.size)
	e.size = 0
	e.val = nil // a later book in the same command does nothing
}

// typed returns the value of key as a T; all zero if there is no such key, an error reply if it is something else.
func typed[T value](c *call, key string) (v T, e *entry, bad *Reply) {
	e = c.find(key)
	if e == nil {
		return v, nil, nil
	}
	v, is := e.val.(T)
	if !is {
		return v, nil, &wrongType
	}
	return v, e, nil
}

// changed notes that e's value was changed by this command.
func (c *call) changed(e *entry) { c.dirty = append(c.dirty, e) }

// put makes v the value of key, without a time to live.
func (c *call) put(key string, v value) *entry {
	sh := c.shard(key)
	e := sh.keys[key]
	if e == nil {
		if t, isText := v.(*text); isText { // one piece of memory, so one or two cache lines
			both := &struct {
				e entry
				t text
			}{t: *t}
			e, v = &both.e, &both.t
		} else {
			e = &entry{}
		}
		e.val, e.used, e.keyLen = v, c.s.clock.Load(), uint32(len(key))
		sh.keys[strings.Clone(key)] = e
	} else {
		if e.expire != 0 {
			delete(sh.expires, key)
			e.expire = 0
		}
		e.val = v
	}
	c.changed(e)
	return e
}

// del removes key.
func (c *call) del(key string) bool {
	e := c.find(key)
	if e == nil {
		return false
	}
	c.s.drop(c.shard(key), key, e)
	return true
}

// setExpire gives key an end in Unix milliseconds; 0 is none.
func (c *call) setExpire(key string, e *entry, at int64) {
	sh := c.shard(key)
	e.expire = at
	if at == 0 {
		delete(sh.expires, key)
	} else {
		sh.expires[key] = e
	}
	c.changed(e)
}

// entryBytes is the overhead of a key: its entry, its places in the maps and what Go adds.
const entryBytes = 120

// book counts the changes of the command: memory, versions, what a snapshot must save.
func (c *call) book() {
	if len(c.dirty) == 0 {
		return
	}
	var v uint64
	for _, i := range c.held {
		sh := &c.s.shards[i]
		sh.writes++
		v = sh.writes
	}
	if len(c.held) > 1 {
		v = c.s.versions.Add(1) | 1<<63
	}
	var delta int64
	for i, e := range c.dirty {
		if e.val != nil {
			size := e.val.bytes() + entryBytes + int64(e.keyLen)
			delta += size - e.size
			e.size, e.version = size, v
		}
		c.dirty[i] = nil
	}
	c.dirty = c.dirty[:0]
	if delta != 0 {
		c.s.used.Add(delta)
	}
}

// evict removes keys until the store is below its bound.
func (s *Store) evict() {
	limit := s.opt.MaxMemory
	if limit <= 0 || s.opt.Eviction != EvictLRU || s.used.Load() <= limit {
		return
	}
	for empty := 0; s.used.Load() > limit && empty < shardCount; {
		sh := &s.shards[s.hand.Add(1)%shardCount]
		sh.mu.Lock()
		var oldest string
		var victim *entry
		n := 0
		for key, e := range sh.keys {
			if victim == nil || e.used < victim.used {
				oldest, victim = key, e
			}
			if n++; n == evictSample {
				break
			}
		}
		if victim != nil {
			s.drop(sh, oldest, victim)
			if s.evicted.Add(1) == 1 {
				s.opt.Log.Warn("the store is full: the keys that were not used for the longest time go (counted in dragonfly_store_evicted_total)",
					"store_max_memory", limit, "remedy", "raise store_max_memory, or let scripts set a time to live (EXPIRE, SETEX)")
			}
			empty = 0
		} else {
			empty++
		}
		sh.mu.Unlock()
	}
}

// evictSample is how many keys eviction compares.
const evictSample = 16

// sweep removes keys whose time is over: of each shard a sample, again while a quarter of the sample was.
func (s *Store) sweep() {
	now := s.now()
	for i := range s.shards {
		sh := &s.shards[i]
		for again := true; again; {
			sh.mu.Lock()
			seen, gone := 0, 0
			for key, e := range sh.expires {
				if e.expire <= now {
					s.drop(sh, key, e)
					gone++
				}
				if seen++; seen == 64 {
					break
				}
			}
			sh.mu.Unlock()
			s.expired.Add(uint64(gone))
			again = gone*4 > seen
		}
	}
}
