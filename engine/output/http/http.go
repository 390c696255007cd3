// Package http POSTs events to a web server: http:// and https://, webhooks, Discord, Slack.
package http

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

// Kind is http://.
var Kind = engine.OutputKind{
	Doc:     "`http://HOST:PORT/PATH`: POSTs events to a web server. They are delivered when it answers 2xx. What it refuses with another 4xx than 401, 403, 404, 405, 408, 410, 425, 429 goes to the dead letter (of a request with several events only the one that is wrong); all else is tried again. Redirects are not followed.",
	Options: options,
	New:     New,
}

// SecureKind is https://.
var SecureKind = engine.OutputKind{
	Doc:     "`https://HOST/PATH`: the same with TLS.",
	Options: options,
	New:     New,
}

var options = httpsink.Options(append([]engine.Option{
	{Key: "path", Type: engine.String, Secret: true, Doc: "What follows in the URL behind the uri's path, where it is a secret, as with webhooks of Discord and Slack: the log shows only the uri. `file:PATH` reads it from a file below ROOT."},
	{Key: "mode", Type: engine.String, Default: "immediate", Enum: []string{"immediate", "bulk", "periodic"}, Doc: "\"immediate\": one request per event; \"bulk\": what has come, up to bulk_size and bulk_bytes; \"periodic\": one request every `interval` with `rate` events at most, the others wait."},
	{Key: "format", Type: engine.String, Enum: []string{"json", "array", "ndjson", "text", "discord", "slack"}, Doc: "Body of a request: \"json\", the event as it is (mode \"immediate\" only, its default); \"array\", a JSON array (default else); \"ndjson\", one event a line; \"text\", a line of `template` per event; messages for the webhooks of Discord and Slack."},
	{Key: "bulk_size", Type: engine.Int, Default: int64(100), Min: 1, Max: 1024, Doc: "Events of one request in mode \"bulk\". A message to Discord holds 10 at most, one to Slack 12."},
	{Key: "bulk_bytes", Type: engine.Bytes, Default: int64(1 << 20), Min: 1, Max: 1 << 30, Doc: "Bytes likewise, before gzip; a longer event goes alone."},
	{Key: "interval", Type: engine.Duration, Default: 5 * time.Second, Min: 0.01, Max: 86400, Doc: "Time between two requests in mode \"periodic\"."},
	{Key: "rate", Type: engine.Int, Default: int64(10), Min: 1, Max: 1024, Doc: "Events of one request in mode \"periodic\"."},
	{Key: "filters", Type: engine.JSON, Doc: "Which events are sent, the others pass for delivered: `{ {attribute = \"alert.severity\", values = {1, 2}}, ... }`, those of which any attribute has any of its values. Without it all."},
	{Key: "template", Type: engine.String, Doc: "Text of an event for the formats text, discord and slack: `\"{src_ip} -> {dest_ip}: {alert.signature}\"`; `{{` stands for `{`. What an event lacks is `-`."},
	{Key: "username", Type: engine.String, Doc: "Discord and Slack: name to show as the sender, where the webhook lets it be chosen."},
	{Key: "avatar_url", Type: engine.String, Doc: "Discord and Slack: picture of the sender."},
}, httpsink.Auth...)...)

type output struct {
	httpsink.Sink
	url         *url.URL
	contentType string
	encode      encoder
	interval    time.Duration // between two requests; 0 is none
	next        time.Time     // of the next request in mode periodic
	discord     bool
	filters     []filter
	filtered    *atomic.Int64
}

// encoder appends the body of a request with as many of the events, from their start, as it may hold.
type encoder func(dst []byte, events []engine.Event) (body []byte, n int, err error)

var _ engine.PortUser = (*output)(nil)

