package parity

import (
	"fmt"
	"regexp"
	"slices"
)

// The grammar of commands. A word in capitals stands for itself; one in small letters is a kind of argument that
// generator.word makes up. [a|b] is one of them or nothing, {a|b} one of them, <a b> both in any order, (a b)+ is one to
// four times.

// node is a part of a command's grammar.
type node struct {
	op   byte   // 'w' word, 's' sequence, '[', '{', '<', '+'
	word string // of 'w'
	subs []node
}

var tokens = regexp.MustCompile(`[\[\]{}<>()|+]|[^\s\[\]{}<>()|+]+`)

// parse reads a grammar; one that is wrong is our bug.
func parse(text string) node {
	p := &parser{text: text, toks: tokens.FindAllString(text, -1)}
	n := p.sequence()
	if len(p.toks) > 0 {
		panic(fmt.Sprintf("BUG: grammar %q: unexpected %q", text, p.toks[0]))
	}
	return n
}

type parser struct {
	text string
	toks []string
}

func (p *parser) take() string {
	if len(p.toks) == 0 {
		panic(fmt.Sprintf("BUG: grammar %q ends too early", p.text))
	}
	t := p.toks[0]
	p.toks = p.toks[1:]
	return t
}

var closing = map[string]string{"[": "]", "{": "}", "<": ">", "(": ")"}

func (p *parser) sequence() node {
	seq := node{op: 's'}
	for len(p.toks) > 0 {
		switch p.toks[0] {
		case "]", "}", ">", ")", "|":
			return seq
		}
		n := p.item()
		if len(p.toks) > 0 && p.toks[0] == "+" {
			p.take()
			n = node{op: '+', subs: []node{n}}
		}
		seq.subs = append(seq.subs, n)
	}
	return seq
}

func (p *parser) item() node {
	open := p.take()
	end, bracket := closing[open]
	if !bracket {
		return node{op: 'w', word: open}
	}
	n := node{op: open[0], subs: []node{p.sequence()}}
	for p.toks[0] == "|" {
		p.take()
		n.subs = append(n.subs, p.sequence())
	}
	if t := p.take(); t != end {
		panic(fmt.Sprintf("BUG: grammar %q: %q instead of %q", p.text, t, end))
	}
	switch open {
	case "(":
		return n.subs[0]
	case "<":
		n.subs = n.subs[0].subs
	}
	return n
}

// group is a set of commands on one type.
type group struct {
	name     string
	grammars []string
	fill     []string // what makes keys for the others
}

