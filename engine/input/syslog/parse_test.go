package syslog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/lazyjson"
)

// now is the time of receipt in these tests: shortly after new year.
var now = time.Date(2027, 1, 1, 0, 30, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ name, in, want string }{
		{"RFC 5424, example 1", "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick on /dev/pts/8",
			`2003-10-11T22:14:15.003000+0000 mymachine.example.com auth.crit su||ID47 [] 'su root' failed for lonvick on /dev/pts/8`},
		{"RFC 5424, example 2", "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
			`2003-08-24T05:14:15.000003-0700 192.0.2.1 local4.notice myproc|8710| [] %% It's time to make the do-nuts.`},
		{"RFC 5424, example 3", `<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App" eventID="1011"] An entry`,
			`2003-10-11T22:14:15.003000+0000 h local4.notice evntslog||ID47 [{exampleSDID@32473 [{iut 3} {eventSource App} {eventID 1011}]}] An entry`},
		{"RFC 5424, two elements, no message", `<165>1 2003-10-11T22:14:15.003Z h a - ID47 [x@1 iut="3"][y@2 class="high"]`,
			`2003-10-11T22:14:15.003000+0000 h local4.notice a||ID47 [{x@1 [{iut 3}]} {y@2 [{class high}]}] `},
		{"escapes in structured data", `<13>1 - - - - - [a b="q\"u\\o\]t" c="\n"] x`, `2027-01-01T00:30:00.000000+0000  user.notice || [{a [{b q"u\o]t} {c \n}]}] x`},
		{"structured data that does not end", `<13>1 - h a - - [a b="c" x`, `2027-01-01T00:30:00.000000+0000  user.notice || [] 1 - h a - - [a b="c" x!`},
		{"RFC 5424 with a wrong time", `<13>1 yesterday h a - - - x`, `2027-01-01T00:30:00.000000+0000  user.notice || [] 1 yesterday h a - - - x!`},
		{"RFC 3164", "<34>Oct 11 22:14:15 mymachine su: 'su root' failed", `2026-10-11T22:14:15.000000+0200 mymachine auth.crit su|| [] 'su root' failed`},
		{"RFC 3164 with a pid", "<30>Jan  1 01:29:00 h sshd[77]: hello", `2027-01-01T01:29:00.000000+0100 h daemon.info sshd|77| [] hello`},
		{"last year", "<30>Dec 31 23:59:59 h a: x", `2026-12-31T23:59:59.000000+0100 h daemon.info a|| [] x`},
		{"29 February", "<30>Feb 29 12:00:00 h a: x", `2027-03-01T12:00:00.000000+0100 h daemon.info a|| [] x`},
		{"a year", "<30>Nov 21 2025 10:00:00 fw1 %ASA-6-1: x", `2025-11-21T10:00:00.000000+0100 fw1 daemon.info %ASA-6-1|| [] x`},
		{"milliseconds", "<30>Nov 21 10:00:00.123 fw1 a: x", `2026-11-21T10:00:00.123000+0100 fw1 daemon.info a|| [] x`},
		{"time of RFC 3339", "<30>2026-11-21T10:00:00.5+05:00 h a[1]: x", `2026-11-21T10:00:00.500000+0500 h daemon.info a|1| [] x`},
		{"no host", "<30>Nov 21 10:00:00 a[1]: x", `2026-11-21T10:00:00.000000+0100  daemon.info a|1| [] x`},
		{"no time", "<30>kernel: x", `2027-01-01T00:30:00.000000+0000  daemon.info kernel|| [] x`},
		{"no PRI", "hello <30>", `2027-01-01T00:30:00.000000+0000  user.notice || [] hello <30>`},
		{"PRI out of range", "<192>a: x", `2027-01-01T00:30:00.000000+0000  user.notice || [] <192>a: x`},
		{"PRI and nothing", "<30>", `2027-01-01T00:30:00.000000+0000  daemon.info || [] `},
		{"text with a colon", "<30>http://x", `2027-01-01T00:30:00.000000+0000  daemon.info || [] http://x`},
	} {
		m := message{received: now}
		m.parse(c.in, berlin)
		if got := show(&m); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func show(m *message) string {
	s := m.time.Format(eveTime) + " " + m.host + " " + facilities[m.pri>>3] + "." + severities[m.pri&7] + " " + m.app + "|" + m.procid + "|" + m.msgid + " ["
	for i, e := range m.sd {
		if i > 0 {
			s += " "
		}
		s += "{" + e.id + " ["
		for j, p := range e.params {
			if j > 0 {
				s += " "
			}
			s += "{" + p.name + " " + p.value + "}"
		}
		s += "]}"
	}
	s += "] " + m.text
	if m.broken {
		s += "!"
	}
	return s
}

func TestRecordOfJSONIsByteForByte(t *testing.T) {
	const eve = `{"timestamp":"2026-11-21T10:00:00.000000+0100", "event_type":"alert","n":1.0,"s":"\u00e4"}`
	d := &decoder{zone: time.UTC, json: true, myself: "me"}
	for _, header := range []string{"<134>Nov 21 10:00:00 ids suricata[77]: ", "<134>Nov 21 10:00:00 ids suricata: @cee: ", "<134>1 - ids suricata - - - \ufeff",
		"<134>1 - ids suricata - - - @cee:", "<134>", "", "<134>suricata[1]: ", "<134>Nov 21 10:00:00 suricata[1]: ", "<134>Nov 21 10:00:00 ids "} {
		if r, _, ok := d.record(header+eve+"\n", "192.0.2.1"); !ok || r.Body != eve {
			t.Errorf("%q: got %s", header, r.Body)
		}
	}
	r, _, _ := d.record("<134>Nov 21 10:00:00 suricata[1]: "+eve[:40], "192.0.2.1")
	var ev struct {
		Host   string
		Syslog struct{ Message, App, Facility string }
	}
	if err := json.Unmarshal([]byte(r.Body), &ev); err != nil || ev.Syslog.Message != eve[:40] || ev.Host != "192.0.2.1" || ev.Syslog.App != "suricata" || ev.Syslog.Facility != "local0" {
		t.Errorf("JSON that is cut off: got %s, %v", r.Body, err)
	}
	d.json = false
	if r, _, _ := d.record("<134>"+eve, ""); !strings.Contains(r.Body, `"host":"me"`) || !strings.Contains(r.Body, `\"alert\"`) {
		t.Errorf("json = false: got %s", r.Body)
	}
	if _, _, ok := d.record(" \r\n", ""); ok {
		t.Error("an empty message is an event")
	}
}

// FuzzRecord: whatever comes, the event is JSON, on one line, and no byte of the text is lost that is not part of the header.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"<34>1 2003-10-11T22:14:15.003Z h su - ID47 [a b=\"c\\\"\"] \ufeffx", "<34>Oct 11 22:14:15 h su[1]: x", "@cee:{}", "<1>{\"a\":1}", "<13>Feb 29 00:00:00 x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range []*decoder{{zone: time.UTC, json: true}, {zone: time.Local, local: true}} {
			r, _, ok := d.record(s, "")
			if !ok {
				if strings.Trim(s, " \t\v\f\x00\r\n\u0085\u00a0") != "" && strings.TrimSpace(strings.TrimRight(s, "\x00\r\n")) != "" {
					t.Fatalf("%q is no event", s)
				}
				continue
			}
			if err := lazyjson.Validate(r.Body); err != nil || strings.ContainsAny(r.Body, "\n") {
				t.Fatalf("%q: %q: %v", s, r.Body, err)
			}
			if !d.json {
				m := message{received: now, asLocal: d.local}
				if m.parse(s, d.zone); len(m.text) > 0 && !strings.HasSuffix(s, m.text) {
					t.Fatalf("%q: the text %q is not its end", s, m.text)
				}
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	eve := `{"timestamp":"2026-11-21T10:00:00.000000+0100","event_type":"alert","pad":"` + strings.Repeat("x", 800) + `"}`
	for name, s := range map[string]string{"eve": "<134>Nov 21 10:00:00 ids suricata[77]: " + eve, "text": `<165>1 2003-10-11T22:14:15.003Z h app 1 ID47 [a@1 b="c"] An application event log entry`} {
		b.Run(name, func(b *testing.B) {
			d := &decoder{zone: time.UTC, json: true}
			b.ReportAllocs()
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				d.record(s, "")
			}
		})
	}
}
