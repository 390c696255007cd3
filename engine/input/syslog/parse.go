package syslog

import (
	"strconv"
	"strings"
	"time"
)

// message is one syslog message. Empty strings are what it does not say.
type message struct {
	pri      int // facility<<3 | severity
	time     time.Time
	host     string
	app      string
	procid   string
	msgid    string
	sd       []element // structured data, RFC 5424 section 6.3
	text     string    // without byte order mark
	broken   bool      // it begins like RFC 5424 and goes on otherwise: all of it is in text
	asLocal  bool      // of a local socket: the sender writes no host
	received time.Time // stands in for a time that is not said
}

// element is one [id name="value" ...].
type element struct {
	id     string
	params []param
}

type param struct{ name, value string } // value is unescaped

// noPRI is what a message without PRI has: user.notice, RFC 3164 section 4.3.3.
const noPRI = 13

// parse reads one message of either format. It never fails: what does not fit a format is text.
func (m *message) parse(s string, zone *time.Location) {
	m.pri, m.time = noPRI, m.received
	rest, ok := m.parsePRI(s)
	if !ok {
		m.text = s
		return
	}
	if body, is5424 := strings.CutPrefix(rest, "1 "); is5424 {
		if m.parse5424(body) {
			return
		}
		*m = message{pri: m.pri, time: m.received, received: m.received, asLocal: m.asLocal, text: rest, broken: true}
		return
	}
	m.parse3164(rest, zone)
}

// parsePRI reads "<134>".
func (m *message) parsePRI(s string) (rest string, ok bool) {
	end := strings.IndexByte(s, '>')
	if end < 2 || end > 4 || s[0] != '<' {
		return s, false
	}
	n := 0
	for _, c := range []byte(s[1:end]) {
		if c < '0' || c > '9' {
			return s, false
		}
		n = n*10 + int(c-'0')
	}
	if n > 191 {
		return s, false
	}
	m.pri = n
	return s[end+1:], true
}

// parse5424 reads what follows "<PRI>1 ", RFC 5424 section 6.
func (m *message) parse5424(s string) bool {
	var f [5]string
	for i := range f {
		word, rest, ok := strings.Cut(s, " ")
		if !ok || word == "" {
			return false
		}
		if word != "-" {
			f[i] = word
		}
		s = rest
	}
	if f[0] != "" {
		t, err := time.Parse(time.RFC3339Nano, f[0])
		if err != nil {
			return false
		}
		m.time = t
	}
	m.host, m.app, m.procid, m.msgid = f[1], f[2], f[3], f[4]
	s, ok := m.parseSD(s)
	if !ok {
		return false
	}
	s = strings.TrimPrefix(s, " ")
	m.text = strings.TrimPrefix(s, "\ufeff")
	return true
}

// parseSD reads "-" or elements up to a space or the end.
func (m *message) parseSD(s string) (rest string, ok bool) {
	if s == "-" || strings.HasPrefix(s, "- ") {
		return s[1:], true
	}
	for strings.HasPrefix(s, "[") {
		end := strings.IndexAny(s, " ]")
		if end < 2 {
			return s, false
		}
		e := element{id: s[1:end]}
		s = s[end:]
		for strings.HasPrefix(s, " ") {
			name, value, ok := strings.Cut(strings.TrimLeft(s, " "), `="`)
			if !ok || name == "" || strings.ContainsAny(name, ` "]`) {
				return s, false
			}
			if s, ok = e.take(name, value); !ok {
				return s, false
			}
		}
		if !strings.HasPrefix(s, "]") {
			return s, false
		}
		s = s[1:]
		m.sd = append(m.sd, e)
	}
	return s, len(m.sd) > 0 && (s == "" || s[0] == ' ')
}

// take reads a value up to its closing quote. A backslash escapes ", \ and ]; before anything else it is one itself.
func (e *element) take(name, s string) (rest string, ok bool) {
	var out []byte
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			value := s[:i]
			if out != nil {
				value = string(append(out, s[start:i]...))
			}
			e.params = append(e.params, param{name, value})
			return s[i+1:], true
		case '\\':
			if i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\' || s[i+1] == ']') {
				out = append(out, s[start:i]...)
				start = i + 1
				i++
			}
		}
	}
	return s, false
}

