package parity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// table holds calls by hand: the edges of each command. A line is a command as redis-cli takes it; "..." is a string with
// Go's escapes. "# name" begins a part, which finds an empty store. "other:" is a second connection. "times N:" repeats a
// command with $i from 1 to N. Neither time nor chance decides about a reply here; what does is in the other tests.
const table = `
# SET and its options
SET a 1
SET a 2 NX
SET a 3 XX
SET b 3 XX
GET b
SET a 4 NX GET
SET a 5 GET
SET c 5 GET
SET c 6 XX GET
SET d 6 XX GET
EXISTS d
SET a 1 NX XX
SET a 1 EX 10 PX 10
SET a 1 EX 0
SET a 1 EX -1
SET a 1 PX 0
SET a 1 EX 9223372036854775807
SET a 1 EX 9223372036854775
SET a 1 PX 9223372036854775807
SET a 1 EX abc
SET a 1 EX
SET a 1 KEEPTTL EX 10
SET a 1 EXAT 1
GET a
SET a 1 PXAT 1
EXISTS a
SET a 1 EXAT 4102444800
EXPIRETIME a
SET a 2 KEEPTTL
EXPIRETIME a
SET a 3
EXPIRETIME a
set a lower ex 100
TTL a
SET a 1 FOO
SET a 1 PX 100000 PX 200000
SET a 1 NX NX GET GET XX
SET a 1 XX XX GET GET KEEPTTL KEEPTTL
GETEX a PX 100000 PX x
SET a
SET
SET "" ""
GET ""
STRLEN ""
SET "k\x00\r\n" "v\x00\xff"
GET "k\x00\r\n"
KEYS *
RPUSH l x
SET l 1 GET
SET l 1 NX GET
TYPE l
SET l 1
TYPE l
SETEX a 0 v
SETEX a -1 v
SETEX a 9223372036854775807 v
SETEX a 1.5 v
PSETEX a 0 v
PSETEX a 10000000 v
SETNX a v
SETNX new v
GETSET a w
GETSET none w
GETDEL none
GETDEL missing
HSET h f v
GETSET h w
GETDEL h
GETEX h
SETNX h v
# GETEX
SET a v
GETEX a EX 100
TTL a
GETEX a PERSIST
TTL a
GETEX a PX 100000
GETEX a EXAT 4102444800
EXPIRETIME a
GETEX a PXAT 4102444800123
PEXPIRETIME a
GETEX a
PEXPIRETIME a
GETEX a EX 0
GETEX a EX 10 PERSIST
GETEX a PERSIST PERSIST
GETEX a KEEPTTL
GETEX a EX
GETEX a NX
GETEX a EXAT 1
EXISTS a
GETEX missing EX 100
GETEX missing EX abc
# integers
SET n 9223372036854775806
INCR n
INCR n
INCRBY n 1
DECR n
SET n -9223372036854775807
DECR n
DECR n
DECRBY n 1
DECRBY n -9223372036854775808
INCRBY n -9223372036854775808
INCRBY n 9223372036854775807
INCRBY n 9223372036854775808
INCRBY n +1
INCRBY n 01
INCRBY n " 1"
INCRBY n ""
INCRBY n 1.0
INCRBY n 1e3
SET s " 1"
INCR s
SET s 01
INCR s
SET s ""
INCR s
SET s -0
INCR s
SET s 1x
INCR s
SET s 00
DECRBY s 1
INCR fresh
DECR fresh2
INCRBY fresh3 -5
TYPE fresh
APPEND fresh 0
INCR fresh
GETRANGE fresh 0 0
SETRANGE fresh 0 9
INCR fresh
# floats
INCRBYFLOAT f 0.1
INCRBYFLOAT f 0.2
INCRBYFLOAT f -0.3
INCRBYFLOAT f 3.0e3
INCRBYFLOAT f 1e308
INCRBYFLOAT f -1e308
INCRBYFLOAT f inf
INCRBYFLOAT f -inf
INCRBYFLOAT f nan
INCRBYFLOAT f 0x10
INCRBYFLOAT f 0x1p-3
INCRBYFLOAT f " 1"
INCRBYFLOAT f "1 "
INCRBYFLOAT f ""
INCRBYFLOAT f 1e5000
INCRBYFLOAT f 1e-5000
INCRBYFLOAT f 1e-20
INCRBYFLOAT f 1p3
INCRBYFLOAT f 0b1
INCRBYFLOAT f 1_0
SET g 10.50
INCRBYFLOAT g 0.1
SET g 5.0e3
INCRBYFLOAT g 2.0e2
SET g 3
INCRBYFLOAT g 1.000000000000000005
SET g 0
INCRBYFLOAT g -0.0
SET g 123456789012345678901234567890
INCRBYFLOAT g 1
SET g 0.1234567890123456789
INCRBYFLOAT g 0
SET g inf
INCRBYFLOAT g 1
SET g nan
INCRBYFLOAT g 1
SET g "1\x00"
INCRBYFLOAT g 1
LPUSH l 1
INCRBYFLOAT l 1
INCR l
APPEND l 1
# ranges of strings
SET s "Hello World"
GETRANGE s 0 -1
GETRANGE s -5 -1
GETRANGE s 6 100
GETRANGE s 5 3
GETRANGE s -1 -5
GETRANGE s -100 3
GETRANGE s -100 -50
GETRANGE s 100 200
GETRANGE s -9223372036854775808 9223372036854775807
GETRANGE s a 1
GETRANGE s 0
GETRANGE missing 0 -1
SUBSTR s 0 4
SUBSTR s 0
SETRANGE s 6 Redis
SETRANGE s 20 "x"
GET s
SETRANGE s -1 x
SETRANGE s 536870911 xx
SETRANGE s 536870912 x
SETRANGE s 9223372036854775807 x
SETRANGE s 4611686018427387904 ""
SETRANGE missing 5 ""
EXISTS missing
SETRANGE missing 5 x
GET missing
APPEND missing ""
APPEND empty ""
EXISTS empty
STRLEN empty
STRLEN missing
# bits
SETBIT b 7 1
SETBIT b 7 0
SETBIT b 100 1
GET b
GETBIT b 100
GETBIT b 101
GETBIT b 100000
GETBIT missing 3
SETBIT b -1 1
SETBIT b 4294967296 1
SETBIT b 1 2
SETBIT b 1 -1
SETBIT b a 1
GETBIT b -1
GETBIT b 4294967296
GETBIT b 1 1
SET s foobar
BITCOUNT s
BITCOUNT s 0 0
BITCOUNT s 1 1
BITCOUNT s 1 1 BYTE
BITCOUNT s 5 30 BIT
BITCOUNT s -3 -1 BIT
BITCOUNT s -1 -3
BITCOUNT s 5 2
BITCOUNT s 0
BITCOUNT s 0 -1 FOO
BITCOUNT s a b
BITCOUNT missing a b
BITCOUNT missing 0
BITCOUNT s 0 -1 BIT x
SADD set a
BITCOUNT set
SETBIT set 0 1
GETBIT set 0
# many keys
MSET a 1 b 2 a 3
MGET a b c
MSET a
MSET a 1 b
MSETNX a 1 z 2
EXISTS z
MSETNX y 1 z 2
MSETNX y
SADD set m
MGET a set missing
MSET set 1
DEL a b a missing
DEL
UNLINK y missing
EXISTS z z z missing
TOUCH z missing
EXISTS
TOUCH
TYPE missing
TYPE
DBSIZE
DBSIZE x
FLUSHDB foo
FLUSHALL ASYNC SYNC
FLUSHDB SYNC
FLUSHALL async
DBSIZE
RANDOMKEY
RANDOMKEY x
# expiry, as far as it needs no clock
SET a 1
EXPIRE a 100
EXPIRE a 200 NX
EXPIRE a 200 XX
EXPIRE a 100 GT
EXPIRE a 300 GT
EXPIRE a 400 LT
EXPIRE a 50 LT
TTL a
EXPIRE a 10 NX XX
EXPIRE a 10 NX GT
EXPIRE a 10 GT LT
EXPIRE a 10 XX GT
EXPIRE a 10 XX LT
EXPIRE a 10 FOO
EXPIRE a "1x" FOO
EXPIRE a 9223372036854775807
EXPIRE a 9223372036854775
EXPIRE a -9223372036854775808
EXPIRE a abc
PEXPIRE a 9223372036854775807
PEXPIRE a 9223372036854775806
EXPIREAT a 9223372036854775
EXPIREAT a 9223372036854776
PEXPIREAT a 4102444800000
PEXPIREAT a 4102444800000 GT
PEXPIREAT a 4102444800000 LT
PEXPIREAT a 4102444799999 GT
PEXPIREAT a 4102444800001 LT
PEXPIREAT a 4102444799999 LT
PEXPIREAT a 4102444800000 GT
PEXPIREAT a 4102444800001 XX GT
PEXPIRETIME a
EXPIRETIME a
PEXPIREAT a 9223372036854775807
PEXPIRETIME a
PERSIST a
PERSIST a
PERSIST missing
TTL a
TTL missing
PTTL missing
EXPIRETIME missing
PEXPIRETIME a
EXPIRE a 0 GT
EXPIRE a 0 LT
EXISTS a
SET a 1
EXPIRE a -1
EXISTS a
EXPIRE missing 10
EXPIRE missing 10 XX
SET a 1
PEXPIREAT a 1
EXISTS a
SET a 1 EXAT 4102444800
APPEND a 2
INCR a
SETRANGE a 0 7
EXPIRETIME a
GETSET a 1
EXPIRETIME a
RPUSH l 1
EXPIREAT l 4102444800
LPOP l
RPUSH l 1
EXPIRETIME l
# RENAME, COPY
RENAME missing x
RENAMENX missing x
SET a 1 EXAT 4102444800
RENAME a a
RENAMENX a a
RENAME a b
EXPIRETIME b
SADD s x
RENAMENX b s
RENAME b s
TYPE s
EXPIRETIME s
RENAME s
COPY s s
COPY missing t
COPY s t
EXPIRETIME t
COPY s t
COPY s t REPLACE
COPY s u DB 0
COPY s u DB 0 REPLACE
COPY s u DB -1
COPY s u DB x
COPY s u DB
COPY s u FOO
COPY missing missing
ZADD z 1 a 2 b
COPY z z2
ZADD z2 9 a
ZRANGE z 0 -1 WITHSCORES
ZRANGE z2 0 -1 WITHSCORES
XADD x 5-5 a b
XDEL x 5-5
COPY x y
XADD y 5-5 a b
XADD y 5-6 a b
# KEYS and SCAN
MSET hello 1 hallo 2 hxllo 3 h-llo 4 "h]llo" 5 "h^llo" 6 hllo 7 "h*llo" 8 "\\" 9 "" 10 "h\xffllo" 11
KEYS *
KEYS h?llo
KEYS h*llo
KEYS h[ae]llo
KEYS h[^e]llo
KEYS h[a-b]llo
KEYS h[b-a]llo
KEYS "h[\\]]llo"
KEYS "h\\*llo"
KEYS "\\"
KEYS "\\\\"
KEYS "h[a"
KEYS "h[^"
KEYS "h["
KEYS "h[a-"
KEYS "h[]llo"
KEYS "h[^]llo"
KEYS "h[^^]llo"
KEYS "h[a-]llo"
KEYS "h[-]llo"
KEYS "h[\x80-\xff]llo"
KEYS "h[\x00-\xff]llo"
KEYS ""
KEYS **
KEYS ?*
KEYS *?
KEYS H*LLO
KEYS
KEYS a b
SCAN 0
SCAN 0 COUNT 1
SCAN 0 COUNT 0
SCAN 0 COUNT -1
SCAN 0 COUNT x
SCAN 0 COUNT
SCAN 0 MATCH h[ae]*
SCAN 0 MATCH *
SCAN 0 MATCH ""
SCAN 0 MATCH **
SCAN 0 TYPE string
SCAN 0 TYPE STRING MATCH hel* COUNT 100
SCAN 0 TYPE hash
SCAN 0 TYPE foo
SCAN 0 TYPE ""
SCAN abc
SCAN " 0"
SCAN "0 "
SCAN 18446744073709551616
SCAN ""
SCAN 0 FOO 1
SCAN
HSCAN missing 0 FOO
HSCAN missing abc
HSCAN hello 0 FOO
SSCAN hello 0
ZSCAN missing 0 COUNT 0
# hashes
HSET h a 1 b 2
HSET h a 2 c 3
HSET h a
HSET h
HSET h a 1 b
HMSET h a 1 b
HMSET h a 5
HGET h a
HGET h missing
HGET missing a
HMGET h a missing c
HMGET missing a b
HMGET h
HGETALL h
HGETALL missing
HKEYS h
HVALS h
HKEYS missing
HLEN h
HLEN missing
HEXISTS h a
HEXISTS h x
HEXISTS missing x
HSETNX h a 1
HSETNX h new 1
HSTRLEN h a
HSTRLEN h missing
HDEL h a a missing
HDEL h b c new
EXISTS h
HDEL h a
HINCRBY h n 5
HINCRBY h n -9223372036854775808
HINCRBY h n -6
HINCRBY h n abc
HINCRBY h n 1.5
HSET h s x m 9223372036854775807 sp " 1"
HINCRBY h s 1
HINCRBY h m 1
HINCRBY h sp 1
HINCRBYFLOAT h s 1
HINCRBYFLOAT h m 1
HINCRBYFLOAT h fl 0.1
HINCRBYFLOAT h fl 0.2
HINCRBYFLOAT h fl inf
HINCRBYFLOAT h fl nan
HINCRBYFLOAT h fl abc
HINCRBYFLOAT h sp 1
HSET h fl 1e4932
HINCRBYFLOAT h fl 1e4932
HRANDFIELD missing
HRANDFIELD missing 5
HRANDFIELD missing 5 WITHVALUES
HRANDFIELD h 0
HRANDFIELD h 100 WITHVALUES
HRANDFIELD h -3
HRANDFIELD h 1 FOO
HRANDFIELD h abc
HRANDFIELD h 9223372036854775807 WITHVALUES
HRANDFIELD h -9223372036854775808
HSCAN h 0
HSCAN h 0 MATCH s* COUNT 1
HSCAN h 0 MATCH *x*
HSCAN h 0 COUNT 0
HSCAN h 0 TYPE x
SET str 1
HSET str a 1
HGET str a
HGETALL str
HDEL str a
HINCRBY str a 1
HSCAN str 0
HSET "" "" ""
HGETALL ""
times 200: HSET big f$i v$i
HGETALL big
HLEN big
HSCAN big 0 COUNT 20
HRANDFIELD big 300
# lists
RPUSH l a b c
LPUSH l x y
LRANGE l 0 -1
LRANGE l -100 100
LRANGE l 2 1
LRANGE l 5 10
LRANGE l a b
LRANGE missing 0 -1
LPUSHX missing a
RPUSHX missing a
LPUSHX l 1 2
RPUSHX l 3
LLEN l
LLEN missing
LINDEX l 0
LINDEX l -1
LINDEX l 100
LINDEX l -100
LINDEX l a
LINDEX missing 0
LSET l 0 first
LSET l -1 last
LSET l 100 x
LSET l a x
LSET missing 0 x
LINSERT l BEFORE a before
LINSERT l after a after
LINSERT l AFTER missing x
LINSERT missing AFTER a x
LINSERT l MIDDLE a x
LREM l 0 missing
RPUSH l a a a
LREM l 2 a
LREM l -1 a
LREM l 0 a
LREM l x a
LREM missing 0 a
LTRIM l 1 -2
LTRIM l a 1
LRANGE l 0 -1
LTRIM l 5 1
EXISTS l
LTRIM missing 0 0
RPUSH l 1 2 3 4 5
LPOP l 0
LPOP l 2
RPOP l 100
EXISTS l
LPOP l
LPOP l 0
LPOP l 1
LPOP l -1
LPOP l a
LPOP l 1 2
RPOP missing 9223372036854775808
RPUSH l a b c 1 2 3 c c
LPOS l c
LPOS l c RANK 2
LPOS l c RANK -1
LPOS l c RANK 0
LPOS l c RANK 9223372036854775808
LPOS l c RANK -9223372036854775808
LPOS l c COUNT 0
LPOS l c COUNT 2
LPOS l c COUNT -1
LPOS l c COUNT 0 MAXLEN 3
LPOS l c MAXLEN -1
LPOS l c RANK -2 COUNT 2 MAXLEN 4
LPOS l missing
LPOS l missing COUNT 1
LPOS missing c COUNT 1
LPOS missing c
LPOS l c FOO 1
LPOS l c RANK
LMOVE l l LEFT RIGHT
LMOVE l l2 RIGHT LEFT
LMOVE l l2 UP LEFT
LMOVE missing l2 LEFT LEFT
RPOPLPUSH l l
RPOPLPUSH missing l
RPOPLPUSH l
LRANGE l 0 -1
LRANGE l2 0 -1
LMPOP 1 missing LEFT
LMPOP 2 missing l LEFT COUNT 2
LMPOP 1 l RIGHT COUNT 100
EXISTS l
LMPOP 0 l LEFT
LMPOP -1 l LEFT
LMPOP a l LEFT
LMPOP 1 l UP
LMPOP 1 l
LMPOP 3 l LEFT
LMPOP 1 l2 LEFT COUNT 0
LMPOP 1 l2 LEFT COUNT -1
LMPOP 1 l2 LEFT COUNT 1 COUNT 1
LMPOP 1 l2 LEFT FOO
SET s x
LPUSH s a
LPOP s
LPOP s 0
LRANGE s 0 -1
LMOVE s l2 LEFT LEFT
LMOVE l2 s LEFT LEFT
LMOVE missing s LEFT LEFT
LMPOP 2 s l2 LEFT
LPUSH
LPUSH l
# sets
SADD s a b a 1 2
SADD s a
SADD s
SMEMBERS s
SMEMBERS missing
SISMEMBER s a
SISMEMBER s x
SISMEMBER missing a
SMISMEMBER s a x 1
SMISMEMBER missing a b
SMISMEMBER s
SCARD s
SCARD missing
SREM s a missing a
SREM missing a
SMOVE s t 1
SMOVE s t missing
SMOVE missing t a
SMOVE s s b
SMOVE s s missing
SADD str x
SET str 1
SMOVE s str b
SMOVE str s b
SMOVE missing str b
SADD str 1
SMEMBERS str
SADD a 1 2 3
SADD b 2 3 4
SINTER a b
SUNION a b
SDIFF a b
SINTER a missing
SUNION a missing
SDIFF missing a
SINTER a str
SUNION missing str
SDIFF a str
SINTER missing str
SINTER
SINTERSTORE d a b
SMEMBERS d
SINTERSTORE d a missing
EXISTS d
SUNIONSTORE str a b
TYPE str
SDIFFSTORE a a b
SMEMBERS a
SUNIONSTORE d
SINTERSTORE d
SINTERSTORE d missing list
SINTERCARD 2 a b
SINTERCARD 2 b b LIMIT 2
SINTERCARD 1 b LIMIT 0
SINTERCARD 1 b LIMIT -1
SINTERCARD 1 b LIMIT x
SINTERCARD 0 b
SINTERCARD x b
SINTERCARD 2 b
SINTERCARD 1 b FOO
SINTERCARD -1 b
SPOP missing
SPOP missing 3
SPOP b 0
SPOP b -1
SPOP b x
SPOP b 1 2
SPOP b 100
EXISTS b
SRANDMEMBER missing
SRANDMEMBER missing 3
SADD c a b c
SRANDMEMBER c 0
SRANDMEMBER c 10
SRANDMEMBER c -10
SRANDMEMBER c x
SRANDMEMBER c 1 2
SRANDMEMBER c -9223372036854775808
SSCAN c 0
SSCAN c 0 MATCH [ab]
SSCAN c 0 COUNT 1
SREM c a b c
EXISTS c
times 600: SADD big $i
SCARD big
SSCAN big 0 COUNT 7
SADD big 9223372036854775808 -9223372036854775808
SREM big 9223372036854775808
SRANDMEMBER big 1000
# sorted sets
ZADD z 1 a 2 b 3 c
ZADD z 1 a
ZADD z CH 2 a
ZADD z NX 9 a 9 d
ZADD z XX 1 a 1 new
ZADD z XX CH 5 a
ZADD z GT 1 a
ZADD z LT 1 a
ZADD z GT CH 10 a 10 e
ZADD z LT CH 3 a 30 f
ZADD z NX XX 1 a
ZADD z NX GT 1 a
ZADD z GT LT 1 a
ZADD z INCR 1 a
ZADD z INCR 1 a 1 b
ZADD z XX INCR 1 missing
ZADD z NX INCR 1 a
ZADD z GT INCR -1 a
ZADD z LT INCR -1 a
ZADD z 1
ZADD z
ZADD z 1 a 2
ZADD z x a
ZADD z nan a
ZADD z 1 a x b
ZADD missing XX 1 a
EXISTS missing
ZADD missing x a
EXISTS missing
ZADD z NX CH INCR 1 fresh
ZADD i inf a -inf b +inf c Infinity d -infinity e
ZRANGE i 0 -1 WITHSCORES
ZINCRBY i -inf a
ZADD i INCR inf b
ZSCORE i a
ZADD p 0.1 a 1e308 b 5e-324 c 12345678901234567890 d 0x10 e 1e-7 f 3.0 g 1e15 h 1e16 i 1e17 j 1e21 k -1e15 l 123456.789 m
ZRANGE p 0 -1 WITHSCORES
ZADD p " 1" x
ZADD p "1 " x
ZADD p "" x
ZADD p 1e400 x
ZADD p 1e-400 x
ZADD p 0e-400 x
ZADD p 1_0 x
ZADD p 0b1 x
ZADD p 1p3 x
ZADD p 0x1p3 x
ZINCRBY z 1.5 a
ZINCRBY z x a
ZINCRBY z nan a
ZINCRBY z 1
ZINCRBY fresh 1 m
ZSCORE z a
ZSCORE z missing
ZSCORE missing a
ZMSCORE z a missing b
ZMSCORE missing a
ZMSCORE z
ZCARD z
ZCARD missing
ZREM z missing fresh
ZREM missing a
ZRANK z a
ZRANK z missing
ZREVRANK z a
ZREVRANK missing a
ZRANK z a WITHSCORE
ZADD neg -0 a
ZSCORE neg a
ZINCRBY neg -0 a
# ranges of sorted sets
ZADD z 1 a 2 b 2 c 3 d 4 e
ZRANGE z 0 -1
ZRANGE z 1 2 WITHSCORES
ZRANGE z -2 -1
ZRANGE z 3 1
ZRANGE z 10 20
ZRANGE z -100 100 REV
ZRANGE z 0 1 REV WITHSCORES
ZRANGE z a b
ZRANGE z 0 -1 LIMIT 0 1
ZRANGE z 0 -1 LIMIT 0 -1
ZRANGE z 0 -1 FOO
ZRANGE z 1 3 BYSCORE
ZRANGE z (1 (4 BYSCORE
ZRANGE z 4 1 BYSCORE REV
ZRANGE z 1 4 BYSCORE REV
ZRANGE z -inf +inf BYSCORE LIMIT 1 2
ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2 WITHSCORES
ZRANGE z -inf +inf BYSCORE LIMIT 1 -1
ZRANGE z -inf +inf BYSCORE LIMIT -1 2
ZRANGE z -inf +inf BYSCORE LIMIT 1
ZRANGE z -inf +inf BYSCORE LIMIT a b
ZRANGE z a b BYSCORE
ZRANGE z nan 1 BYSCORE
ZRANGE z ( 1 BYSCORE
ZRANGE z "" 1 BYSCORE
ZRANGE z " 1" 3 BYSCORE
ZRANGE z " " 3 BYSCORE
ZRANGE z "1\x00x" 3 BYSCORE
ZRANGE z 0x1 1e400 BYSCORE
ZRANGE z [a [c BYLEX WITHSCORES
ZRANGE z - + BYLEX BYSCORE
ZRANGE z 0 -1 REV REV
ZRANGE missing a b
ZRANGE missing 0 -1
ZREVRANGE z 0 1
ZREVRANGE z 0 -1 withscores
ZREVRANGE z 0 -1 REV
ZRANGEBYSCORE z -inf (3 WITHSCORES LIMIT 0 2
ZRANGEBYSCORE z 3 1
ZREVRANGEBYSCORE z (3 -inf
ZREVRANGEBYSCORE z 1 3
ZRANGEBYSCORE z 1 2 BYSCORE
ZCOUNT z 2 2
ZCOUNT z (2 (2
ZCOUNT z -inf +inf
ZCOUNT z a b
ZCOUNT missing 1 2
ZADD lex 0 a 0 b 0 c 0 d 0 "" 0 aa 0 "\xff" 0 "\x00"
ZRANGEBYLEX lex - +
ZRANGEBYLEX lex [a (c
ZRANGEBYLEX lex (a [c
ZRANGEBYLEX lex + -
ZRANGEBYLEX lex - [c LIMIT 1 2
ZRANGEBYLEX lex [ [a
ZRANGEBYLEX lex ( [a
ZRANGEBYLEX lex a [b
ZRANGEBYLEX lex [a
ZRANGEBYLEX lex "[\x00" "[\xff"
ZREVRANGEBYLEX lex + - LIMIT 0 2
ZREVRANGEBYLEX lex [c (a
ZRANGE lex [d [a BYLEX REV
ZRANGE lex [a [d BYLEX LIMIT 0 1
ZLEXCOUNT lex - +
ZLEXCOUNT lex [a (c
ZLEXCOUNT lex + -
ZLEXCOUNT lex a b
ZLEXCOUNT missing - +
ZRANGESTORE d z 1 2
ZRANGE d 0 -1 WITHSCORES
ZRANGESTORE d z 2 4 BYSCORE LIMIT 1 2
ZRANGE d 0 -1
ZRANGESTORE d missing 0 -1
EXISTS d
ZRANGESTORE d z 0 -1 WITHSCORES
ZRANGESTORE d lex [c [a BYLEX REV
ZRANGE d 0 -1
ZRANGESTORE z z 0 0
ZRANGESTORE d z
ZREMRANGEBYRANK d 0 0
ZREMRANGEBYRANK d a 0
ZREMRANGEBYRANK missing 0 -1
ZREMRANGEBYLEX lex [a (c
ZREMRANGEBYLEX lex a b
ZREMRANGEBYSCORE lex 0 0
EXISTS lex
ZREMRANGEBYSCORE missing a b
ZADD z 1 a 1 b 2 c 3 d 4 e
ZPOPMIN z
ZPOPMAX z
ZPOPMIN z 2
ZPOPMAX z 0
ZPOPMIN z -1
ZPOPMIN z a
ZPOPMIN z 1 1
ZPOPMAX z 100
EXISTS z
ZPOPMIN z
ZPOPMIN z 5
ZADD z 1 a 2 b
ZMPOP 1 missing MIN
ZMPOP 2 missing z MAX
ZMPOP 1 z MIN COUNT 10
ZMPOP 1 z MID
ZMPOP 0 z MIN
ZMPOP x z MIN
ZMPOP 1 z MIN COUNT 0
ZMPOP 1 z MIN COUNT
ZMPOP 2 z MIN
# algebra of sorted sets
ZADD a 1 x 2 y 3 z
ZADD b 10 y 20 z 30 w
SADD s x y
ZUNIONSTORE d 2 a b
ZRANGE d 0 -1 WITHSCORES
ZUNIONSTORE d 2 a b WEIGHTS 2 0.5
ZRANGE d 0 -1 WITHSCORES
ZUNIONSTORE d 2 a b AGGREGATE MIN
ZRANGE d 0 -1 WITHSCORES
ZUNIONSTORE d 2 a b AGGREGATE max WEIGHTS 1 -1
ZRANGE d 0 -1 WITHSCORES
ZUNIONSTORE d 2 a s
ZRANGE d 0 -1 WITHSCORES
ZUNIONSTORE d 1 missing
EXISTS d
ZUNIONSTORE d 2 a
ZUNIONSTORE d 0 a
ZUNIONSTORE d -1 a
ZUNIONSTORE d x a
ZUNIONSTORE d 1 a WEIGHTS
ZUNIONSTORE d 1 a WEIGHTS x
ZUNIONSTORE d 2 a b WEIGHTS 1
ZUNIONSTORE d 1 a WEIGHTS nan
ZUNIONSTORE d 1 a AGGREGATE AVG
ZUNIONSTORE d 1 a AGGREGATE
ZUNIONSTORE d 1 a WITHSCORES
ZUNIONSTORE d 1 a FOO
ZUNIONSTORE a 2 a a
ZRANGE a 0 -1 WITHSCORES
ZADD inf inf x -inf y
ZADD ninf -inf x inf y
ZUNION 2 inf ninf WITHSCORES
ZUNION 2 inf ninf WITHSCORES WEIGHTS 0 1
ZINTER 2 a b
ZINTER 2 a b WITHSCORES AGGREGATE MAX WEIGHTS 1 2
ZINTER 2 a missing
ZINTER 1 s WITHSCORES
ZINTERSTORE d 3 a b s
ZINTERSTORE d 2 a missing
ZDIFF 2 a b
ZDIFF 2 a s WITHSCORES
ZDIFF 1 missing
ZDIFF 2 a b WEIGHTS 1 1
ZDIFF 0 a
ZDIFFSTORE d 2 a b
ZRANGE d 0 -1 WITHSCORES
ZDIFFSTORE d 2 a a
EXISTS d
ZINTERCARD 2 a b
ZINTERCARD 2 a b LIMIT 1
ZINTERCARD 2 a b LIMIT 0
ZINTERCARD 2 a b LIMIT -1
ZINTERCARD 2 a b LIMIT x
ZINTERCARD 0 a
ZINTERCARD 2 a b WEIGHTS 1 1
SET str x
ZUNION 2 a str
ZINTER 2 missing str
ZDIFF 1 str
ZUNIONSTORE str 1 a
TYPE str
ZADD s 1 a
ZRANDMEMBER missing
ZRANDMEMBER missing 3
ZRANDMEMBER a 100 WITHSCORES
ZRANDMEMBER a -7 WITHSCORES
ZRANDMEMBER a 1 FOO
ZRANDMEMBER a x
ZSCAN a 0
ZSCAN a 0 MATCH x
ZSCAN a x
times 150: ZADD big $i m$i
ZSCAN big 0 COUNT 5
ZADD big 1e17 m1
ZSCAN big 0 MATCH m1
ZADD big -0 m2
ZSCORE big m2
ZRANGE big 140 -1 REV
ZRANDMEMBER big 200
# HyperLogLog
PFADD p a b c
PFADD p a b c
PFADD p
PFADD new
EXISTS new
PFADD new
PFCOUNT p
PFCOUNT missing
PFCOUNT p missing
PFADD q c d e
PFCOUNT p q
PFMERGE m p q
PFCOUNT m
PFMERGE m
PFMERGE fresh
EXISTS fresh
PFCOUNT
PFADD
PFMERGE
SET str foo
PFADD str a
PFCOUNT str
PFMERGE str p
PFMERGE m str
SADD set a
PFADD set a
PFCOUNT set
PFCOUNT p set
TYPE p
INCR p
LPUSH p x
times 300: PFADD big $i
PFCOUNT big
times 3000: PFADD dense e$i x$i
PFCOUNT dense
PFCOUNT dense big p
PFMERGE all dense big p
PFCOUNT all
COPY all copy
PFCOUNT copy
RENAME copy moved
PFADD moved 1 2 3 new1
PFCOUNT moved
# streams
XADD x 1-1 a 1
XADD x 1-1 a 1
XADD x 1-0 a 1
XADD x 0-0 a 1
XADD x 0 a 1
XADD x 1-* a 2
XADD x 2-* a 2
XADD x 2 a 1
XADD x 3 a 1 b 2
XADD x 4-1 a
XADD x 4-1
XADD x abc a 1
XADD x 1-2-3 a 1
XADD x -5 a 1
XADD x 5- a 1
XADD x "" a 1
XADD x + a 1
XADD x - a 1
XADD x $ a 1
XADD x 18446744073709551616 a 1
XADD y NOMKSTREAM 1 a 1
EXISTS y
XADD z 0-* a 1
XADD z 0-* a 1
XADD t MAXLEN 2 1 a 1
XADD t MAXLEN 2 2 a 1
XADD t MAXLEN 2 3 a 1
XADD t MAXLEN = 1 4 a 1
XADD t MAXLEN ~ 1 5 a 1
XADD t MAXLEN ~ 0 6 a 1
XLEN t
XADD t MAXLEN 0 7 a 1
EXISTS t
XADD t 7 a 1
XADD t MAXLEN -1 8 a 1
XADD t MAXLEN x 8 a 1
XADD t MAXLEN 1 MINID 1 8 a 1
XADD t MAXLEN ~ 1 LIMIT 5 8 a 1
XADD t MAXLEN 1 LIMIT 5 9 a 1
XADD t MAXLEN ~ 1 LIMIT -1 9 a 1
XADD t LIMIT 5 9 a 1
XADD t MINID 8 9 a 1
XADD t MINID = 9 10 a 1
XRANGE t - +
XADD last 18446744073709551615-18446744073709551615 a 1
XADD last * a 1
XADD last 18446744073709551615-* a 1
XADD near 5-18446744073709551615 a 1
XADD near 6-* a 1
XLEN x
XLEN missing
XRANGE x - +
XRANGE x 1 1
XRANGE x (1-1 +
XRANGE x (1 (2
XRANGE x - + COUNT 1
XRANGE x - + COUNT 0
XRANGE x - + COUNT -1
XRANGE x - + COUNT x
XRANGE x - + FOO 1
XRANGE x - + COUNT
XRANGE x + -
XRANGE x (18446744073709551615-18446744073709551615 +
XRANGE x - (0-0
XRANGE x (- +
XRANGE x ( +
XRANGE x abc +
XRANGE missing - +
XRANGE missing - + COUNT 0
XREVRANGE x + -
XREVRANGE x + - COUNT 2
XREVRANGE x (3 (1-1
XREVRANGE x 3-0 1
XDEL x 1-1 9-9
XDEL x abc
XDEL missing 1
XDEL x
XTRIM x MAXLEN 1
XTRIM x MAXLEN = 1
XTRIM x MINID 100
XLEN x
EXISTS x
XTRIM missing MAXLEN 1
XTRIM x MAXLEN
XTRIM x FOO 1
XTRIM x LIMIT 5
XTRIM x LIMIT 0
XTRIM x MAXLEN 1 MINID 1
XTRIM x MAXLEN 1 LIMIT 5
XTRIM x MAXLEN ~ 1 LIMIT -1
XTRIM x MAXLEN ~ 1 LIMIT 5 FOO
times 250: XADD n $i-1 f v$i
XTRIM n MAXLEN ~ 200
XTRIM n MAXLEN ~ 149
XTRIM n MINID ~ 180
XTRIM n MAXLEN ~ 0 LIMIT 40
XTRIM n MAXLEN 45
XTRIM n MAXLEN ~ 40
XTRIM n MAXLEN ~ 0
XLEN n
times 90: XADD w $i-1 field "a value of forty-four bytes, more or less ... $i" n $i
XTRIM w MAXLEN ~ 20
XLEN w
times 120: XADD v $i-$i a$i $i b 100000$i
XTRIM v MAXLEN ~ 5
XDEL v 110-110 111-111
XTRIM v MINID ~ 115
XRANGE v - +
XADD r 1-1 a 1
XADD r 2-2 b 2
XREAD STREAMS r 0
XREAD COUNT 1 STREAMS r 0
XREAD COUNT 0 STREAMS r 0
XREAD COUNT -1 STREAMS r 0
XREAD COUNT x STREAMS r 0
XREAD STREAMS r 1
XREAD STREAMS r 1-1
XREAD STREAMS r $
XREAD STREAMS r missing 0 0
XREAD STREAMS missing 0
XREAD STREAMS r r 0 1-1
XREAD STREAMS r
XREAD STREAMS r t 0
XREAD STREAMS r abc
XREAD STREAMS r >
XREAD STREAMS r -
XREAD STREAMS r 18446744073709551615-18446744073709551615
XREAD r 0
XREAD FOO STREAMS r 0
XREAD COUNT 1
SET str x
XADD str 1 a 1
XLEN str
XREAD STREAMS str 0
XREAD STREAMS str $
XRANGE str - +
# transactions
EXEC
DISCARD
MULTI
MULTI
SET a 1
INCR a
LPUSH a x
GET a
EXEC
MULTI
SET a 9
DISCARD
GET a
MULTI
FOO
SET a 5
EXEC
GET a
MULTI
SET a
EXEC
MULTI
EXEC
MULTI x
EXEC x
MULTI
SET a 7
EXEC x
EXEC
GET a
MULTI
DISCARD x
EXEC
WATCH a
MULTI
INCR a
EXEC
WATCH a
other: INCR a
MULTI
INCR a
EXEC
GET a
WATCH a
SET a 5
MULTI
GET a
EXEC
WATCH a
other: INCR a
UNWATCH
MULTI
GET a
EXEC
WATCH missing
other: SET missing 1
MULTI
PING
EXEC
WATCH gone
other: SET gone 1
other: DEL gone
MULTI
PING
EXEC
WATCH a
other: GET a
MULTI
PING
EXEC
WATCH a
other: EXPIRE a 1000
MULTI
PING
EXEC
WATCH a
other: PERSIST a
MULTI
PING
EXEC
WATCH a
other: DEL a
MULTI
PING
EXEC
WATCH a
other: DEL a
MULTI
PING
EXEC
WATCH a
other: FLUSHALL
MULTI
PING
EXEC
SADD s 1
WATCH s
other: SADD s 1
other: SREM s 2
MULTI
PING
EXEC
ZADD z 1 a
WATCH z
other: ZADD z 1 a
MULTI
PING
EXEC
WATCH z
other: ZINCRBY z 0 a
MULTI
PING
EXEC
SET k v
WATCH k
other: SET k v
MULTI
PING
EXEC
WATCH k
other: RENAME k k2
MULTI
PING
EXEC
WATCH k2
other: COPY k2 k3
other: TOUCH k2
MULTI
PING
EXEC
WATCH k2
other: LPUSH k2 x
other: APPEND k2 ""
MULTI
PING
EXEC
HSET h f v
WATCH h
other: HSET h f v
MULTI
PING
EXEC
HSET h f v
WATCH h
other: HSETNX h f v
other: HDEL h x
MULTI
PING
EXEC
RPUSH l a
WATCH l
other: LTRIM l 0 -1
MULTI
PING
EXEC
WATCH l
other: LSET l 0 a
MULTI
PING
EXEC
WATCH l
other: LREM l 0 x
other: LINSERT l BEFORE x y
other: RPOPLPUSH l l
MULTI
PING
EXEC
PFADD p a
WATCH p
other: PFADD p a
MULTI
PING
EXEC
PFCOUNT p
WATCH p
other: PFCOUNT p
MULTI
PING
EXEC
MULTI
WATCH a
EXEC
WATCH
UNWATCH x
MULTI
MULTI
SELECT 0
PING
ECHO x
DBSIZE
UNWATCH
EXEC
# the connection
PING
PING hello
PING a b
ping
ECHO hello
ECHO ""
ECHO
ECHO a b
TIME x
SELECT 0
SELECT -1
SELECT 16
SELECT a
SELECT 99999999999999999999
SELECT
PUBLISH c m
PUBLISH c
FOO
foo bar "b\r\nz" baz
FOO "a\x00b" c
"" x
"GET\x00" a
FOO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ccccccccccccccccccccccccccccccccccccccccccc ddddddddddd
FLUSHALL
FLUSHDB
gEt a
RANDOMKEY
TIME
`