// typed are the groups of the types and plain those without, together every command that is compared. The same command may
// have more than one line.
var typed = []group{
	{"strings", []string{
		"GET ks",
		"SET ks v <[NX|XX] [GET] [EX ttl|PX pttl|EXAT at|PXAT pat|KEEPTTL]>",
		"SET ks v",
		"SETEX ks ttl v",
		"PSETEX ks pttl v",
		"SETNX ks v",
		"GETSET ks v",
		"GETDEL ks",
		"GETEX ks [EX ttl|PX pttl|EXAT at|PXAT pat|PERSIST]",
		"MGET k+",
		"MSET (ks v)+",
		"MSETNX (ks v)+",
		"APPEND ks v",
		"STRLEN ks",
		"GETRANGE ks idx idx",
		"SUBSTR ks idx idx",
		"SETRANGE ks off v",
		"INCR ks",
		"DECR ks",
		"INCRBY ks i",
		"DECRBY ks i",
		"INCRBYFLOAT ks fl",
		"SETBIT ks off bit",
		"GETBIT ks off",
		"BITCOUNT ks [idx idx [BYTE|BIT]]",
	}, []string{"SET ks v", "MSET (ks v)+"}},
	{"hashes", []string{
		"HSET kh (f v)+",
		"HMSET kh (f v)+",
		"HSETNX kh f v",
		"HGET kh f",
		"HMGET kh f+",
		"HGETALL kh",
		"HKEYS kh",
		"HVALS kh",
		"HLEN kh",
		"HEXISTS kh f",
		"HDEL kh f+",
		"HINCRBY kh f i",
		"HINCRBYFLOAT kh f fl",
		"HSTRLEN kh f",
		"HRANDFIELD kh [rcnt [WITHVALUES]]",
		"HSCAN kh cur <[MATCH glob] [COUNT cnt]>",
	}, []string{"HSET kh (f v)+", "HSET kh f v f v f v"}},
	{"lists", []string{
		"LPUSH kl m+",
		"RPUSH kl m+",
		"LPUSHX kl m+",
		"RPUSHX kl m+",
		"LPOP kl [cnt]",
		"RPOP kl [cnt]",
		"LLEN kl",
		"LRANGE kl idx idx",
		"LINDEX kl idx",
		"LSET kl idx m",
		"LINSERT kl {BEFORE|AFTER} m m",
		"LREM kl idx m",
		"LTRIM kl idx idx",
		"LPOS kl m <[RANK idx] [COUNT cnt] [MAXLEN cnt]>",
		"LMOVE kl kl {LEFT|RIGHT} {LEFT|RIGHT}",
		"RPOPLPUSH kl kl",
		"LMPOP nkl {LEFT|RIGHT} [COUNT cnt]",
	}, []string{"RPUSH kl m m m m+", "LPUSH kl m m m+"}},
	{"sets", []string{
		"SADD kt m+",
		"SREM kt m+",
		"SMEMBERS kt",
		"SISMEMBER kt m",
		"SMISMEMBER kt m+",
		"SCARD kt",
		"SPOP kt [cnt]",
		"SRANDMEMBER kt [rcnt]",
		"SMOVE kt kt m",
		"SINTER kt+",
		"SUNION kt+",
		"SDIFF kt+",
		"SINTERSTORE kt kt+",
		"SUNIONSTORE kt kt+",
		"SDIFFSTORE kt kt+",
		"SINTERCARD nkt [LIMIT cnt]",
		"SSCAN kt cur <[MATCH glob] [COUNT cnt]>",
	}, []string{"SADD kt m m m+", "SADD kt m m m m m m+"}},
	{"zsets", []string{
		"ZADD kz (sc m)+",
		"ZADD kz <[NX|XX] [GT|LT] [CH]> (sc m)+",
		"ZADD kz <[XX] [CH] [GT|LT]> INCR sc m",
		"ZINCRBY kz sc m",
		"ZREM kz m+",
		"ZSCORE kz m",
		"ZMSCORE kz m+",
		"ZCARD kz",
		"ZCOUNT kz min max",
		"ZLEXCOUNT ky lmin lmax",
		"ZRANK kz m",
		"ZREVRANK kz m",
		"ZRANGE kz idx idx <[REV] [WITHSCORES]>",
		"ZRANGE kz min max <BYSCORE [LIMIT idx idx] [WITHSCORES]>",
		"ZRANGE kz max min <BYSCORE REV [LIMIT idx idx] [WITHSCORES]>",
		"ZRANGE ky lmin lmax <BYLEX [LIMIT idx idx]>",
		"ZRANGE ky lmax lmin <BYLEX REV [LIMIT idx idx]>",
		"ZRANGESTORE kz kz idx idx [REV]",
		"ZRANGESTORE kz kz {min max BYSCORE|max min BYSCORE REV} [LIMIT idx idx]",
		"ZRANGESTORE ky ky {lmin lmax BYLEX|lmax lmin BYLEX REV} [LIMIT idx idx]",
		"ZREVRANGE kz idx idx [WITHSCORES]",
		"ZRANGEBYSCORE kz min max <[WITHSCORES] [LIMIT idx idx]>",
		"ZREVRANGEBYSCORE kz max min <[WITHSCORES] [LIMIT idx idx]>",
		"ZRANGEBYLEX ky lmin lmax [LIMIT idx idx]",
		"ZREVRANGEBYLEX ky lmax lmin [LIMIT idx idx]",
		"ZREMRANGEBYRANK kz idx idx",
		"ZREMRANGEBYSCORE kz min max",
		"ZREMRANGEBYLEX ky lmin lmax",
		"ZPOPMIN kz [cnt]",
		"ZPOPMAX kz [cnt]",
		"ZUNIONSTORE kz nkz <[WEIGHTS sc sc] [AGGREGATE agg]>",
		"ZINTERSTORE kz nkz <[WEIGHTS sc sc] [AGGREGATE agg]>",
		"ZUNIONSTORE kz nkz [AGGREGATE agg]",
		"ZINTERSTORE kz nkz [AGGREGATE agg]",
		"ZDIFFSTORE kz nkz",
		"ZUNION nkz <[WEIGHTS sc sc] [AGGREGATE agg] [WITHSCORES]>",
		"ZINTER nkz <[AGGREGATE agg] [WITHSCORES]>",
		"ZDIFF nkz [WITHSCORES]",
		"ZINTERCARD nkz [LIMIT cnt]",
		"ZRANDMEMBER kz [rcnt [WITHSCORES]]",
		"ZSCAN kz cur <[MATCH glob] [COUNT cnt]>",
		"ZMPOP nkz {MIN|MAX} [COUNT cnt]",
	}, []string{"ZADD kz sc m sc m sc m (sc m)+", "ZADD kz (sc m)+", "ZADD ky 0 m 0 m 0 m (0 m)+"}},
	{"hyperloglogs", []string{
		"PFADD kp [m+]",
		"PFADD kp m m m",
		"PFCOUNT kp+",
		"PFMERGE kp [kp+]",
	}, []string{"PFADD kp m+", "PFADD kp m m m m+"}},
	{"streams", []string{
		"XADD kx id (f v)+",
		"XADD kx [NOMKSTREAM] [MAXLEN [=|~] cnt [LIMIT cnt]|MINID [=|~] id [LIMIT cnt]] id (f v)+",
		"XLEN kx",
		"XRANGE kx xmin xmax [COUNT cnt]",
		"XREVRANGE kx xmax xmin [COUNT cnt]",
		"XDEL kx id+",
		"XTRIM kx {MAXLEN [=|~] cnt|MINID [=|~] id} [LIMIT cnt]",
		"XREAD [COUNT cnt] STREAMS kx xid",
		"XREAD [COUNT cnt] STREAMS kx kx xid xid",
	}, []string{"XADD kx 0-1 f v", "XADD kx 1-* f v", "XADD kx 5-1 (f v)+", "XADD kx id (f v)+"}},
}

