package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"dragonfly/engine"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// refuseIDs lets a broker answer err to the first n requests for a producer id, as one does that has just started.
func refuseIDs(c *kfake.Cluster, n int, err *kerr.Error) {
	c.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if n--; n < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = err.Code, -1, -1
		return resp, nil, true
	})
}

// producers counts the batches of each producer id.
type producers struct {
	mu  sync.Mutex
	ids map[int64]int
}

// idAt is where the producer id is in a batch: KIP-98.
const idAt = 43

func watchProducers(c *kfake.Cluster) *producers {
	p := &producers{ids: map[int64]int{}}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			for _, part := range topic.Partitions {
				p.ids[int64(binary.BigEndian.Uint64(part.Records[idAt:]))]++
			}
		}
		return nil, nil, false
	})
	return p
}

// TestNothingIsWrittenWithoutAnID: a broker that has just started has no producer id yet. What was sent without one could not be
// recognised when it is repeated: the broker would have it twice.
func TestNothingIsWrittenWithoutAnID(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(4, "eve"))
	refuseIDs(c, 3, kerr.CoordinatorLoadInProgress)
	p := watchProducers(c)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 6}) // written, but the answer says it may not be
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve", Options: engine.Values{"key": "k"}})
	for round := range 10 {
		var list []string
		for i := range 50 {
			list = append(list, fmt.Sprintf(`{"k":"%d","id":%d}`, i%9, round*50+i))
		}
		if refused := deliver(t, out, events(t, list...)); refused != nil {
			t.Fatal(refused)
		}
	}
	checkExact(t, test.ReadAll(t, c.ListenAddrs(), "eve"), 500)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ids) != 1 || p.ids[-1] > 0 {
		t.Errorf("got batches by producer %v, want one producer, not -1", p.ids)
	}
}

// TestRefusedID: who may not write idempotently is told so, and nothing is written.
func TestRefusedID(t *testing.T) {
	c := test.New(t, kfake.SeedTopics(1, "eve"))
	refuseIDs(c, 1, kerr.ClusterAuthorizationFailed)
	p := watchProducers(c)
	out := open(t, &test.Row{Address: c.ListenAddrs()[0] + "/eve"})
	n, err := out.Write(t.Context(), events(t, `{"k":"1","id":1}`))
	var reject *engine.RejectError
	if n != 0 || err == nil || errors.As(err, &reject) || !strings.Contains(err.Error(), "no right to write idempotently") {
		t.Errorf("%d, %v", n, err)
	}
	p.mu.Lock()
	if len(p.ids) > 0 {
		t.Errorf("written by %v", p.ids)
	}
	p.mu.Unlock()
	deliver(t, out, events(t, `{"k":"1","id":1}`)) // the right was given
	checkExact(t, test.ReadAll(t, c.ListenAddrs(), "eve"), 1)
}
