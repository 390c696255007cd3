package kafka

import (
	"fmt"
	"strings"

	"dragonfly/engine/lazyjson"
)

// longestTopic is Kafka's limit in bytes.
const longestTopic = 249

// template makes the topic of an event.
type template struct {
	text   string     // as written; the topic itself if there are no fields in it
	pieces []piece    // empty if fixed
	most   int        // topics
	seen   *topicsSet // those that were made
}

type topicsSet struct{ names map[string]struct{} }

type piece struct {
	text string
	path []string // a field; nil: text
}

func newTemplate(text string, most int) (template, error) {
	t := template{text: text, most: most, seen: &topicsSet{map[string]struct{}{}}}
	if text == "" {
		return t, fmt.Errorf("names no topic, want kafka://HOST:PORT/TOPIC")
	}
	bad := func() (template, error) {
		return t, fmt.Errorf("%q is no topic: want up to %d letters, digits, '.', '_' and '-', and fields as in eve-{event_type}", text, longestTopic)
	}
	for rest := strings.ReplaceAll(text, "${", "{"); rest != ""; { // ${field} is for those who write $${field} in config.lua
		before, after, found := strings.Cut(rest, "{")
		if clean(before) != before {
			return bad()
		}
		if before != "" {
			t.pieces = append(t.pieces, piece{text: before})
		}
		if !found {
			break
		}
		field, end, ok := strings.Cut(after, "}")
		if !ok || field == "" || strings.ContainsAny(field, "{ ") {
			return bad()
		}
		t.pieces = append(t.pieces, piece{path: strings.Split(field, ".")})
		rest = end
	}
	if len(t.pieces) == 1 && t.pieces[0].path == nil {
		t.pieces = nil
		if len(text) > longestTopic || text == "." || text == ".." {
			return bad()
		}
	}
	return t, nil
}

func (t *template) fixed() bool { return t.pieces == nil }

// of returns the topic of an event. The error is one for good.
func (t *template) of(f *fields) (string, error) {
	if t.fixed() {
		return t.text, nil
	}
	var b strings.Builder
	for _, p := range t.pieces {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		value, ok := f.text(p.path)
		if !ok || value == "" {
			value = "unknown"
		}
		b.WriteString(clean(value))
	}
	name := b.String()
	if len(name) > longestTopic {
		name = name[:longestTopic]
	}
	if name == "." || name == ".." {
		name = strings.Repeat("_", len(name))
	}
	if _, ok := t.seen.names[name]; !ok {
		if len(t.seen.names) >= t.most {
			return "", fmt.Errorf("topic %q would be one more than max_topics (%d): raise it, or take a field with fewer values", name, t.most)
		}
		t.seen.names[name] = struct{}{}
	}
	return name, nil
}

// clean replaces what the name of a topic may not hold.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, s)
}

// fields finds values in one event after the other.
type fields struct {
	body           string
	index          []lazyjson.Field
	memory, nested []lazyjson.Field
}

// set takes the next event; index may be nil.
func (f *fields) set(body string, index []lazyjson.Field) {
	f.body, f.index = body, index
	if f.index == nil {
		f.memory, _ = lazyjson.IndexObject(f.memory[:0], body)
		f.index = f.memory
	}
}

// text returns a string without its quotes, or a number, true or false as written; not objects, arrays and null.
func (f *fields) text(path []string) (string, bool) {
	var at *lazyjson.Field
	at, f.nested = lazyjson.FindPath(f.index, f.body, path, f.nested)
	if at == nil {
		return "", false
	}
	raw := at.Raw(f.body)
	switch raw[0] {
	case '"':
		return lazyjson.Unquote(raw[1 : len(raw)-1]), true
	case '{', '[', 'n':
		return "", false
	}
	return raw, true
}
