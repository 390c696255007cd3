package crash

import (
	"bytes"
	"math/rand/v2"
	"strconv"
)

// kind is what the scripts do with an event.
type kind int

const (
	good      kind = iota // goes to both sinks
	dropped               // the analyzer emits nothing
	raising               // the analyzer raises: dead letter
	malformed             // no JSON: dead letter, no script sees it
)

// keys is how many src_ip there are.
const keys = 50

// padding is what the pads of events are cut from: plain text, escapes and UTF-8, so that any piece of it between two
// steps of padStep bytes is valid inside a JSON string.
var padding = makePadding()

const (
	padStep = 6
	padLen  = 64 << 10
)

func makePadding() []byte {
	units := []string{`\u00e9`, `\/\/\/`, `\"\\\n`, "ééé", "€€", "abcdef", "012345", "   { }", ", : [ ", "\u007fZZZZZ"}
	r := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for len(b) < padLen {
		b = append(b, units[r.IntN(len(units))]...)
	}
	return b
}

// event says what number n of a seed is. The same seed and number always give the same.
type event struct {
	n    int
	kind kind
	key  int // 0 to keys-1
	flow uint64
	pad  []byte
}

func newEvent(seed uint64, n int) event {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	e := event{n: n, key: r.IntN(keys), flow: r.Uint64()}
	switch p := r.IntN(100); {
	case p < 5:
		e.kind = dropped
	case p < 8:
		e.kind = raising
	case p < 10:
		e.kind = malformed
	}
	var units int
	switch p := r.IntN(1000); {
	case p < 5:
		units = 300 + r.IntN(3000)
	case p < 200:
		units = 30 + r.IntN(200)
	default:
		units = r.IntN(30)
	}
	from := r.IntN(len(padding)/padStep-units) * padStep
	e.pad = padding[from : from+units*padStep]
	return e
}

var kindNames = [...]string{"pass", "drop", "raise", "malformed"}

// append appends the line as it is issued, without a line end.
func (e *event) append(b []byte) []byte {
	b = append(b, `{"n":`...)
	b = strconv.AppendInt(b, int64(e.n), 10)
	b = append(b, `,"event_type":"flow","kind":"`...)
	b = append(b, kindNames[e.kind]...)
	b = append(b, `","src_ip":"10.0.0.`...)
	b = strconv.AppendInt(b, int64(e.key), 10)
	b = append(b, `","flow_id":`...)
	b = strconv.AppendUint(b, e.flow, 10)
	b = append(b, `,"ratio":1.0,"list":[],"none":null,"pad":"`...)
	b = append(b, e.pad...)
	b = append(b, '"')
	if e.kind != malformed {
		b = append(b, '}')
	}
	return b
}

// number reads n from the beginning of a line; 0 means that there is none.
func number(line []byte) int {
	rest, ok := bytes.CutPrefix(line, []byte(`{"n":`))
	if !ok {
		return 0
	}
	n := 0
	for i, c := range rest {
		if c == ',' && i > 0 && i < 12 {
			return n
		}
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return 0
}
