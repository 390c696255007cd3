package parity

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rig runs the same commands on a real server and on the store, in lock step, and compares.
type rig struct {
	real, ours side
	scripts    bool // ours knows EVAL
	stats      map[string]*outcome
}

// outcome counts what became of the calls of one command.
type outcome struct{ good, bad int }

// multi is what is known of a connection's transaction.
type multi struct {
	open   bool
	queued [][]string
}

// run carries out a sequence on two empty stores and returns the first difference, "" if there is none.
func (r *rig) run(seq []step) (difference string) {
	r.real.reset()
	r.ours.reset()
	var tx [connections]multi
	for i, st := range seq {
		if bad := r.step(st, &tx[st.conn]); bad != "" {
			return fmt.Sprintf("command %d: %s\n%s", i+1, st, bad)
		}
	}
	return r.compareAll()
}

// volatile commands answer by chance or by the clock; in a transaction nothing can be said of them.
var volatile = map[string]bool{"SPOP": true, "SRANDMEMBER": true, "HRANDFIELD": true, "ZRANDMEMBER": true, "RANDOMKEY": true,
	"SCAN": true, "HSCAN": true, "SSCAN": true, "ZSCAN": true, "TIME": true}

// reads are the commands that read what a random command chooses from.
var reads = map[string]string{"SPOP": "SMEMBERS", "SRANDMEMBER": "SMEMBERS", "HRANDFIELD": "HGETALL", "ZRANDMEMBER": "ZRANGE"}

func (r *rig) step(st step, tx *multi) (difference string) {
	args, name := st.args, strings.ToUpper(st.args[0])
	auto := name == "XADD" && slices.Contains(args, "*")
	if dangerous(name, args) || tx.open && (volatile[name] || auto) || r.undefined(name, args, tx.open) || r.sketched(name, args, tx) {
		return ""
	}
	pool := r.pool(name, args)
	exact := !tx.open && r.ordered(name, args)
	want, got := r.real.do(st.conn, args...), r.ours.do(st.conn, args...)
	r.count(name, want)
	queued := tx.queued
	tx.follow(name, args, want)
	differ := func(why string) string { return fmt.Sprintf("%sredis: %s\n ours: %s", why, want, got) }

	if want.kind == failure || got.kind == failure {
		if unloadable(name, want) || sameError(want, got) {
			return ""
		}
		return differ("")
	}
	switch {
	case name == "EXEC":
		if !equalExec(queued, want, got) {
			return differ("")
		}
	case auto:
		r.real.do(observer, "DEL", args[1])
		r.ours.do(observer, "DEL", args[1])
		if !equalAuto(want, got) {
			return differ("")
		}
	case strings.HasSuffix(name, "SCAN"):
		return r.scan(st, name, want, got)
	case name == "SPOP":
		if bad := r.spop(args, pool, want, got); bad != "" {
			return differ(bad + "\n")
		}
	case volatile[name] && name != "TIME":
		for who, answer := range map[string]reply{"redis": want, "ours": got} {
			if bad := plausible(name, args, pool, answer); bad != "" {
				return differ(who + ": " + bad + "\n")
			}
		}
		if len(want.elems) != len(got.elems) && !(name == "RANDOMKEY") {
			return differ("")
		}
	case !equal(name, want, got, exact):
		return differ("")
	}
	return ""
}

// The words of a Lua interpreter are its own: of a script that does not compile, or fails, the error counts but not the
// place in the script, nor what the parser says.
const (
	compiling = "ERR Error compiling script (new function):"
	running   = "ERR user_script:"
	inScript  = " script: "
)

func sameError(want, got reply) bool {
	w, _, _ := strings.Cut(want.str, inScript)
	g, _, _ := strings.Cut(got.str, inScript)
	both := func(prefix string) bool { return strings.HasPrefix(w, prefix) && strings.HasPrefix(g, prefix) }
	return want.kind == got.kind && (w == g || both(compiling) || both(running))
}

// unloadable says that SCRIPT LOAD got what does not compile. The store takes it: EVALSHA reports the error.
func unloadable(name string, want reply) bool {
	return name == "SCRIPT" && strings.HasPrefix(want.str, compiling)
}

// dangerous says that a command could take all memory or all time.
func dangerous(name string, args []string) bool {
	limit := func(at int, low, high int64) bool {
		if at >= len(args) {
			return false
		}
		n, err := strconv.ParseInt(args[at], 10, 64)
		return err == nil && (n < low || n > high && n < 1<<29)
	}
	switch name {
	case "SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER": // -n is n elements; the lowest of all is an error
		return len(args) > 2 && args[2] != "-9223372036854775808" && limit(2, -1000, 1<<62)
	case "SETBIT", "SETRANGE":
		return limit(2, -1<<63, 1<<20)
	}
	return false
}

