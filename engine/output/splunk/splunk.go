// Package splunk sends events to the HTTP event collector (HEC) of Splunk.
package splunk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

// Kind is splunk://.
var Kind = engine.OutputKind{
	Doc: "`splunk://HOST:8088`: sends events to Splunk's HTTP event collector; `tls = true`, or another tls key, talks TLS. With `ack` an event is delivered when an indexer has it on its disk, else when the collector has accepted it.",
	Options: httpsink.Options(
		engine.Option{Key: "auth_token", Type: engine.String, Secret: true, Doc: "Token of the collector. Required. `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
		engine.Option{Key: "endpoint", Type: engine.String, Default: "event", Enum: []string{"event", "raw"}, Doc: "\"event\": each event with its time and the keys below; \"raw\": the events as lines, of which Splunk finds the time itself."},
		engine.Option{Key: "index", Type: engine.String, Doc: "Index, with fields for \"event\": `ids_{event_type}`. The token's by default."},
		engine.Option{Key: "sourcetype", Type: engine.String, Default: "suricata", Doc: "Source type, with fields likewise."},
		engine.Option{Key: "source", Type: engine.String, Default: "dragonfly", Doc: "Source, with fields likewise."},
		engine.Option{Key: "host", Type: engine.String, Doc: "Host, with fields likewise: `{host}`. The address of this machine by default."},
		engine.Option{Key: "time_field", Type: engine.String, Default: "timestamp", Doc: "Field with the time of the event: EVE's, RFC 3339, or seconds since 1970. Without it Splunk takes the time of arrival."},
		engine.Option{Key: "ack", Type: engine.Bool, Default: false, Doc: "Waits for the acknowledgement of the indexer, which the token must have switched on."},
		engine.Option{Key: "ack_timeout", Type: engine.Duration, Default: 2 * time.Minute, Min: 0.01, Max: 86400, Doc: "After that the events are sent again."},
		engine.Option{Key: "bulk_size", Type: engine.Int, Default: int64(1024), Min: 1, Max: 1024, Doc: "Events of one request at most; it has what has come."},
		engine.Option{Key: "bulk_bytes", Type: engine.Bytes, Default: int64(800 << 10), Min: 1, Max: 1 << 30, Doc: "Bytes likewise, before gzip; a longer event goes alone."},
	),
	New: New,
}

type output struct {
	httpsink.Sink
	url       *url.URL
	ackURL    *url.URL
	raw       bool
	timeField string
	meta      []meta
	ownIndex  bool          // the index depends on the event
	ackLimit  time.Duration // 0: no acknowledgement is asked for
	channel   string        // a random GUID: acknowledgements are counted by channel
}

// meta is a key beside the event.
type meta struct {
	key      string
	template *template.Namer
}

var _ engine.PortUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	v := p.Options
	client, err := httpsink.New(p, httpsink.Setup{Port: 8088, Token: "Splunk"})
	errs := []error{err}
	o := &output{Sink: httpsink.Sink{Client: client}, raw: v.String("endpoint") == "raw", timeField: v.String("time_field")}
	o.Bulk = httpsink.Bulk{Size: int(v.Int("bulk_size")), Bytes: v.Int("bulk_bytes"), Send: o.send}
	if v.Bool("ack") {
		o.ackLimit = v.Duration("ack_timeout")
	}
	query := url.Values{}
	for _, key := range []string{"index", "sourcetype", "source", "host"} {
		text := v.String(key)
		if text == "" {
			continue
		}
		t, err := httpsink.NewTemplate(text, false, "unknown")
		if err == nil && o.raw && !t.Fixed() {
			err = errors.New("has fields, which need endpoint = \"event\"")
		}
		if err != nil {
			errs = append(errs, &engine.ConfigError{Key: key, Msg: err.Error()})
			continue
		}
		o.ownIndex = o.ownIndex || key == "index" && !t.Fixed()
		o.meta = append(o.meta, meta{key, t})
		query.Set(key, t.Of(&engine.Event{Body: "{}"}))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if o.channel, err = guid(); err != nil {
		return nil, err
	}
	if o.url = client.URL("/services/collector/event", ""); o.raw {
		o.url = client.URL("/services/collector/raw", query.Encode())
	}
	o.ackURL = client.URL("/services/collector/ack", "channel="+o.channel)
	return o, nil
}

// guid returns a random one (RFC 9562, version 4).
func guid() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// send is the httpsink.Sender.
func (o *output) send(ctx context.Context, events []engine.Event) (int, []error, error) {
	body := o.Client.Buffer()
	for i := range events {
		if body = o.appendEvent(body, &events[i]); o.raw {
			body = append(body, '\n')
		}
	}
	var more []string
	if o.raw || o.ackLimit > 0 {
		more = []string{"X-Splunk-Request-Channel", o.channel}
	}
	a, err := o.Client.Post(ctx, o.url, "application/json", body, more...)
	if err != nil {
		return len(events), nil, err
	}
	said, each, err := o.verdict(a, len(events))
	if each == nil && err == nil && o.ackLimit > 0 {
		err = o.await(ctx, said)
	}
	return len(events), each, err
}

func (o *output) appendEvent(dst []byte, ev *engine.Event) []byte {
	if o.raw {
		return append(dst, ev.Body...)
	}
	dst = append(dst, '{')
	if at, ok := httpsink.Time(ev, o.timeField); ok {
		dst = append(dst, `"time":`...)
		dst = strconv.AppendInt(dst, at.Unix(), 10)
		dst = fmt.Appendf(dst, ".%06d,", at.Nanosecond()/1000)
	}
	for _, m := range o.meta {
		text := m.template.Of(ev)
		if text == "" {
			continue
		}
		dst = append(append(append(dst, '"'), m.key...), `":`...)
		dst = append(lazyjson.AppendQuoted(dst, text), ',')
	}
	dst = append(append(dst, `"event":`...), ev.Body...)
	return append(dst, '}')
}

// reply is what the collector says.
type reply struct {
	Text    string `json:"text"`
	Code    int    `json:"code"`
	Invalid *int   `json:"invalid-event-number"` // from 0
	AckID   *int64 `json:"ackId"`
}

// codes says what to do about the codes that are faults of the row or the token (Splunk, "Error codes for HTTP event collector").
var codes = map[int]string{
	1: "the token is disabled: enable it", 2: "correct auth_token", 3: "correct auth_token", 4: "the token is not known: correct auth_token",
	7: "the index is not there, or the token may not write to it: correct index", 10: "the token wants acknowledgements: set ack = true",
	11: "the channel is wrong", 14: "the token has no acknowledgements: switch them on, or set ack = false", 16: "correct auth_token",
}

// verdict says what became of n events: of all, or of each.
func (o *output) verdict(a *httpsink.Answer, n int) (reply, []error, error) {
	var said reply
	parsed := json.Unmarshal(a.Body, &said)
	if a.OK() && (a.Broken != nil || parsed != nil) {
		return said, nil, fmt.Errorf("%s: its answer is not what an event collector says: %w", o.Client.Server(), errors.Join(a.Broken, parsed))
	}
	err := o.Client.Verdict(a)
	remedy := codes[said.Code]
	switch {
	case parsed != nil:
		return said, nil, err
	case said.Code == 7 && o.ownIndex: // of an event
	case remedy != "" && said.Code > 0:
		return said, nil, fmt.Errorf("%s answers %d, code %d, %s: %s; events wait", o.Client.Server(), a.Status, said.Code, said.Text, remedy)
	case err == nil && said.Code != 0:
		return said, nil, fmt.Errorf("%s answers %d, but with code %d, %s", o.Client.Server(), a.Status, said.Code, said.Text)
	}
	var rejected *engine.RejectError
	if i := said.Invalid; i != nil && *i >= 0 && *i < n && errors.As(err, &rejected) {
		each := make([]error, n) // those before it are indexed in some versions and not in others: they are sent again
		for j := range each {
			each[j] = httpsink.ErrAgain
		}
		each[*i] = rejected
		return said, each, nil
	}
	return said, nil, err
}
