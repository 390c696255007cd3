package syslog

import (
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// eveTime is the form of EVE's timestamps.
const eveTime = "2006-01-02T15:04:05.000000-0700"

var facilities = [...]string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

var severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// decoder makes records of messages. It is used by several goroutines and does not change.
type decoder struct {
	zone   *time.Location
	json   bool   // a message that is a JSON object is the event
	local  bool   // of a unix socket: senders write no host
	myself string // host of this machine
}

// record returns the record of one message, ok false if it is empty. peer is the address of the sender, "" on unix sockets.
func (d *decoder) record(text, peer string) (r engine.Record, broken, ok bool) {
	text = strings.TrimRight(text, "\x00\r\n")
	if strings.TrimSpace(text) == "" {
		return r, false, false
	}
	m := message{received: time.Now(), asLocal: d.local}
	m.parse(text, d.zone)
	if d.json {
		if body := document(m.text); body != "" {
			return engine.Record{Body: body, Offset: -1}, false, true
		}
	}
	if m.host == "" {
		if m.host = peer; peer == "" {
			m.host = d.myself
		}
	}
	return engine.Record{Body: string(m.append(make([]byte, 0, 256+len(m.text)))), Offset: -1}, m.broken, true
}

// document returns the JSON object that is all of a message's text, "" if it is something else. A cookie before it is left out
// (CEE, as rsyslog and Suricata's prefix have it).
func document(text string) string {
	s := strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(s, "@cee:"); ok {
		s = strings.TrimLeft(rest, " ")
	}
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' || strings.ContainsRune(s, '\n') || lazyjson.Validate(s) != nil {
		return ""
	}
	return s
}

// append appends the event of a message that is no JSON.
func (m *message) append(b []byte) []byte {
	b = append(b, `{"timestamp":"`...)
	b = m.time.AppendFormat(b, eveTime)
	b = append(b, `","event_type":"syslog","host":`...)
	b = lazyjson.AppendQuoted(b, m.host)
	b = append(b, `,"syslog":{"pri":`...)
	b = strconv.AppendInt(b, int64(m.pri), 10)
	b = append(b, `,"facility":"`...)
	b = append(b, facilities[m.pri>>3]...)
	b = append(b, `","severity":"`...)
	b = append(b, severities[m.pri&7]...)
	b = append(b, '"')
	b = member(b, "app", m.app)
	b = member(b, "procid", m.procid)
	b = member(b, "msgid", m.msgid)
	if len(m.sd) > 0 {
		b = append(b, `,"sd":{`...)
		for i, e := range m.sd {
			if i > 0 {
				b = append(b, ',')
			}
			b = lazyjson.AppendQuoted(b, e.id)
			b = append(b, `:{`...)
			for j, p := range e.params {
				if j > 0 {
					b = append(b, ',')
				}
				b = lazyjson.AppendQuoted(b, p.name)
				b = append(b, ':')
				b = lazyjson.AppendQuoted(b, p.value)
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	b = append(b, `,"message":`...)
	b = lazyjson.AppendQuoted(b, m.text)
	return append(b, `}}`...)
}

// member appends what is not empty.
func member(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, key...)
	b = append(b, `":`...)
	return lazyjson.AppendQuoted(b, value)
}