// undefined says that a command selects by name from a sorted set whose scores differ: what comes then depends on the
// random heights of a skip list. So is LPOS's lowest RANK with COUNT, an overflow in C.
func (r *rig) undefined(name string, args []string, tx bool) bool {
	if name == "LPOS" {
		return slices.Contains(args, "-9223372036854775808") && len(args) > 5
	}
	if !strings.HasPrefix(name, "Z") || !slices.ContainsFunc(args, func(a string) bool {
		return strings.HasSuffix(strings.ToUpper(a), "LEX") || strings.EqualFold(a, "ZLEXCOUNT")
	}) || len(args) < 3 {
		return false
	}
	if tx {
		return true
	}
	key := args[1]
	if name == "ZRANGESTORE" {
		key = args[2]
	}
	scores := r.real.do(observer, "ZRANGE", key, "0", "-1", "WITHSCORES").elems
	for i := 3; i < len(scores); i += 2 {
		if scores[i].str != scores[1].str {
			return true
		}
	}
	return false
}

// sketch is how a HyperLogLog begins. Its bytes are not compared: Redis has a sparse form of it, which depends on the order
// of what was added, and a dense one. Both count the same; see TestHyperLogLogBytes.
const sketch = "HYLL"

// bytewise are the commands that see the bytes of a string, or change them.
var bytewise = map[string]bool{"STRLEN": true, "GETRANGE": true, "SUBSTR": true, "SETRANGE": true, "APPEND": true, "SETBIT": true,
	"GETBIT": true, "BITCOUNT": true}

// sketched says that a command works on the bytes of a HyperLogLog.
func (r *rig) sketched(name string, args []string, tx *multi) bool {
	if !bytewise[name] || len(args) < 2 {
		return false
	}
	made := func(q []string) bool {
		return strings.HasPrefix(strings.ToUpper(q[0]), "PF") && slices.Contains(q, args[1])
	}
	return slices.ContainsFunc(tx.queued, made) || strings.HasPrefix(r.real.do(observer, "GETRANGE", args[1], "0", "3").str, sketch)
}

// follow keeps up with MULTI, EXEC and DISCARD.
func (tx *multi) follow(name string, args []string, answer reply) {
	switch {
	case answer.kind == status && answer.str == "QUEUED":
		tx.queued = append(tx.queued, args)
	case name == "MULTI" && answer.kind == status:
		*tx = multi{open: true}
	case name == "EXEC", name == "DISCARD" && len(args) == 1:
		*tx = multi{}
	}
}

func (r *rig) count(name string, answer reply) {
	if r.stats == nil {
		return
	}
	o := r.stats[name]
	if o == nil {
		o = &outcome{}
		r.stats[name] = o
	}
	switch {
	case answer.kind == failure:
		o.bad++
	case answer.kind == status && answer.str == "QUEUED":
	default:
		o.good++
	}
}

// pool returns what a random command may choose from; both sides are equal here.
func (r *rig) pool(name string, args []string) []reply {
	if name == "RANDOMKEY" {
		return r.real.do(observer, "KEYS", "*").elems
	}
	read := reads[name]
	if read == "" || len(args) < 2 {
		return nil
	}
	if read == "ZRANGE" {
		return r.real.do(observer, read, args[1], "0", "-1", "WITHSCORES").elems
	}
	return r.real.do(observer, read, args[1]).elems
}

// ordered says that the order of a reply counts: HGETALL of a hash that Redis keeps as a list.
func (r *rig) ordered(name string, args []string) bool {
	if len(args) == 2 && (name == "HGETALL" || name == "HKEYS" || name == "HVALS") {
		return r.real.do(observer, "OBJECT", "ENCODING", args[1]).str == "listpack"
	}
	return false
}

// tolerance is by how much times may differ, in seconds: two servers are not asked in the same instant.
const tolerance = 3

// equal compares the replies to the same command; where Redis promises no order, exact says that there is one.
func equal(name string, want, got reply, exact bool) bool {
	if want.kind != got.kind {
		return false
	}
	switch name {
	case "TTL", "EXPIRETIME":
		return near(want, got, tolerance)
	case "PTTL", "PEXPIRETIME":
		return near(want, got, tolerance*1000)
	case "TIME":
		return len(got.elems) == 2 && got.elems[0].kind == bulk && got.elems[1].kind == bulk && nearText(want.elems[0].str, got.elems[0].str, tolerance)
	case "SMEMBERS", "SINTER", "SUNION", "SDIFF", "KEYS":
		return same(sorted(want, 1), sorted(got, 1))
	case "HKEYS", "HVALS":
		if !exact {
			return same(sorted(want, 1), sorted(got, 1))
		}
	case "HGETALL":
		if !exact {
			return same(sorted(want, 2), sorted(got, 2))
		}
	}
	return same(want, got)
}

