package store

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// streamID is a time in Unix milliseconds and a number within it.
type streamID struct{ ms, seq uint64 }

func (a streamID) compare(b streamID) int {
	switch {
	case a.ms != b.ms:
		if a.ms < b.ms {
			return -1
		}
		return 1
	case a.seq < b.seq:
		return -1
	case a.seq > b.seq:
		return 1
	}
	return 0
}

func (a streamID) String() string {
	return strconv.FormatUint(a.ms, 10) + "-" + strconv.FormatUint(a.seq, 10)
}

// next returns the ID behind a; ok is false for the last of all.
func (a streamID) next() (streamID, bool) {
	switch {
	case a.seq < math.MaxUint64:
		return streamID{a.ms, a.seq + 1}, true
	case a.ms < math.MaxUint64:
		return streamID{a.ms + 1, 0}, true
	}
	return a, false
}

func (a streamID) previous() (streamID, bool) {
	switch {
	case a.seq > 0:
		return streamID{a.ms, a.seq - 1}, true
	case a.ms > 0:
		return streamID{a.ms - 1, math.MaxUint64}, true
	}
	return a, false
}

// stream is an append-only list of entries with fields, sorted by ID.
type stream struct {
	entries []streamEntry
	nodes   []streamNode
	last    streamID // also when its entry is gone
	mem     int64
}

type streamEntry struct {
	id     streamID
	fields []string // name, value, ...
}

func (*stream) typeName() string { return "stream" }
func (s *stream) bytes() int64   { return 96 + s.mem }

func (e *streamEntry) bytes() int64 {
	n := int64(40 + 16*len(e.fields))
	for _, f := range e.fields {
		n += int64(len(f))
	}
	return n
}

func (s *stream) add(e streamEntry) {
	s.entries = append(s.entries, e)
	s.last = e.id
	s.mem += e.bytes()
	s.book(e)
}

// search returns the place of the first entry at or behind id.
func (s *stream) search(id streamID) int {
	i, _ := slices.BinarySearchFunc(s.entries, id, func(e streamEntry, id streamID) int { return e.id.compare(id) })
	return i
}

// cut removes the first n entries.
func (s *stream) cut(n int) {
	s.unbookFirst(n)
	for i := range n {
		s.mem -= s.entries[i].bytes()
		s.entries[i] = streamEntry{}
	}
	s.entries = s.entries[n:]
	if cap(s.entries) > 64 && len(s.entries) < cap(s.entries)/4 {
		s.entries = slices.Clone(s.entries)
	}
}

func (e *streamEntry) reply() Reply {
	return array([]Reply{bulk(e.id.String()), bulks(e.fields)})
}

var errStreamID = Err("ERR Invalid stream ID specified as stream command argument")

// parseID reads "ms", "ms-seq", "-" and "+"; seq is what a missing number means.
func parseID(s string, seq uint64, strict bool) (streamID, bool) {
	if !strict {
		switch s {
		case "-":
			return streamID{}, true
		case "+":
			return streamID{math.MaxUint64, math.MaxUint64}, true
		}
	}
	if len(s) > 127 {
		return streamID{}, false
	}
	ms, rest, both := strings.Cut(s, "-")
	id := streamID{seq: seq}
	var good bool
	if id.ms, good = parseUint(ms); !good {
		return id, false
	}
	if both {
		if id.seq, good = parseUint(rest); !good {
			return id, false
		}
	}
	return id, true
}

