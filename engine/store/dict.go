package store

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// dict is a map that keeps its keys in the order of their insertion. A small one is a slice that is searched.
type dict[V any] struct {
	items []item[V]
	index map[string]int32 // place in items; nil while there are few
	dead  int
}

type item[V any] struct {
	key  string
	val  V
	live bool
}

// dictSmall is the size up to which a dict has no index.
const dictSmall = 12

func (d *dict[V]) len() int { return len(d.items) - d.dead }

func (d *dict[V]) place(key string) int {
	if d.index != nil {
		if i, ok := d.index[key]; ok {
			return int(i)
		}
		return -1
	}
	for i := range d.items {
		if d.items[i].key == key {
			return i
		}
	}
	return -1
}

// get returns a pointer to the value of key, nil if there is none; it holds until the next put or del.
func (d *dict[V]) get(key string) *V {
	if i := d.place(key); i >= 0 {
		return &d.items[i].val
	}
	return nil
}

// put sets the value of key, and reports whether the key is new.
func (d *dict[V]) put(key string, v V) bool {
	if i := d.place(key); i >= 0 {
		d.items[i].val = v
		return false
	}
	key = strings.Clone(key)
	d.items = append(d.items, item[V]{key, v, true})
	switch {
	case d.index != nil:
		d.index[key] = int32(len(d.items) - 1)
	case len(d.items) > dictSmall:
		d.reindex()
	}
	return true
}

func (d *dict[V]) reindex() {
	d.index = make(map[string]int32, len(d.items)*2)
	for i := range d.items {
		d.index[d.items[i].key] = int32(i)
	}
}

// del removes key, and returns its value.
func (d *dict[V]) del(key string) (v V, ok bool) {
	i := d.place(key)
	if i < 0 {
		return v, false
	}
	v = d.items[i].val
	if d.index == nil {
		d.items = slices.Delete(d.items, i, i+1)
		return v, true
	}
	delete(d.index, key)
	d.items[i] = item[V]{}
	if d.dead++; d.dead > len(d.items)/2 {
		d.compact()
	}
	return v, true
}

// compact closes the gaps.
func (d *dict[V]) compact() {
	items := make([]item[V], 0, d.len()+d.len()/4+1)
	for i := range d.items {
		if d.items[i].live {
			items = append(items, d.items[i])
		}
	}
	d.items, d.dead, d.index = items, 0, nil
	if len(items) > dictSmall {
		d.reindex()
	}
}

// all yields keys and values in order.
func (d *dict[V]) all(yield func(string, V) bool) {
	for i := range d.items {
		if d.items[i].live && !yield(d.items[i].key, d.items[i].val) {
			return
		}
	}
}

// random returns one of the items; the dict is not empty.
func (d *dict[V]) random() *item[V] {
	for {
		if it := &d.items[rand.IntN(len(d.items))]; it.live {
			return it
		}
	}
}

// sample returns n different items in random order.
func (d *dict[V]) sample(n int) []*item[V] {
	if n > d.len() {
		n = d.len()
	}
	list := make([]*item[V], 0, n)
	if n*4 < d.len() {
		seen := make(map[*item[V]]struct{}, n)
		for len(list) < n {
			it := d.random()
			if _, dup := seen[it]; !dup {
				seen[it] = struct{}{}
				list = append(list, it)
			}
		}
		return list
	}
	for i := range d.items {
		if d.items[i].live {
			list = append(list, &d.items[i])
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:n]
}

// memory is the approximate size of what a dict needs per key beside the bytes of keys and values.
func (d *dict[V]) memory(perItem int64) int64 {
	n := int64(cap(d.items)) * (17 + perItem)
	if d.index != nil {
		n += int64(len(d.index)) * 40
	}
	return n
}