// near compares times; those below 0 are not times but answers.
func near(want, got reply, by int64) bool {
	if want.kind != integer || want.int < 0 || got.int < 0 {
		return same(want, got)
	}
	return max(want.int-got.int, got.int-want.int) <= by
}

func nearText(a, b string, by int64) bool {
	x, err1 := strconv.ParseInt(a, 10, 64)
	y, err2 := strconv.ParseInt(b, 10, 64)
	return err1 == nil && err2 == nil && max(x-y, y-x) <= by
}

func same(a, b reply) bool {
	if a.kind == bulk && b.kind == bulk && strings.HasPrefix(a.str, sketch) && strings.HasPrefix(b.str, sketch) {
		return true
	}
	if a.kind == failure {
		return sameError(a, b)
	}
	return a.kind == b.kind && a.int == b.int && a.str == b.str && slices.EqualFunc(a.elems, b.elems, same)
}

// sorted returns a copy of an array in the order of its elements, taken by size.
func sorted(r reply, size int) reply {
	if r.kind != array || len(r.elems)%size != 0 {
		return r
	}
	rows := slices.Collect(slices.Chunk(r.elems, size))
	slices.SortFunc(rows, func(a, b []reply) int {
		return slices.CompareFunc(a, b, func(x, y reply) int { return cmp.Compare(x.str, y.str) })
	})
	r.elems = slices.Concat(rows...)
	return r
}

func equalExec(queued [][]string, want, got reply) bool {
	if want.kind != got.kind || len(want.elems) != len(got.elems) || len(want.elems) > len(queued) {
		return false
	}
	for i := range want.elems {
		if !equal(strings.ToUpper(queued[i][0]), want.elems[i], got.elems[i], false) {
			return false
		}
	}
	return true
}

var streamID = regexp.MustCompile(`^(\d+)-(\d+)$`)

// equalAuto compares the replies to XADD key *.
func equalAuto(want, got reply) bool {
	w, g := streamID.FindStringSubmatch(want.str), streamID.FindStringSubmatch(got.str)
	if w == nil || g == nil {
		return same(want, got)
	}
	return w[0] == g[0] || nearText(w[1], g[1], tolerance*1000)
}

// scan goes on to the end of an iteration on both sides and compares what was found.
func (r *rig) scan(st step, name string, want, got reply) string {
	at := 1
	if name != "SCAN" {
		at = 2
	}
	if n, _ := strconv.ParseUint(st.args[at], 10, 64); n != 0 || strings.TrimLeft(st.args[at], "0") != "" {
		return "" // a cursor that was not given out: any answer is good
	}
	size := 1
	if name == "HSCAN" || name == "ZSCAN" {
		size = 2
	}
	found := map[string]reply{}
	for who, answer := range map[string]reply{"redis": want, "ours": got} {
		do := r.real.do
		if who == "ours" {
			do = r.ours.do
		}
		all := reply{kind: array}
		for round := 0; ; round++ {
			if answer.kind != array || len(answer.elems) != 2 || answer.elems[0].kind != bulk || answer.elems[1].kind != array || round > 10000 {
				return fmt.Sprintf("%s, round %d: %s", who, round, answer)
			}
			all.elems = append(all.elems, answer.elems[1].elems...)
			if answer.elems[0].str == "0" {
				break
			}
			next := slices.Clone(st.args)
			next[at] = answer.elems[0].str
			answer = do(st.conn, next...)
		}
		all = sorted(all, size)
		rows := slices.Collect(slices.Chunk(all.elems, size))
		rows = slices.CompactFunc(rows, func(a, b []reply) bool { return slices.EqualFunc(a, b, same) })
		found[who] = reply{kind: array, elems: slices.Concat(rows...)}
	}
	if !same(found["redis"], found["ours"]) {
		return fmt.Sprintf("the whole iteration differs\nredis: %s\n ours: %s", found["redis"], found["ours"])
	}
	return ""
}

// spop checks what each side took out of a set, then removes the key so that both are equal again.
func (r *rig) spop(args []string, pool []reply, want, got reply) string {
	for who, s := range map[string]side{"redis": r.real, "ours": r.ours} {
		answer := want
		if who == "ours" {
			answer = got
		}
		if bad := plausible("SPOP", args, pool, answer); bad != "" {
			return who + ": " + bad
		}
		taken := answer.elems
		if answer.kind == bulk {
			taken = []reply{answer}
		}
		left := s.do(observer, "SMEMBERS", args[1])
		all := reply{kind: array, elems: slices.Concat(left.elems, taken)}
		if !same(sorted(all, 1), sorted(reply{kind: array, elems: pool}, 1)) {
			return fmt.Sprintf("%s: left %s of %s", who, left, reply{kind: array, elems: pool})
		}
		s.do(observer, "DEL", args[1])
	}
	if want.kind != got.kind || len(want.elems) != len(got.elems) {
		return "not the same number"
	}
	return ""
}

