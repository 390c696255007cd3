package httpsink

import (
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/wire/template"
)

// Fields returns the top-level members of an event, nil if it is no object.
func Fields(ev *engine.Event) []lazyjson.Field {
	if ev.Index == nil {
		ev.Index, _ = lazyjson.IndexObject(nil, ev.Body)
	}
	return ev.Index
}

// IsObject reports whether an event is a JSON object.
func IsObject(ev *engine.Event) bool {
	return strings.HasPrefix(strings.TrimLeft(ev.Body, " \t\r\n"), "{")
}

// Text returns the field at a path ("alert.severity") as text: a string without its quotes, else as it stands in JSON. A member
// whose own name is the path goes before. ok is false for what is missing or null.
func Text(ev *engine.Event, path string) (text string, ok bool) {
	f, ok := lazyjson.FindName(Fields(ev), ev.Body, path)
	if !ok || f.Kind == lazyjson.Null {
		return "", false
	}
	return f.Plain(ev.Body), true
}

// Time returns the time in the field at path, in UTC: text as EVE and RFC 3339 have it, or seconds since 1970. It is now if there
// is none.
func Time(ev *engine.Event, path string) (at time.Time, ok bool) {
	text, ok := Text(ev, path)
	if !ok {
		return time.Now().UTC(), false
	}
	if at, ok := eveTime(text); ok {
		return at, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999-0700", time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil && inRange(at) {
			return at.UTC(), true
		}
	}
	if at, ok := epoch(text); ok && inRange(at) {
		return at, true
	}
	return time.Now().UTC(), false
}

// eveTime reads EVE's timestamps, "2026-11-21T16:53:57.123456+0000", as those of RFC 3339, for which time.Parse has a quick way.
func eveTime(text string) (time.Time, bool) {
	n := len(text)
	if n < 25 || n > 40 || text[n-5] != '+' && text[n-5] != '-' || text[n-3] == ':' {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, text[:n-2]+":"+text[n-2:])
	return at.UTC(), err == nil && inRange(at)
}

// inRange reports whether the time has nanoseconds since 1970 in 64 bits.
func inRange(at time.Time) bool { return at.Year() >= 1970 && at.Year() < 2262 }

// epoch reads "1607337893.205884" exactly.
func epoch(text string) (time.Time, bool) {
	if strings.ContainsAny(text, "eE") {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 || n > 1<<33 {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(n * 1e6)).UTC(), true
	}
	whole, part, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseUint(whole, 10, 33)
	if err != nil {
		return time.Time{}, false
	}
	nsec, err := strconv.ParseUint((part + "000000000")[:9], 10, 32)
	return time.Unix(int64(sec), int64(nsec)).UTC(), err == nil
}

// NewTemplate reads a text with places for fields, {alert.signature}, and if dated for the time of an event, %Y. {{ stands for {, }} and
// } for }, and if dated %% for %; missing for fields that an event has not. A member whose own name is the path goes before.
func NewTemplate(text string, dated bool, missing string) (*template.Namer, error) {
	s := template.Syntax{Close: template.CloseTwice, Any: true, Missing: missing, Name: func(name string) bool { return !strings.Contains(name, "{") }}
	if dated {
		s.Dates = "YmdHMSjyGVF"
	}
	t, err := s.Parse(text)
	if err != nil {
		return nil, err
	}
	return t.Namer(), nil
}
