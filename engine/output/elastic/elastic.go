// Package elastic writes events to Elasticsearch and OpenSearch with the bulk API.
package elastic

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

// Kind is elasticsearch:// and opensearch://.
var Kind = engine.OutputKind{
	Doc: "`elasticsearch://HOST:9200`, `opensearch://HOST:9200`: writes events with the bulk API; `tls = true`, or another tls key, talks TLS. A document that is there already (same id) counts as delivered, what the mapping refuses goes to the dead letter, and what the server has no room for is sent again, each by itself.",
	Options: httpsink.Options(append([]engine.Option{
		{Key: "path", Type: engine.String, Secret: true, Doc: "What follows in the URL behind the uri's path, where it is a secret."},
		{Key: "index", Type: engine.String, Default: "dragonfly-%Y.%m.%d", Doc: "Index, alias or data stream: with the time of the event in UTC (`%Y %m %d %H %M %S %j %G %V`), and fields (`eve-{event_type}`; \"unknown\" where the event has none, characters that no index may have are \"_\")."},
		{Key: "action", Type: engine.String, Default: "create", Enum: []string{"create", "index"}, Doc: "\"create\" leaves a document that is there as it is, \"index\" replaces it. Data streams want \"create\"."},
		{Key: "id", Type: engine.String, Default: "hash", Doc: "Id of a document: \"hash\", of the event, so that what is sent twice after a crash is there once, and so are equal events; `{community_id}`, of fields; \"none\", the server chooses."},
		{Key: "time_field", Type: engine.String, Default: "timestamp", Doc: "Field with the time of the event: EVE's, RFC 3339, or seconds since 1970. Without it the time is now."},
		{Key: "add_timestamp", Type: engine.Bool, Default: true, Doc: "Adds the time as `@timestamp`, which data streams want, unless the event has that or has no time."},
		{Key: "pipeline", Type: engine.String, Doc: "Ingest pipeline that the documents pass."},
		{Key: "bulk_size", Type: engine.Int, Default: int64(1024), Min: 1, Max: 1024, Doc: "Events of one request at most; it has what has come."},
		{Key: "bulk_bytes", Type: engine.Bytes, Default: int64(5 << 20), Min: 1, Max: 1 << 30, Doc: "Bytes likewise, before gzip; a longer event goes alone."},
	}, httpsink.Auth...)...),
	New: New,
}

type output struct {
	httpsink.Sink
	url       *url.URL
	index     *template.Namer
	names     map[string][]byte // of indexes, quoted, by what index makes
	id        *template.Namer   // nil: none, or hash
	hash      bool
	action    string
	verb      []byte // action
	timeField string
	stamp     bool
	twice     *atomic.Int64
}

