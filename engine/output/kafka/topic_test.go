package kafka

import (
	"strings"
	"testing"

	"dragonfly/engine/lazyjson"
)

// TestTopicIsAlwaysValid whatever an event has in the field.
func TestTopicIsAlwaysValid(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tc := range []struct{ uri, event, want string }{
		{"{t}", `{"t":".."}`, "__"},
		{"{t}", `{"t":"."}`, "__"},
		{"{t}{u}", `{"t":".","u":"."}`, "__"},
		{"{t}", `{"t":"..."}`, "..."},
		{"{t}", `{"t":""}`, "unknown"},
		{"{t}", `{"t":null}`, "unknown"},
		{"{t}", `{"t":["a"]}`, "unknown"},
		{"{t}", `{}`, "unknown"},
		{"{t}", `{"t":7}`, "7"},
		{"{t}", `{"t":"` + long + `"}`, long[:249]},
		{"e-{t}", `{"t":"` + strings.Repeat("ä", 300) + `"}`, "e-" + strings.Repeat("_", 247)},
		{"e-{t}", `{"t":"a/../b c\n\u0000\ud800"}`, "e-a_.._b_c___"},
		{"e-{t}", `{"t":"../../x"}`, "e-.._.._x"},
	} {
		topics, err := newTopics(tc.uri, 10)
		if err != nil {
			t.Fatal(err)
		}
		index, err := lazyjson.IndexObject(nil, tc.event)
		if err != nil {
			t.Fatal(err)
		}
		var r lazyjson.Reader
		r.Reset(tc.event, index)
		got, err := topics.of(&r)
		if got != tc.want || err != nil {
			t.Errorf("%s of %.40s: got %q, %v, want %q", tc.uri, tc.event, got, err, tc.want)
		}
		if !isClean(got) || got == "" || got == "." || got == ".." || len(got) > longestTopic {
			t.Errorf("%q is no topic", got)
		}
	}
}
