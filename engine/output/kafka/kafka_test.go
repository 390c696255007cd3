package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"dragonfly/engine"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

func open(t *testing.T, row *test.Row) *output {
	t.Helper()
	out, err := New(row.Params(Kind.Options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out.(*output)
}

func events(t testing.TB, bodies ...string) (list []engine.Event) {
	for _, b := range bodies {
		ev, err := engine.NewEvent(b)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, ev)
	}
	return list
}

// deliver does what the engine does with an output, and returns what was refused.
func deliver(t testing.TB, out engine.Output, list []engine.Event) (refused []string) {
	t.Helper()
	for end := time.Now().Add(test.Deadline); len(list) > 0; {
		n, err := out.Write(t.Context(), list)
		list = list[n:]
		var r *engine.RejectError
		switch {
		case errors.As(err, &r):
			refused = append(refused, list[0].Body+": "+r.Error())
			list = list[1:]
		case err != nil && time.Now().After(end):
			t.Fatal(err)
		case err != nil:
			time.Sleep(20 * time.Millisecond)
		case n == 0 && len(list) > 0:
			t.Fatal("nothing written and no error")
		}
	}
	return refused
}

func TestEveryCodecAndKey(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(7, "eve"))
	for _, codec := range Kind.Options[1].Enum {
		out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: engine.Values{"compression": codec, "key": "flow.id"}})
		var list []string
		for i := range 500 {
			list = append(list, fmt.Sprintf(`{"c":"%s","i":%d,"flow":{"id":%d}}`, codec, i, i%11))
		}
		if n, err := out.Write(t.Context(), events(t, list...)); n != len(list) || err != nil {
			t.Fatal(codec, n, err)
		}
	}
	got := test.ReadAll(t, c.ListenAddrs(), "eve")
	if len(got) != 2500 {
		t.Errorf("got %d records, want 2500", len(got))
	}
	java := sarama.NewMurmur2Partitioner("eve")
	last := map[string]int{}
	for _, m := range got {
		want, _ := java.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(m.Key)}, 7)
		if m.Partition != want {
			t.Errorf("key %q is in partition %d, Java puts it in %d", m.Key, m.Partition, want)
		}
		var codec string
		var i, id int
		fmt.Sscanf(strings.NewReplacer(`"`, " ", ",", " ").Replace(m.Value), "{ c : %s i :%d flow :{ id :%d", &codec, &i, &id)
		if before, ok := last[codec+m.Key]; ok && before >= i || fmt.Sprint(id) != m.Key {
			t.Errorf("%s after %d", m.Value, before)
		}
		last[codec+m.Key] = i
	}
}

func TestTopicsOfFields(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve-dns", "eve-a_b__c", "eve-unknown"))
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve-${event_type}", Options: engine.Values{"max_topics": int64(4)}})
	refused := deliver(t, out, events(t, `{"event_type":"dns"}`, `{"event_type":"a/b\u00e4 c"}`, `{}`, `{"event_type":"nowhere"}`, `{"event_type":"fifth"}`, `{"event_type":{}}`, `{"event_type":"dns","n":2}`))
	if len(refused) != 2 || !strings.Contains(refused[0], "create it") || !strings.Contains(refused[1], "max_topics (4)") {
		t.Errorf("refused %q", refused)
	}
	for topic, want := range map[string]int{"eve-dns": 2, "eve-a_b__c": 1, "eve-unknown": 2} {
		if got := test.ReadAll(t, c.ListenAddrs(), topic); len(got) != want {
			t.Errorf("%s: got %v, want %d", topic, got, want)
		}
	}
}

// TestTooLongIsRefusedAlone: one event that the broker does not take costs none of those that were sent with it.
func TestTooLongIsRefusedAlone(t *testing.T) {
	c := test.New(t)
	if err := c.CreateTopic("eve", 1, map[string]string{"max.message.bytes": "3000"}); err != nil {
		t.Fatal(err)
	}
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: engine.Values{"compression": "none", "max_message": int64(20_000)}})
	var list []string
	for i := range 40 {
		n := 100
		switch i {
		case 7, 8, 39:
			n = 4000 // for the broker
		case 20:
			n = 30_000 // for us
		}
		list = append(list, fmt.Sprintf(`{"id":%d,"x":"%s"}`, i, strings.Repeat("x", n)))
	}
	refused := deliver(t, out, events(t, list...))
	if len(refused) != 4 {
		t.Errorf("%d refused, want 4", len(refused))
	}
	got := test.ReadAll(t, c.ListenAddrs(), "eve")
	want := slices.Concat(list[:7], list[9:20], list[21:39])
	if len(got) != len(want) {
		t.Fatalf("got %d, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Value != want[i] {
			t.Errorf("record %d is %.20s, want %.20s", i, got[i].Value, want[i])
		}
	}
}

