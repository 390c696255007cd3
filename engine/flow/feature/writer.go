package feature

import "strconv"

// writer appends members of a JSON object.
type writer struct {
	b    []byte
	some bool
}

func (w *writer) key(prefix, name string) {
	if w.some {
		w.b = append(w.b, ',')
	}
	w.some = true
	w.b = append(w.b, '"')
	w.b = append(w.b, prefix...)
	w.b = append(w.b, name...)
	w.b = append(w.b, `":`...)
}

func (w *writer) count(prefix, name string, n uint64) {
	w.key(prefix, name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

// number writes x, which must be finite.
func (w *writer) number(prefix, name string, x float64) {
	w.key(prefix, name)
	w.b = strconv.AppendFloat(w.b, x, 'f', -1, 64)
}

// time writes nanoseconds in another unit.
func (w *writer) time(prefix, name string, ns uint64, unit float64) {
	w.number(prefix, name, float64(ns)/unit)
}
