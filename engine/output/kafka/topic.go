package kafka

import (
	"fmt"
	"strings"
	"time"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/wire/template"
)

// longestTopic is Kafka's limit in bytes.
const longestTopic = 249

// topics makes the topic of an event.
type topics struct {
	*template.Template
	text string            // as written; the topic itself if it is fixed
	most int               // topics
	seen map[string]string // those that were made
	buf  []byte
}

// syntax of topics: ${field} is for those who write $${field} in config.lua.
var syntax = template.Syntax{Dollar: true, Missing: "unknown", Clean: appendClean, Name: func(name string) bool { return !strings.ContainsAny(name, "{ ") }}

func newTopics(text string, most int) (*topics, error) {
	if text == "" {
		return nil, fmt.Errorf("names no topic, want kafka://HOST:PORT/TOPIC")
	}
	t, err := syntax.Parse(text)
	const want = "want up to %d letters, digits, '.', '_' and '-', and fields as in eve-{event_type}"
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is no topic: %w; "+want, err, longestTopic)
	case !t.Literals(isClean), t.Fixed() && (len(text) > longestTopic || text == "." || text == ".."):
		return nil, fmt.Errorf("%q is no topic: "+want, text, longestTopic)
	}
	return &topics{Template: t, text: text, most: most, seen: map[string]string{}}, nil
}

// of returns the topic of the event that r is at. The error is one for good.
func (t *topics) of(r *lazyjson.Reader) (string, error) {
	if t.Fixed() {
		return t.text, nil
	}
	t.buf = t.Append(t.buf[:0], r, time.Time{})
	name := t.buf[:min(len(t.buf), longestTopic)]
	switch string(name) {
	case "":
		name = append(name, syntax.Missing...)
	case ".", "..":
		name = append(name[:0], "__"...)
	}
	if seen, ok := t.seen[string(name)]; ok {
		return seen, nil
	}
	if len(t.seen) >= t.most {
		return "", fmt.Errorf("topic %q would be one more than max_topics (%d): raise it, or take a field with fewer values", name, t.most)
	}
	made := string(name)
	t.seen[made] = made
	return made, nil
}

// appendClean appends s with what the name of a topic may not hold replaced.
func appendClean(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			dst = append(dst, byte(r))
		default:
			dst = append(dst, '_')
		}
	}
	return dst
}

func isClean(s string) bool { return string(appendClean(nil, s)) == s }
