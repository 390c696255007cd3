// Package deadletter reads and writes dead letters: the events that a stage could not use, with what was wrong. It holds
// what the engine and the command `dragonfly dead-letter` share:
//
//	dead-letter.json                     one Entry a line, appended by the engine only
//	dead-letter.json.20261121.130000     rotated; also .gz
//	dead-letter.json.done                Index: which entries were replayed or dropped, appended by the command only
//	STATE/replay/                        Requests: what the command asks of the engine, and its answers
package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"dragonfly/engine/lazyjson"
)

// ID names an entry: the first 16 bytes of the SHA-256 of its line. Lines that are equal byte for byte share it.
type ID [16]byte

// String returns the 12 hexadecimal digits that people use.
func (id ID) String() string { return hex.EncodeToString(id[:6]) }

// Full returns all 32 hexadecimal digits.
func (id ID) Full() string { return hex.EncodeToString(id[:]) }

// ParseID reads the 32 digits of Full.
func ParseID(s string) (id ID, err error) {
	if len(s) != 2*len(id) {
		return id, errors.New("an id has 32 hexadecimal digits")
	}
	_, err = hex.Decode(id[:], []byte(s))
	return id, err
}

// IDOf returns the id of a line, given without its line end.
func IDOf(line string) (id ID) {
	h := sha256.New()
	h.Write([]byte(line))
	copy(id[:], h.Sum(nil))
	return id
}

// Entry is one dead letter.
type Entry struct {
	ID       ID // of a parsed entry
	Time     time.Time
	Origin   string // "eve file:///var/log/suricata/eve.json offset 1234": begins with the input's tag
	Stage    string // where it failed: "input TAG", "filter TAG", "analyzer TAG", "output TAG"
	Reason   string // engine.ReasonScript, ...
	Error    string
	ReplayOf string // 12 digits of the entry whose replay failed again; "" for a first failure
	Event    string // the bytes of the event as it was at that stage
	JSON     bool   // Event is valid JSON
}

const timeFormat = "2006-01-02T15:04:05.000000Z"

// eventKey begins the last member. It cannot stand inside of the members before it, which are strings: their quotes are escaped.
const eventKey = `,"event":`

// Append appends e as a line without its end. An event that is JSON stands as it is; one that is not, that is a JSON
// string, or that contains a line end is a JSON string of its bytes. So Parse gets the exact bytes back in every case. Bytes that
// are not UTF-8 pass unchanged, as everywhere. JSON says that Event is known to be valid; else it is validated.
func (e *Entry) Append(dst []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, timeFormat)
	dst = append(dst, '"')
	for _, m := range [...]struct{ key, value string }{{"origin", e.Origin}, {"stage", e.Stage}, {"reason", e.Reason}, {"error", e.Error}, {"replay_of", e.ReplayOf}} {
		if m.key == "replay_of" && m.value == "" {
			continue
		}
		dst = append(dst, ',', '"')
		dst = append(dst, m.key...)
		dst = append(dst, '"', ':')
		dst = lazyjson.AppendQuoted(dst, m.value)
	}
	dst = append(dst, eventKey...)
	if plain(e.Event) && (e.JSON || lazyjson.Validate(e.Event) == nil) {
		dst = append(dst, e.Event...)
	} else {
		dst = lazyjson.AppendQuoted(dst, e.Event)
	}
	return append(dst, '}')
}

// plain reports whether an event that is valid JSON can stand in an entry as it is.
func plain(event string) bool {
	return strings.IndexByte(event, '\n') < 0 && !strings.HasPrefix(strings.TrimLeft(event, " \t\r"), `"`)
}

// Parse reads a line, given without its end. Unknown members are passed over. The strings of the entry may share the
// memory of line. Errors say what the line lacks; such a line is damaged, or was never a dead letter.
func Parse(line string) (Entry, error) {
	e := Entry{ID: IDOf(line)}
	head, event, ok := split(line, eventKey)
	if !ok || lazyjson.Validate(event) != nil { // another program has written it anew
		fields, err := lazyjson.IndexObject(nil, line)
		if err != nil {
			return e, err
		}
		f := lazyjson.Find(fields, line, "event")
		if f == nil {
			return e, errors.New(`no "event"`)
		}
		head, event = line, f.Raw(line)
	}
	fields, err := lazyjson.IndexObject(nil, head)
	if err != nil {
		return e, err
	}
	if text := strings.TrimLeft(event, " \t\r\n"); text[0] == '"' {
		text = strings.TrimRight(text, " \t\r\n")
		e.Event = lazyjson.Unquote(text[1 : len(text)-1])
		e.JSON = lazyjson.Validate(e.Event) == nil
	} else {
		e.Event, e.JSON = event, true
	}
	at := ""
	for key, to := range map[string]*string{"time": &at, "origin": &e.Origin, "stage": &e.Stage, "reason": &e.Reason, "error": &e.Error, "replay_of": &e.ReplayOf} {
		if f := lazyjson.Find(fields, head, key); f != nil && f.Kind == lazyjson.String {
			*to = f.Text(head)
		}
	}
	if e.Stage == "" || e.Reason == "" {
		return e, errors.New(`no "stage" or no "reason"`)
	}
	if e.Time, err = time.Parse(time.RFC3339, at); err != nil {
		return e, errors.New(`no "time"`)
	}
	return e, nil
}

// split cuts a line of ours before its last member, which is not validated: head is an object without it.
func split(line, key string) (head, last string, ok bool) {
	line = strings.TrimRight(line, " \t\r")
	i := strings.Index(line, key)
	if i < 0 || !strings.HasSuffix(line, "}") || i+len(key) >= len(line)-1 {
		return "", "", false
	}
	if head = line[:i] + "}"; lazyjson.Validate(head) != nil {
		return "", "", false
	}
	return head, line[i+len(key) : len(line)-1], true
}

// Kind returns the first word of the stage: "input", "filter", "analyzer", "output".
func (e *Entry) Kind() string { kind, _, _ := strings.Cut(e.Stage, " "); return kind }

// From reports whether the record came from the input tag, or from "timer". Tags compare without case.
func (e *Entry) From(tag string) bool {
	return len(e.Origin) >= len(tag) && strings.EqualFold(e.Origin[:len(tag)], tag) && (len(e.Origin) == len(tag) || e.Origin[len(tag)] == ' ')
}
