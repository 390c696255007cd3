package elastic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/output/internal/sinktest"
)

func made(tb testing.TB, options engine.Values) *output {
	tb.Helper()
	out, err := New(sinktest.Params(Kind, "elasticsearch://h", options, nil))
	if err != nil {
		tb.Fatal(err)
	}
	return out.(*output)
}

func written(n int, action string) []byte {
	item := `{"` + action + `":{"status":201}}`
	return []byte(`{"errors":false,"items":[` + strings.Repeat(item+",", n-1) + item + "]}")
}

func TestAnswersInAnyForm(t *testing.T) {
	const good = `{"create":{"status":201}}`
	for _, test := range []struct {
		body  string
		quick bool
		fates string // w: written, r: refused, a: again; "" is an error
	}{
		{`{"errors":false,"items":[` + good + "," + good + "]}", true, "ww"},
		{`{"errors":false,"items":[` + good + "," + good + "]}\n", true, "ww"},
		{`{"errors":false,"items":[` + good + `,{"create":{"status":200}}]}`, true, "ww"},
		{`{"errors": false,"items":[` + good + ", " + good + "]}", false, "ww"},
		{`{"errors":false,"took":1,"items":[` + good + "," + good + "]}", false, "ww"},
		{`{"errors":false,"items":[` + good + `,{"create":{"_id":"x","status":201}}]}`, false, "ww"},
		{`{"errors":true,"items":[` + good + `,{"create":{"status":400,"error":{"type":"x","reason":"y"}}}]}`, false, "wr"},
		{`{"errors":false,"items":[` + good + `,{"create":{"status":400,"error":{"type":"x","reason":"y"}}}]}`, false, "wr"},
		{`{"errors":false,"items":[` + good + `,{"create":{"status":2010}}]}`, false, "wa"},
		{`{"errors":false,"items":[` + good + `,{"index":{"status":201}}]}`, false, "wa"},
		{`{"errors":false,"items":[` + good + `,{"create":{"status":429}}]}`, false, "wa"},
		{`{"errors":false,"items":[` + good + "]}", false, ""},
		{`{"errors":false,"items":[` + good + "," + good + "," + good + "]}", false, ""},
		{`{"errors":false,"items":[` + good + "," + good + "]", false, ""},
		{`{"errors":false,"items":[` + good + "," + good + "]}}", false, ""},
		{`{"errors":false,"items":[` + good + "," + good, false, ""},
		{`{"errors":false,"items":[]}`, false, ""},
		{"", false, ""},
	} {
		o := made(t, nil)
		if got := o.allWritten([]byte(test.body), 2); got != test.quick {
			t.Errorf("%s: allWritten is %v", test.body, got)
		}
		each, err := o.fates([]byte(test.body), 2)
		got := ""
		for _, err := range each {
			_, refused := err.(*engine.RejectError)
			got += map[bool]string{true: "w", false: map[bool]string{true: "r", false: "a"}[refused]}[err == nil]
		}
		if got != test.fates || (err == nil) != (test.fates != "") {
			t.Errorf("%s: got %q and %v, want %q", test.body, got, err, test.fates)
		}
	}
}

// TestIndexOfTime: names are remembered, and are still those of each event.
func TestIndexOfTime(t *testing.T) {
	for _, text := range []string{"eve", "eve-%Y.%m.%d", "eve-%G.%V", "eve-%F.%H", "eve-%H%M", "eve-%j-%S", "eve-{event_type}", "eve-%%-%Y-{event_type}"} {
		o := made(t, engine.Values{"index": text})
		for i := range 3 * mostNames {
			ev, err := engine.NewEvent(fmt.Sprintf(`{"timestamp":"%s","event_type":"t%d"}`, time.Unix(int64(i)*7919, 0).Format(time.RFC3339), i%3))
			if err != nil {
				t.Fatal(err)
			}
			at, _ := httpsink.Time(&ev, "timestamp")
			want := string(lazyjson.AppendQuoted(nil, indexName(o.index.At(&ev, at))))
			if got := string(o.appendIndex(nil, &ev, at)); got != want {
				t.Fatalf("%s: got %s, want %s", text, got, want)
			}
		}
		if len(o.names) > mostNames {
			t.Errorf("%s: %d names are remembered", text, len(o.names))
		}
	}
}

func BenchmarkFates(b *testing.B) {
	o, body := made(b, nil), written(1024, "create")
	b.ReportAllocs()
	for b.Loop() {
		if each, err := o.fates(body, 1024); err != nil || len(each) != 1024 {
			b.Fatal(err)
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	o := made(b, nil)
	ev, err := engine.NewEvent(`{"timestamp":"2026-11-21T16:53:57.123456+0000","flow_id":1,"event_type":"dns","src_ip":"10.0.0.1","src_port":5353,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","dns":{"type":"query","id":1,"rrname":"www.example.com","rrtype":"A"}}`)
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = o.appendDocument(dst[:0], &ev)
	}
}