var _ engine.PortUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	v := p.Options
	client, err := httpsink.New(p, httpsink.Setup{Port: 9200, Answer: 64 << 20})
	errs := []error{err}
	o := &output{Sink: httpsink.Sink{Client: client}, action: v.String("action"), timeField: v.String("time_field"), stamp: v.Bool("add_timestamp"), verb: []byte(v.String("action")),
		twice: p.Counter("documents_there_already_total", "Events whose id was in the index already: they count as delivered.")}
	o.Bulk = httpsink.Bulk{Size: int(v.Int("bulk_size")), Bytes: v.Int("bulk_bytes"), Send: o.send, Check: check}
	errs = append(errs, o.setIndex(v.String("index")))
	switch id := v.String("id"); id {
	case "none", "":
	case "hash":
		o.hash = true
	default:
		if o.id, err = httpsink.NewTemplate(id, false, ""); err == nil && o.id.Fixed() {
			err = errors.New("is the same for all events, want \"hash\", \"none\" or fields such as {community_id}")
		}
		if err != nil {
			errs = append(errs, &engine.ConfigError{Key: "id", Msg: err.Error()})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	query := "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
	if name := v.String("pipeline"); name != "" {
		query += "&pipeline=" + url.QueryEscape(name)
	}
	o.url = client.URL("/_bulk", query)
	return o, nil
}

func (o *output) setIndex(text string) error {
	t, err := httpsink.NewTemplate(text, true, "unknown")
	if err != nil {
		return &engine.ConfigError{Key: "index", Msg: err.Error()}
	}
	short, _ := httpsink.NewTemplate(text, true, "x")
	if sample := short.At(&engine.Event{Body: "{}"}, time.Now()); sample == "" || indexName(sample) != sample {
		return &engine.ConfigError{Key: "index", Msg: fmt.Sprintf("%q is no name of an index: it must be in lower case, without \\ / * ? \" < > | # : , and spaces, and not begin with - _ +", text)}
	}
	o.index, o.names = t, map[string][]byte{}
	return nil
}

// mostNames is how many names of indexes are remembered.
const mostNames = 1000

// appendIndex appends the name of an event's index, quoted.
func (o *output) appendIndex(dst []byte, ev *engine.Event, at time.Time) []byte {
	text := o.index.At(ev, at)
	name := o.names[text]
	if name == nil {
		if len(o.names) == mostNames {
			clear(o.names)
		}
		name = lazyjson.AppendQuoted(nil, indexName(text))
		o.names[text] = name
	}
	return append(dst, name...)
}

// indexName replaces what the name of an index may not have.
func indexName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 127 || r == utf8.RuneError || strings.ContainsRune("\\/*?\"<>|#:,", r) {
			return '_'
		}
		return r
	}, strings.ToLower(s))
	if s == "" || s == "." || s == ".." {
		return "unknown"
	}
	for strings.ContainsRune("-_+", rune(s[0])) {
		s = "x" + s
	}
	for len(s) > 255 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// check refuses what no document can be.
func check(ev *engine.Event) error {
	if !httpsink.IsObject(ev) {
		return &engine.RejectError{Err: errors.New("it is no JSON object, and no document therefore")}
	}
	return nil
}

// send is the httpsink.Sender.
func (o *output) send(ctx context.Context, events []engine.Event) (int, []error, error) {
	body := o.Client.Buffer()
	for i := range events {
		body = o.appendDocument(body, &events[i])
	}
	a, err := o.Client.Post(ctx, o.url, "application/x-ndjson", body)
	if err == nil {
		err = o.Client.Verdict(a)
	}
	if err == nil && a.Broken != nil {
		err = a.Broken // which documents are there is not known; those with an id are not written twice
	}
	if err != nil {
		return len(events), nil, err
	}
	each, err := o.fates(a.Body, len(events))
	return len(events), each, err
}

// appendDocument appends the two lines of an event.
func (o *output) appendDocument(dst []byte, ev *engine.Event) []byte {
	at, known := httpsink.Time(ev, o.timeField)
	dst = append(append(append(dst, `{"`...), o.action...), `":{"_index":`...)
	dst = o.appendIndex(dst, ev, at)
	dst = append(o.appendID(dst, ev), "}}\n"...)
	if fields := httpsink.Fields(ev); o.stamp && known && lazyjson.Find(fields, ev.Body, "@timestamp") == nil {
		_, rest, _ := strings.Cut(ev.Body, "{")
		dst = append(dst, `{"@timestamp":"`...)
		dst = at.AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
		dst = append(dst, `",`...) // it has a field: the time
		dst = append(dst, rest...)
	} else {
		dst = append(dst, ev.Body...)
	}
	return append(dst, '\n')
}

// appendID appends the id of an event's document, unless it is left to the server. An id has 512 bytes at most.
func (o *output) appendID(dst []byte, ev *engine.Event) []byte {
	text := ev.Body
	if !o.hash {
		if o.id == nil {
			return dst
		}
		if text = o.id.Of(ev); text == "" {
			return dst
		}
		if len(text) <= 512 && utf8.ValidString(text) {
			return lazyjson.AppendQuoted(append(dst, `,"_id":`...), text)
		}
	}
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
	dst = base64.RawURLEncoding.AppendEncode(append(dst, `,"_id":"`...), sum[:16])
	return append(dst, '"')
}
