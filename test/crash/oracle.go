package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
)

// cut is an end of a process without a complete drain. What was issued and stands above the checkpoint may come again.
type cut struct {
	last  int     // number of the newest event then
	saved []int64 // by file: what the checkpoint said, or has said before; 0 if it never knew the file
}

// oracle knows what was issued and what may come twice.
type oracle struct {
	first  int
	events []issued
	cuts   []cut
}

// allowed returns how often event n may arrive at most.
func (o *oracle) allowed(n int) int {
	ev := &o.events[n-o.first]
	times := 1
	for i := range o.cuts {
		c := &o.cuts[i]
		if n <= c.last && (int(ev.file) >= len(c.saved) || c.saved[ev.file] < ev.end) {
			times++
		}
	}
	return times
}

// again returns how many events could come again after cut i.
func (o *oracle) again(i int) int {
	c, n := &o.cuts[i], 0
	for j := range o.events {
		ev := &o.events[j]
		if o.first+j <= c.last && (int(ev.file) >= len(c.saved) || c.saved[ev.file] < ev.end) {
			n++
		}
	}
	return n
}

// verdict is what the oracle finds. Everything in it is a fault but the counts.
type verdict struct {
	faults     []string
	issued     int
	delivered  int // different events, at all sinks
	duplicates int
	possible   int // duplicates that the cuts allow, per sink
}