// New implements the kinds.
func New(p engine.Params) (engine.Output, error) {
	v := p.Options
	client, err := httpsink.New(p, httpsink.Setup{Secure: p.Scheme == "https", Plain: p.Scheme != "https"})
	errs := []error{err}
	o := &output{Sink: httpsink.Sink{Client: client}, filtered: p.Counter("events_filtered_total", "Events that `filters` did not let pass.")}
	o.Bulk = httpsink.Bulk{Size: 1, Send: o.send}
	switch v.String("mode") {
	case "bulk":
		o.Bulk.Size, o.Bulk.Bytes = int(v.Int("bulk_size")), v.Int("bulk_bytes")
	case "periodic":
		o.Bulk.Size, o.Bulk.Bytes, o.interval = int(v.Int("rate")), v.Int("bulk_bytes"), v.Duration("interval")
	}
	if o.filters, err = newFilters(v.String("filters")); err != nil {
		errs = append(errs, err)
	}
	if len(o.filters) > 0 {
		o.Bulk.Skip = o.skip
	}
	if err := errors.Join(append(errs, o.setFormat(v))...); err != nil {
		return nil, err
	}
	o.url = client.Base()
	if o.discord && !o.url.Query().Has("wait") { // without it an answer does not say that the message is there
		o.url = client.URL("", "wait=true")
	}
	return o, nil
}

func (o *output) setFormat(v engine.Values) error {
	var fill *template.Namer
	format, text := v.String("format"), v.String("template")
	if format == "" {
		format = "array"
		if v.String("mode") == "immediate" {
			format = "json"
		}
	}
	if text != "" {
		var err error
		if fill, err = httpsink.NewTemplate(text, false, "-"); err != nil {
			return &engine.ConfigError{Key: "template", Msg: err.Error()}
		}
		if format != "text" && format != "discord" && format != "slack" {
			return &engine.ConfigError{Key: "template", Msg: fmt.Sprintf("is for the formats text, discord and slack, and format is %q", format)}
		}
	}
	o.contentType = "application/json"
	switch format {
	case "json":
		if v.String("mode") != "immediate" {
			return &engine.ConfigError{Key: "format", Msg: fmt.Sprintf("\"json\" holds one event, but mode is %q; want array or ndjson", v.String("mode"))}
		}
		o.encode = asJSON
	case "array":
		o.encode = asArray
	case "ndjson":
		o.encode, o.contentType = asLines, "application/x-ndjson"
	case "text":
		if fill == nil {
			return &engine.ConfigError{Key: "template", Msg: "is missing beside format = \"text\""}
		}
		o.encode, o.contentType = textOf(fill), "text/plain; charset=utf-8"
	case "discord":
		o.discord, o.Bulk.Check = true, isObject
		o.encode = discord{v.String("username"), v.String("avatar_url"), fill}.encode
	case "slack":
		o.Bulk.Check = isObject
		o.encode = slack{v.String("username"), v.String("avatar_url"), fill}.encode
	}
	return nil
}

// send is the httpsink.Sender.
func (o *output) send(ctx context.Context, events []engine.Event) (int, []error, error) {
	body, n, err := o.encode(o.Client.Buffer(), events)
	if err != nil {
		return max(n, 1), nil, err
	}
	if o.interval > 0 {
		if err := httpsink.Sleep(ctx, time.Until(o.next)); err != nil {
			return n, nil, err
		}
		o.next = time.Now().Add(o.interval)
	}
	a, err := o.Client.Post(ctx, o.url, o.contentType, body)
	if err != nil {
		return n, nil, err
	}
	if o.discord {
		o.Client.Pause(discordPause(a))
	}
	return n, nil, o.Client.Verdict(a)
}

func (o *output) skip(ev *engine.Event) bool {
	for i := range o.filters {
		if o.filters[i].matches(ev) {
			return false
		}
	}
	o.filtered.Add(1)
	return true
}

// isObject is the check of formats that look into events.
func isObject(ev *engine.Event) error {
	if !httpsink.IsObject(ev) {
		return &engine.RejectError{Err: errors.New("it is no JSON object, which this format wants")}
	}
	return nil
}