// scriptTable is what a store with scripts must answer.
const scriptTable = `
# scripts
EVAL "return 1" 0
EVAL "return ARGV[1]" 0 x
EVAL "return {KEYS[1],ARGV[1]}" 1 k v
EVAL "return redis.call('set',KEYS[1],ARGV[1])" 1 k v
EVAL "return redis.call('get',KEYS[1])" 1 k
EVAL "return redis.call('get',KEYS[1])" 1 missing
EVAL "return {1,2,nil,4}" 0
EVAL "return {ok='fine'}" 0
EVAL "return {err='ERR bad'}" 0
EVAL "return 3.99" 0
EVAL "return true" 0
EVAL "return false" 0
EVAL "return" 0
EVAL "return redis.pcall('incr',KEYS[1])" 1 k
EVAL "return redis.status_reply('S')" 0
EVAL "return redis.error_reply('ERR e')" 0
EVAL "return redis.sha1hex('')" 0
EVAL "return 1" x
EVAL "return 1" -1
EVAL "return 1" 2 a
EVAL
SCRIPT LOAD "return 1"
SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db abc
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT FLUSH
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
`

// TestTable compares the calls of the table.
func TestTable(t *testing.T) {
	r := newRig(t)
	text := table
	if r.scripts {
		text += scriptTable
	}
	known := map[string]bool{}
	calls, name := 0, ""
	var part []step
	check := func() {
		for _, st := range part {
			known[strings.ToUpper(st.args[0])] = true
		}
		calls += len(part)
		r.checkAll(t, name, part)
		part = nil
	}
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "# "):
			check()
			name = line[2:]
		case line != "":
			steps, err := readSteps(line)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			part = append(part, steps...)
		}
	}
	check()
	for _, name := range commandNames(r.scripts) {
		if !known[name] {
			t.Errorf("the table has no call of %s", name)
		}
	}
	t.Logf("%d calls", calls)
}