func (v *verdict) add(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// sinkOf returns whether an event of kind k belongs into a sink.
type sinkOf struct {
	*delivery
	takes   func(k kind) bool
	ordered bool // arrivals are known in order
}

// judge compares what was issued with what arrived.
func (o *oracle) judge(sinks []sinkOf) verdict {
	v := verdict{issued: len(o.events)}
	allowed := make([]int, len(o.events))
	for i := range o.events {
		allowed[i] = o.allowed(o.first + i)
		v.possible += allowed[i] - 1
	}
	for _, s := range sinks {
		o.judgeSink(&v, s, allowed)
	}
	return v
}

func (o *oracle) judgeSink(v *verdict, s sinkOf, allowed []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.faults = append(v.faults, s.faults...)
	if s.nfaults > len(s.faults) {
		v.add("%s: %d more such faults", s.name, s.nfaults-len(s.faults))
	}
	var lost, often, strange []int
	for i := range o.events {
		n, got := o.first+i, s.times(o.first+i)
		switch wanted := s.takes(o.events[i].kind); {
		case wanted && got == 0:
			lost = append(lost, n)
		case !wanted && got > 0:
			strange = append(strange, n)
		case got > allowed[i]:
			often = append(often, n)
		}
		if got > 0 {
			v.delivered++
			v.duplicates += got - 1
		}
	}
	for i := len(o.events); i < len(s.seen); i++ {
		if s.seen[i] > 0 {
			strange = append(strange, o.first+i)
		}
	}
	o.tell(v, s, "lost", lost, allowed)
	o.tell(v, s, "arrived more often than the checkpoints allow", often, allowed)
	o.tell(v, s, "arrived though they should not", strange, nil)
	if s.ordered {
		o.judgeOrder(v, s)
	}
}

// tell names the first of the events with a fault.
func (o *oracle) tell(v *verdict, s sinkOf, what string, list []int, allowed []int) {
	if len(list) == 0 {
		return
	}
	text := fmt.Sprintf("%s: %d events %s:", s.name, len(list), what)
	for i, n := range list {
		if i == 5 {
			text += " ..."
			break
		}
		text += fmt.Sprintf(" %d", n)
		if i := n - o.first; allowed != nil && i < len(o.events) {
			text += fmt.Sprintf(" (file %d, ends at %d, %d times of %d)", o.events[i].file, o.events[i].end, s.times(n), allowed[i])
		}
	}
	v.faults = append(v.faults, text)
}

// judgeOrder wants the first arrivals of each key of each file in the order in which they were issued.
func (o *oracle) judgeOrder(v *verdict, s sinkOf) {
	type stream struct {
		file int32
		key  uint8
	}
	newest := map[stream]int{}
	wrong := 0
	for _, n := range s.order {
		i := n - o.first
		if i < 0 || i >= len(o.events) {
			continue
		}
		st := stream{o.events[i].file, o.events[i].key}
		if n < newest[st] {
			if wrong++; wrong == 1 {
				v.add("%s: event %d came after %d of the same key and file", s.name, n, newest[st])
			}
		}
		newest[st] = max(newest[st], n)
	}
	if wrong > 1 {
		v.add("%s: %d more events out of order", s.name, wrong-1)
	}
}

// readCheckpoint returns the saved offsets of an input's files.
func readCheckpoint(path, input string) (map[identity]int64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f struct {
		Inputs map[string][]struct {
			Device, Inode uint64
			Offset        int64
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	saved := map[identity]int64{}
	for _, p := range f.Inputs[input] {
		saved[identity{p.Device, p.Inode}] = p.Offset
	}
	return saved, nil
}

// totals is what the script that counts has in its state, over all its shards.
type totals struct {
	N   int
	IPs map[string]tally
}

type tally struct{ N, Sum int }

func (t *totals) count(ip string, n int) {
	if t.IPs == nil {
		t.IPs = map[string]tally{}
	}
	c := t.IPs[ip]
	t.IPs[ip] = tally{c.N + 1, c.Sum + n}
	t.N++
}

// addIssued counts events as the script should.
func (t *totals) addIssued(first int, events []issued) {
	for i, ev := range events {
		if ev.kind != malformed {
			t.count("10.0.0."+strconv.Itoa(int(ev.key)), first+i)
		}
	}
}

// judgeTotals compares the lines that finish() wrote, one per shard, with what was issued.
func judgeTotals(want totals, lines []string, shards int) (faults []string) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if len(lines) != shards {
		add("state: finish() wrote %d lines, want %d: %.300q", len(lines), shards, lines)
	}
	var got totals
	sum := map[string]tally{}
	for _, line := range lines {
		var t totals
		if err := json.Unmarshal([]byte(line), &t); err != nil {
			add("state: %v: %.300q", err, line)
			return faults
		}
		got.N += t.N
		for ip, c := range t.IPs {
			if sum[ip].N > 0 && c.N > 0 {
				add("state: counters of %s are in two shards", ip)
			}
			sum[ip] = tally{sum[ip].N + c.N, sum[ip].Sum + c.Sum}
		}
	}
	if got.N != want.N {
		add("state: counted %d events, want %d (%+d)", got.N, want.N, got.N-want.N)
	}
	for ip, w := range want.IPs {
		if g := sum[ip]; g != w {
			add("state: %s counted %d times with sum %d, want %d and %d", ip, g.N, g.Sum, w.N, w.Sum)
		}
	}
	if slices.Sort(faults); len(faults) > 8 {
		faults = append(faults[:8], fmt.Sprintf("state: %d more such faults", len(faults)-8))
	}
	return faults
}

var ledgerLine = regexp.MustCompile(`ledger: (\S+): read (\d+) = delivered (\d+) \+ dropped (\d+) \+ dead-lettered (\d+)(?: \([^)]*\))? \+ in flight (-?\d+)`)

// judgeLedger checks the ledger lines in the log of one orderly end. drained: nothing may be in flight.
func judgeLedger(text string, drained bool) (faults []string) {
	lines := ledgerLine.FindAllStringSubmatch(text, -1)
	if len(lines) == 0 {
		return []string{"ledger: no line at the end"}
	}
	for _, m := range lines {
		var n [5]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+2])
		}
		if n[0] != n[1]+n[2]+n[3]+n[4] || n[4] < 0 {
			faults = append(faults, "ledger: does not balance: "+m[0])
		}
		if drained && n[4] != 0 {
			faults = append(faults, "ledger: in flight after a drain: "+m[0])
		}
	}
	return faults
}
