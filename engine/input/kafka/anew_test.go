package kafka

import (
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"

	test "dragonfly/engine/wire/kafka/kafkatest"
)

// makeAnew deletes topic "eve" and creates it again with n records prefix0 and so on.
func makeAnew(t *testing.T, c *kfake.Cluster, prefix string, n int) {
	t.Helper()
	if err := c.DeleteTopic("eve"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("eve", 1, nil); err != nil {
		t.Fatal(err)
	}
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values(prefix, n)...)
}

// TestTopicMadeAnewWhileRead: what we read next is beyond the end of the new topic. That is told, and all of it is read.
func TestTopicMadeAnewWhileRead(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 100)...)
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, false)
	r.wait(100)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 100 })
	makeAnew(t, c, "b", 10)
	r.wait(110)
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("c", 10)...)
	r.wait(120)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 20 })
	r.stop()
	list := r.Records()
	if len(list) != 120 || list[100].Body != `{"id":"b0"}` || list[100].Offset != 0 || list[119].Body != `{"id":"c9"}` {
		t.Errorf("%d records, want 120: %v", len(list), list[100:])
	}
}

// TestOffsetBeyondTheEnd: the group's offset is of a topic that was longer.
func TestOffsetBeyondTheEnd(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	test.Produce(t, c.ListenAddrs(), "eve", 0, sarama.CompressionNone, test.Values("a", 10)...)
	commit(t, c, 400)
	r := begin(t, c.ListenAddrs()[0]+"/eve?group=g", nil, false)
	r.wait(10)
	test.WaitFor(t, "the commit", func() bool { return test.Committed(t, c.ListenAddrs(), "g", "eve", 0) == 10 })
	r.stop()
	if text := r.Log.String(); len(r.Records()) != 10 || strings.Count(text, "or the topic was made anew") != 1 || !strings.Contains(text, "offset=400") {
		t.Errorf("%d records, want 10, told once:\n%s", len(r.Records()), text)
	}
}