// plausible checks the reply to a command that chooses at random against what it had to choose from.
func plausible(name string, args []string, pool []reply, answer reply) string {
	size := 1 // of what was read
	if name == "HRANDFIELD" || name == "ZRANDMEMBER" {
		size = 2
	}
	known := map[string]string{} // member: value
	for row := range slices.Chunk(pool, size) {
		known[row[0].str] = row[size-1].str
	}
	if name == "RANDOMKEY" || len(args) == 2 {
		if len(pool) == 0 && answer.kind == null {
			return ""
		}
		if _, is := known[answer.str]; !is || answer.kind != bulk {
			return "not one of them"
		}
		return ""
	}
	if answer.kind != array {
		return "not an array"
	}
	n, _ := strconv.ParseInt(args[2], 10, 64)
	width := 1
	if len(args) == 4 {
		width = 2
	}
	seen := map[string]bool{}
	for row := range slices.Chunk(answer.elems, width) {
		value, is := known[row[0].str]
		switch {
		case !is || row[0].kind != bulk:
			return fmt.Sprintf("%q is not one of them", row[0].str)
		case len(row) < width || width == 2 && row[1].str != value:
			return fmt.Sprintf("%q has not the right value", row[0].str)
		case n >= 0 && seen[row[0].str]:
			return fmt.Sprintf("%q came twice", row[0].str)
		}
		seen[row[0].str] = true
	}
	count := int64(len(known))
	switch {
	case count == 0:
		n = 0
	case n < 0:
		n = -n
	default:
		n = min(n, count)
	}
	if int64(len(answer.elems)) != n*int64(width) {
		return "not the right number"
	}
	return ""
}

// compareAll compares the whole key space.
func (r *rig) compareAll() (difference string) {
	keys := r.real.do(observer, "KEYS", "*").elems
	var types, commands [][]string
	for _, key := range keys {
		types = append(types, []string{"TYPE", key.str}, []string{"OBJECT", "ENCODING", key.str})
	}
	commands = append(commands, []string{"DBSIZE"}, []string{"KEYS", "*"})
	exact := map[int]bool{}
	for i, answer := range r.real.all(observer, types...) {
		if i%2 == 0 {
			commands = append(commands, content(answer.str, types[i][1])...)
		} else if answer.str == "listpack" && commands[len(commands)-1][0] == "HGETALL" {
			exact[len(commands)-1] = true
		}
	}
	real, ours := r.real.all(observer, commands...), r.ours.all(observer, commands...)
	for i, q := range commands {
		if !equal(q[0], real[i], ours[i], exact[i]) {
			return fmt.Sprintf("in the end, %s\nredis: %s\n ours: %s", show(q), real[i], ours[i])
		}
	}
	return ""
}

// content returns the commands that read all of a key.
func content(typ, key string) [][]string {
	qs := [][]string{{"TYPE", key}, {"PTTL", key}}
	switch typ {
	case "string":
		qs = append(qs, []string{"GET", key}, []string{"PFCOUNT", key})
	case "hash":
		qs = append(qs, []string{"HLEN", key}, []string{"HGETALL", key}) // HGETALL last: see compareAll
	case "list":
		qs = append(qs, []string{"LRANGE", key, "0", "-1"}, []string{"LLEN", key})
	case "set":
		qs = append(qs, []string{"SMEMBERS", key}, []string{"SCARD", key})
	case "zset":
		qs = append(qs, []string{"ZRANGE", key, "0", "-1", "WITHSCORES"}, []string{"ZREVRANGE", key, "0", "-1"}, []string{"ZCARD", key})
	case "stream":
		qs = append(qs, []string{"XRANGE", key, "-", "+"}, []string{"XLEN", key})
	}
	return qs
}

// minimise drops commands from a sequence that differs as long as it still does.
func (r *rig) minimise(seq []step) ([]step, string) {
	stats := r.stats
	r.stats = nil
	defer func() { r.stats = stats }()
	why := r.run(seq)
	for size := len(seq) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(seq); {
			shorter := slices.Concat(seq[:at], seq[at+size:])
			if bad := r.run(shorter); bad != "" {
				seq, why = shorter, bad
				continue
			}
			at += size
		}
	}
	return seq, why
}

// check runs a sequence and reports a difference, with the least sequence that shows it.
func (r *rig) check(tb testing.TB, name string, seq []step) bool {
	tb.Helper()
	first := r.run(seq)
	if first == "" {
		return true
	}
	least, why := r.minimise(seq)
	if why == "" {
		tb.Errorf("%s: differs, but not when run again: %s", name, first)
		return false
	}
	var b strings.Builder
	for i, st := range least {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, st)
	}
	tb.Errorf("%s: %s\nthe sequence:\n%s", name, why, b.String())
	return false
}