// TestLostAnswersDoNotRepeat: the broker takes a batch and the answer is lost, again and again.
func TestLostAnswersDoNotRepeat(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(4, "eve"))
	var n int
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if n++; n%3 != 0 {
			return nil, nil, false
		}
		return nil, errors.New("cut"), true // nothing is answered, and nothing written
	})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 20}) // written, but the answer says it may not be
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: engine.Values{"key": "k"}})
	for round := range 30 {
		var list []string
		for i := range 50 {
			list = append(list, fmt.Sprintf(`{"k":"%d","id":%d}`, i%9, round*50+i))
		}
		if refused := deliver(t, out, events(t, list...)); refused != nil {
			t.Fatal(refused)
		}
	}
	checkExact(t, test.ReadAll(t, c.ListenAddrs(), "eve"), 1500)
}

// checkExact wants each id once, and those of a key in order.
func checkExact(t *testing.T, got []test.Message, want int) {
	t.Helper()
	seen, last := map[int]int{}, map[string]int{}
	for _, m := range got {
		var k, id int
		fmt.Sscanf(m.Value, `{"k":"%d","id":%d}`, &k, &id)
		seen[id]++
		if before, ok := last[m.Key]; ok && id <= before {
			t.Errorf("key %s: %d after %d", m.Key, id, before)
		}
		last[m.Key] = id
	}
	if len(seen) != want || len(got) != want {
		t.Errorf("%d records of %d ids, want %d of each", len(got), len(seen), want)
	}
}

// TestBrokersThatForget: they do not know the producer any more.
func TestBrokersThatForget(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(2, "eve"))
	row := &test.Row{Address: c.ListenAddrs()[0] + "/eve"}
	out := open(t, row)
	deliver(t, out, events(t, `{"id":1}`))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.OutOfOrderSequenceNumber, Count: 1})
	deliver(t, out, events(t, `{"id":2}`, `{"id":3}`))
	if got := test.ReadAll(t, c.ListenAddrs(), "eve"); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if row.Count("producer_renewed_total").Load() != 1 {
		t.Error("not counted")
	}
}

// TestWriteEndsWithItsContext also while a broker does not answer; what was in flight is sent again without being there twice.
func TestWriteEndsWithItsContext(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	block, asked := make(chan struct{}), make(chan struct{})
	first := true
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if first {
			first = false
			close(asked)
			c.SleepControl(func() { <-block })
		}
		return nil, nil, false
	})
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve"})
	ctx, cancel := context.WithCancel(t.Context())
	list := events(t, `{"k":"1","id":1}`, `{"k":"1","id":2}`)
	result := make(chan error, 1)
	go func() {
		_, err := out.Write(ctx, list)
		result <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-result:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(test.Deadline):
		t.Fatal("Write does not end")
	}
	close(block)
	deliver(t, out, append(list, events(t, `{"k":"1","id":3}`)...))
	checkExact(t, test.ReadAll(t, c.ListenAddrs(), "eve"), 3)
}

func TestOtherEventsAfterAFault(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 2})
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve"})
	if n, err := out.Write(t.Context(), events(t, `{"id":1}`)); n != 0 || err == nil {
		t.Fatal(n, err)
	}
	deliver(t, out, events(t, `{"id":2}`)) // must not pass for the repetition of the first
	got := test.ReadAll(t, c.ListenAddrs(), "eve")
	if len(got) != 2 || got[1].Value != `{"id":2}` {
		t.Errorf("got %v", got)
	}
}

// TestRefusedLogin ends the start of the process: it is a mistake in config.lua.
func TestRefusedLogin(t *testing.T) {
	c := test.New(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "ann", "secret"))
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: engine.Values{"sasl_mechanism": "SCRAM-SHA-512", "sasl_user": "ann", "sasl_password": "hush"}})
	err := out.Open(t.Context())
	if list := engine.ConfigErrors(err); len(list) != 1 || !strings.Contains(err.Error(), `login of "ann"`) || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	for address, want := range map[string]string{
		"":                 "names no broker",
		"/t":               "names no broker",
		"h:99999/t":        "is no broker",
		"u:p@h/t":          "holds a login",
		"u:p/w@h/t":        "holds a login",
		"h/":               "names no topic",
		"h":                "names no topic",
		"h/a b":            "is no topic",
		"h/a/b":            "is no topic",
		"h/..":             "is no topic",
		"h/a-{x":           "is no topic",
		"h/a-{}":           "is no topic",
		"h/a}b":            "is no topic",
		"h/a$b":            "is no topic",
		"h/t?group=g":      "has ?group",
		"[::1]:9092/t?x=%": "invalid URL escape",
	} {
		_, err := New((&test.Row{Address: address}).Params(Kind.Options))
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != "uri" || !strings.Contains(list[0].Msg, want) {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
	}
	for _, address := range []string{"h/t", "h,[::1]/t", "h:1/eve-{a.b}-{c}", "h/a.b_c-d"} {
		if _, err := New((&test.Row{Address: address}).Params(Kind.Options)); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