// parse3164 reads what follows the PRI, RFC 3164 section 4.1 and what is seen in its name: a time in several forms or none, a
// host or none (local sockets), a tag "app[pid]:" or none.
func (m *message) parse3164(s string, zone *time.Location) {
	t, rest, ok := stamp(s, zone, m.received)
	if !ok {
		m.text = m.parseTag(strings.TrimPrefix(s, "\ufeff"))
		return
	}
	m.time = t
	if word, after, ok := strings.Cut(rest, " "); ok && !m.asLocal && isHost(word) {
		m.host, rest = word, after
	}
	m.text = m.parseTag(rest)
}

// isHost reports whether the word behind the time is a host and not a tag.
func isHost(word string) bool {
	if word == "" || len(word) > 255 || word[0] == '{' {
		return false
	}
	return !strings.HasSuffix(word, ":") && !strings.ContainsAny(word, `[]{}"=`)
}

// parseTag takes "app:", "app[pid]:" from the beginning of a text and returns what follows.
func (m *message) parseTag(s string) string {
	const most = 64 // bytes of an app; RFC 3164 says 32, programs have longer names
	for i := 0; i < len(s) && i <= most; i++ {
		switch c := s[i]; {
		case c == ':' && i > 0:
			if i+1 < len(s) && s[i+1] != ' ' { // "a:b" is text
				return s
			}
			m.app = s[:i]
			return strings.TrimPrefix(s[i+1:], " ")
		case c == '[' && i > 0:
			pid, rest, ok := strings.Cut(s[i+1:], "]")
			if !ok || len(pid) > 128 || strings.ContainsAny(pid, ` "{`) {
				return s
			}
			m.app, m.procid = s[:i], pid
			return strings.TrimPrefix(strings.TrimPrefix(rest, ":"), " ")
		case c <= ' ' || c == '{' || c == '"' || c == '@' && i == 0:
			return s
		}
	}
	return s
}

// stamp reads the time that s begins with, and the space behind it. A time without a year is in the year that brings it nearest
// to now; without a zone it is in zone.
func stamp(s string, zone *time.Location, now time.Time) (t time.Time, rest string, ok bool) {
	if word, rest, _ := strings.Cut(s, " "); len(word) >= 19 && word[4] == '-' {
		if t, err := time.Parse(time.RFC3339Nano, word); err == nil {
			return t, rest, true
		}
		if t, err := time.ParseInLocation("2006-01-02T15:04:05.999999999", word, zone); err == nil {
			return t, rest, true
		}
		return t, s, false
	}
	s0 := s
	s = strings.TrimLeft(s, "*.") // Cisco: the clock is not set
	if len(s) < 15 || s[3] != ' ' {
		return t, s0, false
	}
	head, tail := s[:6], s[6:]
	year := 0
	if len(tail) > 5 && tail[0] == ' ' && tail[5] == ' ' { // "Nov 21 2026 10:00:00"
		if n, err := strconv.Atoi(tail[1:5]); err == nil && n > 0 {
			year, tail = n, tail[5:]
		}
	}
	end := 1
	for end < len(tail) && tail[end] != ' ' {
		end++
	}
	clock := strings.TrimSuffix(tail[:end], ":")
	t, err := time.ParseInLocation("Jan _2 15:04:05.999999999 2006", head+clock+" 2000", zone) // a leap year: has 29 February
	if err != nil {
		return t, s0, false
	}
	rest = strings.TrimPrefix(tail[end:], " ")
	if year == 0 {
		return nearest(t, now, zone), rest, true
	}
	return at(t, year, zone), rest, true
}

func at(t time.Time, year int, zone *time.Location) time.Time {
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
}

// nearest returns t in the year that brings it nearest to now: at new year messages are of the other one.
func nearest(t, now time.Time, zone *time.Location) time.Time {
	year := now.In(zone).Year()
	best := at(t, year, zone)
	for _, y := range []int{year - 1, year + 1} {
		if other := at(t, y, zone); other.Sub(now).Abs() < best.Sub(now).Abs() {
			best = other
		}
	}
	return best
}