// checkAll runs a part of the table and reports each call that differs; the next ones are still compared.
func (r *rig) checkAll(t *testing.T, name string, part []step) {
	t.Helper()
	r.real.reset()
	r.ours.reset()
	var tx [connections]multi
	for i, st := range part {
		if bad := r.step(st, &tx[st.conn]); bad != "" {
			t.Errorf("%s, call %d: %s\n%s", name, i+1, st, bad)
		}
	}
	if bad := r.compareAll(); bad != "" {
		t.Errorf("%s, %s", name, bad)
	}
}

// readSteps reads a line of the table.
func readSteps(line string) ([]step, error) {
	st, times := step{conn: actor}, 1
	if rest, is := strings.CutPrefix(line, "other: "); is {
		st.conn, line = other, rest
	}
	if rest, is := strings.CutPrefix(line, "times "); is {
		count, rest, _ := strings.Cut(rest, ": ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, err
		}
		times, line = n, rest
	}
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			st.args, line = append(st.args, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		st.args, line = append(st.args, word), line[len(quoted):]
	}
	if len(st.args) == 0 {
		return nil, fmt.Errorf("no command")
	}
	var steps []step
	for i := range times {
		s := step{conn: st.conn, args: slices.Clone(st.args)}
		if times > 1 {
			for k := range s.args {
				s.args[k] = strings.ReplaceAll(s.args[k], "$i", strconv.Itoa(i+1))
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}
