package httpsink

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
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
	fields := Fields(ev)
	f := lazyjson.Find(fields, ev.Body, path)
	if f == nil && strings.Contains(path, ".") {
		f, _ = lazyjson.FindPath(fields, ev.Body, strings.Split(path, "."), nil)
	}
	if f == nil || f.Kind == lazyjson.Null {
		return "", false
	}
	return Value(f, ev.Body), true
}

// Value returns a field of s as text.
func Value(f *lazyjson.Field, s string) string {
	if f.Kind == lazyjson.String {
		return f.Text(s)
	}
	return f.Raw(s)
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

// Template is a text with places for fields, {alert.signature}, and for the time of an event, %Y.
type Template struct {
	parts []part
	dated bool
}

type part struct {
	text  string
	field string // path; "" for text
}

// NewTemplate reads a template. {{ stands for {, and if dated, %% for %.
func NewTemplate(s string, dated bool) (*Template, error) {
	t := &Template{dated: dated}
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			t.parts = append(t.parts, part{text: text.String()})
			text.Reset()
		}
	}
	for len(s) > 0 {
		switch {
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			text.WriteByte(s[0])
			s = s[2:]
		case s[0] == '{':
			name, rest, ok := strings.Cut(s[1:], "}")
			if !ok || name == "" || strings.Contains(name, "{") {
				return nil, fmt.Errorf("%q opens a field that is not closed or has no name, want {src_ip}; {{ stands for {", s)
			}
			flush()
			t.parts = append(t.parts, part{field: name})
			s = rest
		case dated && s[0] == '%':
			if len(s) < 2 || !strings.ContainsRune("YmdHMSjyGVF%", rune(s[1])) {
				return nil, fmt.Errorf("%q is no part of a date, want one of %%Y %%m %%d %%H %%M %%S %%j %%y %%G %%V %%F, or %%%%", s[:min(2, len(s))])
			}
			flush()
			t.parts = append(t.parts, part{text: s[:2]})
			s = s[2:]
		default:
			text.WriteByte(s[0])
			s = s[1:]
		}
	}
	flush()
	return t, nil
}

// Fixed reports whether the text is the same for all events.
func (t *Template) Fixed() bool {
	for _, p := range t.parts {
		if p.field != "" || t.dated && p.text[0] == '%' {
			return false
		}
	}
	return true
}

// Lasts returns how long the text of a template is the same for all events, from a multiple of this since 1970 on; 0 if fields
// are in it.
func (t *Template) Lasts() time.Duration {
	lasts := 24 * time.Hour
	for _, p := range t.parts {
		switch {
		case p.field != "":
			return 0
		case !t.dated || p.text[0] != '%':
		case p.text[1] == 'H':
			lasts = min(lasts, time.Hour)
		case p.text[1] == 'M':
			lasts = min(lasts, time.Minute)
		case p.text[1] == 'S':
			lasts = min(lasts, time.Second)
		}
	}
	return lasts
}

// Fill returns the text for an event. at is its time; missing stands for fields that it has not.
func (t *Template) Fill(ev *engine.Event, at time.Time, missing string) string {
	if len(t.parts) == 1 && t.parts[0].field == "" && !t.dated {
		return t.parts[0].text
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.field != "":
			text, ok := Text(ev, p.field)
			if !ok {
				text = missing
			}
			b.WriteString(text)
		case t.dated && p.text[0] == '%':
			b.WriteString(date(at, p.text[1]))
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

func date(at time.Time, verb byte) string {
	switch verb {
	case 'G', 'V':
		year, week := at.ISOWeek()
		if verb == 'G' {
			return fmt.Sprintf("%04d", year)
		}
		return fmt.Sprintf("%02d", week)
	case '%':
		return "%"
	}
	return at.Format(map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'j': "002", 'y': "06", 'F': "2006-01-02"}[verb])
}