var plain = []group{
	{"keys", []string{
		"DEL k+",
		"UNLINK k+",
		"EXISTS k+",
		"TYPE k",
		"EXPIRE k ttl <[NX] [XX]>",
		"EXPIRE k ttl [NX|XX|GT|LT]",
		"PEXPIRE k pttl [NX|XX|GT|LT]",
		"EXPIREAT k at [NX|XX|GT|LT]",
		"PEXPIREAT k pat <[XX] [GT|LT]>",
		"TTL k",
		"PTTL k",
		"EXPIRETIME k",
		"PEXPIRETIME k",
		"PERSIST k",
		"RENAME k k",
		"RENAMENX k k",
		"COPY k k <[DB {0|db}] [REPLACE]>",
		"KEYS glob",
		"SCAN cur <[MATCH glob] [COUNT cnt] [TYPE typ]>",
		"RANDOMKEY",
		"TOUCH k+",
		"DBSIZE",
	}, []string{"EXPIRE k ttl"}},
	{"transactions", []string{
		"MULTI",
		"EXEC",
		"DISCARD",
		"WATCH k+",
		"UNWATCH",
	}, nil},
	{"connection", []string{
		"PING [v]",
		"ECHO v",
		"TIME",
		"SELECT {0|db}",
		"PUBLISH f v",
		"FLUSHDB [ASYNC|SYNC]",
		"FLUSHALL [ASYNC|SYNC]",
	}, nil},
}

// scripting is the group that only a store opened with scripts has.
var scripting = group{"scripting", []string{
	"EVAL script 1 k [v]",
	"EVAL script nk [v]",
	"EVALSHA sha 1 k [v]",
	"SCRIPT LOAD script",
	"SCRIPT EXISTS sha+",
	"SCRIPT FLUSH [ASYNC|SYNC]",
}, nil}

// groups returns all groups.
func groups(scripts bool) []group {
	all := slices.Concat(typed, plain)
	if scripts {
		all = append(all, scripting)
	}
	return all
}

// large makes values leave the small encodings of Redis (128 entries, 512 integers, 100 entries of a stream's node).
var large = []string{
	"SET ks huge",
	"HSET kh many2",
	"RPUSH kl many1",
	"SADD kt many1",
	"SADD kt manyint",
	"ZADD kz many2",
	"PFADD kp many1",
	"PFADD kp manyint",
}