// parseUint reads a number as C's strtoull does: blanks, a sign and leading zeros may stand before it. A negative one that
// has none of these is refused.
func parseUint(s string) (uint64, bool) {
	if n, good := parseInt(s); good {
		return uint64(n), n >= 0
	}
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	digits := strings.TrimPrefix(s, "-")
	if digits == s {
		digits = strings.TrimPrefix(s, "+")
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || digits[0] == '+' {
		return 0, false
	}
	if digits != s && s[0] == '-' {
		n = -n
	}
	return n, true
}

// trimming is MAXLEN or MINID of XADD and XTRIM.
type trimming struct {
	kind   string // "", "maxlen", "minid"
	maxlen int64
	minid  streamID
	approx bool
	limit  int64 // 0 is none
}

// option reads args[i] if it belongs to a trimming and returns how many arguments it took; 0 is none of its own.
func (t *trimming) option(args []string, i int) (took int, bad *Reply) {
	fail := func(text string) (int, *Reply) { r := Err(text); return 0, &r }
	a := args[i]
	switch {
	case (is(a, "maxlen") || is(a, "minid")) && i+1 < len(args):
		if t.kind != "" {
			return fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		}
		took = 2
		if v := args[i+1]; (v == "~" || v == "=") && i+2 < len(args) {
			t.approx = v == "~"
			took = 3
		}
		v := args[i+took-1]
		t.kind = strings.ToLower(a)
		var good bool
		if t.kind == "maxlen" {
			if t.maxlen, good = parseInt(v); !good {
				return 0, &errInt
			}
			if t.maxlen < 0 {
				return fail("ERR The MAXLEN argument must be >= 0.")
			}
		} else if t.minid, good = parseID(v, 0, true); !good {
			return 0, &errStreamID
		}
		return took, nil
	case is(a, "limit") && i+1 < len(args):
		n, good := parseInt(args[i+1])
		if !good {
			return 0, &errInt
		}
		if n < 0 {
			return fail("ERR The LIMIT argument must be >= 0.")
		}
		t.limit = max(n, 1)
		if n == 0 {
			t.limit = -1
		}
		return 2, nil
	}
	return 0, nil
}

func (t *trimming) check() *Reply {
	if t.limit > 0 && t.kind == "" {
		r := Err("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
		return &r
	}
	if t.limit != 0 && !t.approx {
		r := Err("ERR syntax error, LIMIT cannot be used without the special ~ option")
		return &r
	}
	return nil
}

// trim removes entries from the front and returns how many.
func (t *trimming) trim(s *stream) int {
	n := 0
	switch {
	case t.approx:
		n = t.whole(s)
	case t.kind == "maxlen":
		n = max(len(s.entries)-int(min(t.maxlen, math.MaxInt32)), 0)
	case t.kind == "minid":
		n = s.search(t.minid)
	}
	s.cut(n)
	return n
}

var streamCommands = []command{
	write1("xadd", 5, -1, xadd),
	readOf("xlen", 2, 2, integer(0), func(c *call, s *stream) Reply {
		return integer(int64(len(s.entries)))
	}),
	read1("xrange", 4, -1, func(c *call) Reply { return c.xrange(c.args[2], c.args[3], false) }),
	read1("xrevrange", 4, -1, func(c *call) Reply { return c.xrange(c.args[3], c.args[2], true) }),
	free1("xdel", 3, -1, func(c *call) Reply {
		ids := make([]streamID, 0, len(c.args)-2)
		s, e, bad := typed[*stream](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		for _, a := range c.args[2:] {
			id, good := parseID(a, 0, true)
			if !good {
				return errStreamID
			}
			ids = append(ids, id)
		}
		n := 0
		for _, id := range ids {
			if i := s.search(id); i < len(s.entries) && s.entries[i].id == id {
				s.mem -= s.entries[i].bytes()
				s.entries = slices.Delete(s.entries, i, i+1)
				s.unbook(id)
				n++
			}
		}
		if n > 0 {
			c.changed(e)
		}
		return integer(int64(n))
	}),
	free1("xtrim", 4, -1, func(c *call) Reply {
		var t trimming
		for i := 2; i < len(c.args); {
			took, bad := t.option(c.args, i)
			if bad != nil {
				return *bad
			}
			if took == 0 {
				return errSyntax
			}
			i += took
		}
		if t.kind == "" && t.limit <= 0 {
			return Err("ERR syntax error, XTRIM must be called with a trimming strategy")
		}
		if bad := t.check(); bad != nil {
			return *bad
		}
		s, e, bad := typed[*stream](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		n := t.trim(s)
		if n > 0 {
			c.changed(e)
		}
		return integer(int64(n))
	}),
	{name: "xread", min: 4, max: -1, keys: xreadKeys, run: xread},
}

func xadd(c *call) Reply {
	var t trimming
	create := true
	i := 2
	for ; i < len(c.args); i++ {
		if is(c.args[i], "nomkstream") {
			create = false
			continue
		}
		took, bad := t.option(c.args, i)
		if bad != nil {
			return *bad
		}
		if took == 0 {
			break
		}
		i += took - 1
	}
	fields := c.args[min(i+1, len(c.args)):]
	var id streamID
	auto, autoSeq := false, false
	if i < len(c.args) {
		if a := c.args[i]; a == "*" {
			auto = true
		} else {
			ms, isAuto := strings.CutSuffix(a, "-*")
			autoSeq = isAuto
			if !isAuto {
				ms = a
			}
			var good bool
			if id, good = parseID(ms, 0, true); !good {
				return errStreamID
			}
		}
	}
	if bad := t.check(); bad != nil {
		return *bad
	}
	if len(fields) < 2 || len(fields)%2 != 0 {
		return errArity("xadd")
	}
	if !auto && !autoSeq && id == (streamID{}) {
		return Err("ERR The ID specified in XADD must be greater than 0-0")
	}
	s, e, bad := typed[*stream](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		if !create {
			return nilReply
		}
		s = &stream{}
	}
	tooSmall := Err("ERR The ID specified in XADD is equal or smaller than the target stream top item")
	switch {
	case s.last == (streamID{math.MaxUint64, math.MaxUint64}):
		return Err("ERR The stream has exhausted the last possible ID, unable to add more items")
	case auto:
		if id = (streamID{ms: uint64(c.now())}); id.compare(s.last) <= 0 {
			id, _ = s.last.next()
		}
	case autoSeq:
		if id.ms == s.last.ms {
			if s.last.seq == math.MaxUint64 {
				return tooSmall
			}
			id.seq = s.last.seq + 1
		}
	}
	if id.compare(s.last) <= 0 {
		if id == (streamID{}) {
			id.seq = 1 // 0-* of a new stream
		}
		if id.compare(s.last) <= 0 {
			return tooSmall
		}
	}
	if e == nil {
		e = c.put(c.args[1], s)
	}
	kept := make([]string, len(fields))
	for k, f := range fields {
		kept[k] = strings.Clone(f)
	}
	s.add(streamEntry{id, kept})
	if t.kind != "" {
		t.trim(s)
	}
	c.changed(e)
	return bulk(id.String())
}

func (c *call) xrange(from, to string, rev bool) Reply {
	// "(" leaves the end itself out
	end := func(s string, seq uint64, step func(streamID) (streamID, bool), what string) (streamID, *Reply) {
		open := len(s) > 1 && s[0] == '('
		id, good := parseID(strings.TrimPrefix(s, "("), seq, open)
		if !good || (s == "(") {
			return id, &errStreamID
		}
		if open {
			if id, good = step(id); !good {
				r := Err("ERR invalid " + what + " ID for the interval")
				return id, &r
			}
		}
		return id, nil
	}
	start, bad := end(from, 0, streamID.next, "start")
	if bad != nil {
		return *bad
	}
	stop, bad := end(to, math.MaxUint64, streamID.previous, "end")
	if bad != nil {
		return *bad
	}
	count := int64(-1)
	for i := 4; i < len(c.args); i += 2 {
		if !is(c.args[i], "count") || i+1 >= len(c.args) {
			return errSyntax
		}
		var good bool
		if count, good = parseInt(c.args[i+1]); !good {
			return errInt
		}
		count = max(count, 0)
	}
	s, e, bad := typed[*stream](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return emptyArray()
	}
	if count == 0 {
		return nilReply
	}
	i, j := s.search(start), len(s.entries)
	if next, more := stop.next(); more {
		j = s.search(next)
	}
	list := []Reply{}
	for k := range max(j-i, 0) {
		if count > 0 && int64(k) == count {
			break
		}
		if rev {
			list = append(list, s.entries[j-1-k].reply())
		} else {
			list = append(list, s.entries[i+k].reply())
		}
	}
	return array(list)
}

func xreadKeys(args []string) ([]string, bool) {
	for i, a := range args {
		if is(a, "streams") {
			rest := args[i+1:]
			return rest[:len(rest)/2], false
		}
	}
	return nil, false
}

// xread is XREAD without waiting: BLOCK is taken and means nothing, as in a transaction.
func xread(c *call) Reply {
	count := int64(0)
	for i := 1; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case is(a, "count") && i+1 < len(c.args):
			var good bool
			if count, good = parseInt(c.args[i+1]); !good {
				return errInt
			}
			count = max(count, 0)
			i++
		case is(a, "block") && i+1 < len(c.args):
			if n, good := parseInt(c.args[i+1]); !good {
				return Err("ERR timeout is not an integer or out of range")
			} else if n < 0 {
				return Err("ERR timeout is negative")
			}
			i++
		case is(a, "streams") && i+1 < len(c.args):
			return c.xreadStreams(c.args[i+1:], count)
		default:
			return errSyntax
		}
	}
	return errSyntax
}

func (c *call) xreadStreams(rest []string, count int64) Reply {
	if len(rest)%2 != 0 {
		return Err("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
	}
	keys, ids := rest[:len(rest)/2], rest[len(rest)/2:]
	var out []Reply
	after := make([]streamID, len(ids))
	for i, a := range ids {
		s, e, bad := typed[*stream](c, keys[i])
		switch {
		case bad != nil:
			return *bad
		case a == "$":
			if e != nil {
				after[i] = s.last
			}
		case a == ">":
			return Err("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
		default:
			var good bool
			if after[i], good = parseID(a, 0, true); !good {
				return errStreamID
			}
		}
	}
	for i, key := range keys {
		s, e, bad := typed[*stream](c, key)
		if bad != nil {
			return *bad
		}
		if e == nil {
			continue
		}
		first, more := after[i].next()
		if !more {
			continue
		}
		var list []Reply
		for k := s.search(first); k < len(s.entries) && (count == 0 || int64(len(list)) < count); k++ {
			list = append(list, s.entries[k].reply())
		}
		if len(list) > 0 {
			out = append(out, array([]Reply{bulk(key), array(list)}))
		}
	}
	if len(out) == 0 {
		return nilReply
	}
	return array(out)
}
