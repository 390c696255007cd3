package syslog

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

var facilityNames = [...]string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

var severityNames = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

const (
	local0   = 16
	eveTime  = "2006-01-02T15:04:05.999999999-0700"
	sentTime = "2006-01-02T15:04:05.000000Z07:00" // RFC 5424 has six digits at most
)

// format makes messages of events.
type format struct {
	old                bool   // RFC 3164
	message            string // "json", "cee", "cef"
	facility, severity int    // -1: of the event
	hostname           string // "": of the event
	myself             string
	app, pid           string
	cef                cef
	view               view // of the event in hand
}

func newFormat(o engine.Values) (f format, err error) {
	f = format{old: o.String("format") == "rfc3164", message: o.String("message"), hostname: o.String("hostname"),
		facility: slices.Index(facilityNames[:], o.String("facility")), severity: slices.Index(severityNames[:], o.String("severity")),
		app: o.String("app"), pid: strconv.Itoa(os.Getpid()), cef: cef{o.String("cef_vendor"), o.String("cef_product"), o.String("cef_version")}}
	f.myself, _ = os.Hostname()
	for _, key := range []string{"hostname", "app"} {
		if s := o.String(key); s != word(s, 255) && s != "" {
			return f, &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q holds a space or another byte that a syslog header cannot have", s)}
		}
	}
	if f.app = word(f.app, 48); f.old {
		f.app = strings.TrimRight(word(f.app, 32), ":[]")
	}
	return f, nil
}

// word returns s as a field of a header: printable ASCII without spaces, most bytes at most, "-" for nothing.
func word(s string, most int) string {
	clean := func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}
	if s = strings.Map(clean, s); s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// view looks into an event.
type view struct{ lazyjson.Reader }

// text returns the string or number at a path, as text; "" if there is none.
func (v *view) text(path ...string) string {
	if f := v.Find(path); f != nil && (f.Kind == lazyjson.String || f.Kind == lazyjson.Number) {
		return f.Plain(v.Body())
	}
	return ""
}

func (v *view) time() time.Time {
	if s := v.text("timestamp"); s != "" {
		if t, err := time.Parse(eveTime, s); err == nil {
			return t
		}
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t
		}
	}
	return time.Now()
}

// priority returns facility and severity as one number.
func (f *format) priority(v *view) int {
	facility, severity := f.facility, f.severity
	if facility < 0 {
		if facility = slices.Index(facilityNames[:], v.text("syslog", "facility")); facility < 0 {
			facility = local0
		}
	}
	if severity < 0 {
		if severity = slices.Index(severityNames[:], v.text("syslog", "severity")); severity < 0 {
			switch v.text("alert", "severity") {
			case "1":
				severity = 1
			case "2":
				severity = 4
			case "3":
				severity = 5
			default:
				severity = levelInfo
			}
		}
	}
	return facility<<3 | severity
}

// append appends the message of an event.
func (f *format) append(b []byte, ev *engine.Event) []byte {
	v := &f.view
	v.Reset(ev.Body, ev.Index) // not an object: no fields
	host := f.hostname
	if host == "" {
		if host = v.text("host"); host == "" {
			host = f.myself
		}
	}
	host, at := word(host, 255), v.time()
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(f.priority(v)), 10)
	if f.old {
		b = append(b, '>')
		b = at.Local().AppendFormat(b, time.Stamp)
		b = append(b, ' ')
		b = append(b, host...)
		b = append(b, ' ')
		b = append(b, f.app...)
		b = append(b, '[')
		b = append(b, f.pid...)
		b = append(b, "]: "...)
	} else {
		b = append(b, ">1 "...)
		b = at.AppendFormat(b, sentTime)
		for _, field := range [...]string{host, f.app, f.pid, word(v.text("event_type"), 32), "-"} {
			b = append(b, ' ')
			b = append(b, field...)
		}
		b = append(b, ' ')
	}
	switch f.message {
	case "cef":
		return f.cef.append(b, v, at, host)
	case "cee":
		b = append(b, "@cee: "...)
	}
	return append(b, ev.Body...)
}
