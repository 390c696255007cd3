package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
)

// delivery is what arrived at one sink. It is safe for all goroutines.
type delivery struct {
	name  string
	seed  uint64
	parse func(d *delivery, line []byte) (n int, fault string)

	mu      sync.Mutex
	first   int      // number of seen[0]
	seen    []uint16 // how often each event came
	order   []int    // numbers in the order of their first arrival
	newest  int
	total   int
	faults  []string // lines that are not what was issued; the first ones
	nfaults int
	scratch []byte
}

// take notes a line that arrived, without its end.
func (d *delivery) take(line []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	n, fault := d.parse(d, line)
	if fault != "" {
		d.fault(fmt.Sprintf("%s: %s: %.300q", d.name, fault, line))
		return
	}
	if n < d.first {
		d.fault(fmt.Sprintf("%s: event %d came again long after it was finished", d.name, n))
		return
	}
	for n-d.first >= len(d.seen) {
		d.seen = append(d.seen, make([]uint16, 1024)...)
	}
	if d.seen[n-d.first]++; d.seen[n-d.first] == 1 {
		d.order = append(d.order, n)
	}
	d.newest = max(d.newest, n)
}

func (d *delivery) fault(text string) {
	if d.nfaults++; d.nfaults <= 5 {
		d.faults = append(d.faults, text)
	}
}

// torn notes bytes behind the last line end of a sink that keeps what it has.
func (d *delivery) torn(where string, piece []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault(fmt.Sprintf("%s: %s ends in a torn line: %.300q", d.name, where, piece))
}

func (d *delivery) times(n int) int {
	if i := n - d.first; i >= 0 && i < len(d.seen) {
		return int(d.seen[i])
	}
	return 0
}

// reached reports whether an event with a number above n has come.
func (d *delivery) reached(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest > n
}

// distinct returns how many different events came.
func (d *delivery) distinct() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.order)
}

// forget begins to count anew, with event first.
func (d *delivery) forget(first int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first, d.seen, d.order = first, nil, nil
}

// asIssued parses the lines of a sink that gets events as they were issued.
func asIssued(d *delivery, line []byte) (int, string) {
	n := number(line)
	if n == 0 {
		return 0, "no line of ours"
	}
	e := newEvent(d.seed, n)
	if d.scratch = e.append(d.scratch[:0]); !bytes.Equal(d.scratch, line) {
		return 0, "not the bytes that were issued"
	}
	if e.kind != good {
		return 0, "an event that should not be here"
	}
	return n, ""
}

// withVerdict parses the lines of a sink that gets events to which an analyzer added a field.
func withVerdict(d *delivery, line []byte) (int, string) {
	rest, ok := bytes.CutSuffix(line, []byte(`,"verdict":"ok"}`))
	if !ok {
		return 0, "no verdict at its end"
	}
	d.scratch = append(append(d.scratch[:0], rest...), '}')
	whole := d.scratch
	n := number(whole)
	if n == 0 {
		return 0, "no line of ours"
	}
	e := newEvent(d.seed, n)
	if !bytes.Equal(e.append(nil), whole) {
		return 0, "not the bytes that were issued"
	}
	if e.kind != good {
		return 0, "an event that should not be here"
	}
	return n, ""
}

// deadLetter parses the lines of the dead letter.
func deadLetter(d *delivery, line []byte) (int, string) {
	var entry struct {
		Stage, Reason string
		Event         json.RawMessage
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return 0, err.Error()
	}
	body := []byte(entry.Event)
	if len(body) > 0 && body[0] == '"' {
		var text string
		if err := json.Unmarshal(body, &text); err != nil {
			return 0, err.Error()
		}
		body = []byte(text)
	}
	n := number(body)
	if n == 0 {
		return 0, "no event of ours in it"
	}
	e := newEvent(d.seed, n)
	if !bytes.Equal(e.append(nil), body) {
		return 0, "not the bytes that were issued"
	}
	want := map[kind]string{raising: "script_error", malformed: "malformed"}[e.kind]
	if want == "" || entry.Reason != want {
		return 0, fmt.Sprintf("reason is %q, want %q", entry.Reason, want)
	}
	return n, ""
}
