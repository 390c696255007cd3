package kafka

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
)

type valve struct{ pauses, resumes int }

func (v *valve) Pause()  { v.pauses++ }
func (v *valve) Resume() { v.resumes++ }

func claimOf(flow pauser, mark func(int64)) *claim {
	in := &input{fetch: 1000, maxLine: 1 << 20, tombstones: new(atomic.Int64)}
	return newClaim(in, "kafka://t/0", flow, mark)
}

func message(offset int64, size int) *sarama.ConsumerMessage {
	return &sarama.ConsumerMessage{Offset: offset, Value: []byte(`"` + strings.Repeat("x", size-2) + `"`)}
}

// TestClaimHoldsLittle: more than `fetch` bytes pause the fetching, half of them let it go on.
func TestClaimHoldsLittle(t *testing.T) {
	v := &valve{}
	c := claimOf(v, func(int64) {})
	for i := range 11 {
		c.put(message(int64(i), 100))
	}
	if v.pauses != 1 || v.resumes != 0 {
		t.Fatalf("%+v", v)
	}
	list, ok := c.take(context.Background())
	if !ok || len(list) != 11 || v.resumes != 1 || c.bytes != 0 {
		t.Errorf("%d %v %+v %d", len(list), ok, v, c.bytes)
	}
}

// TestClaimMarksInOrder: only what lies below all that is unfinished, and nothing when the claim is revoked.
func TestClaimMarksInOrder(t *testing.T) {
	var marks []int64
	c := claimOf(nil, func(next int64) { marks = append(marks, next) })
	var done []func()
	for i := range 4 {
		b := c.launch([]*sarama.ConsumerMessage{message(int64(10*i), 50), message(int64(10*i+3), 50)})
		if len(b.Records) != 2 || b.Records[1].Offset != int64(10*i+3) {
			t.Fatal(b)
		}
		done = append(done, b.Done)
	}
	done[2]()
	done[1]()
	if marks != nil || c.inFlight() != 8 {
		t.Fatal(marks, c.inFlight())
	}
	done[0]()
	if len(marks) != 1 || marks[0] != 24 || c.inFlight() != 2 {
		t.Fatal(marks, c.inFlight())
	}
	if n := c.revoke(); n != 2 {
		t.Error(n)
	}
	done[3]()
	if len(marks) != 1 {
		t.Error("marked after the revocation:", marks)
	}
}
