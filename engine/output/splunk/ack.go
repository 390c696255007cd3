package splunk

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"dragonfly/engine/output/internal/httpsink"
)

// Pauses between two questions for an acknowledgement: the first, doubled up to the last.
const (
	firstAsk = 50 * time.Millisecond
	lastAsk  = 2 * time.Second
)

// await asks until the indexer has what the reply was about. An answer that fails does not mean that the events are lost: it is asked
// again until ack_timeout.
func (o *output) await(ctx context.Context, said reply) error {
	if said.AckID == nil {
		return fmt.Errorf("%s: it gives no ackId: switch indexer acknowledgement on for the token, or set ack = false; events wait", o.Client.Server())
	}
	id := strconv.FormatInt(*said.AckID, 10)
	body := []byte(`{"acks":[` + id + `]}`)
	deadline := time.Now().Add(o.ackLimit)
	var last error
	for pause := firstAsk; time.Now().Before(deadline); pause = min(2*pause, lastAsk) {
		if err := httpsink.Sleep(ctx, min(pause, time.Until(deadline))); err != nil {
			return err
		}
		done, err := o.ask(ctx, body, id)
		if done {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		last = err
	}
	if last != nil {
		return fmt.Errorf("no acknowledgement within %v, the events are sent again: %w", o.ackLimit, last)
	}
	return fmt.Errorf("%s: no acknowledgement of the indexer within %v, the events are sent again", o.Client.Server(), o.ackLimit)
}

func (o *output) ask(ctx context.Context, body []byte, id string) (bool, error) {
	a, err := o.Client.Post(ctx, o.ackURL, "application/json", body, "X-Splunk-Request-Channel", o.channel)
	if err != nil {
		return false, err
	}
	if err := o.Client.Verdict(a); err != nil {
		return false, fmt.Errorf("%w", err)
	}
	var answer struct {
		Acks map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(a.Body, &answer); err != nil {
		return false, fmt.Errorf("%s: its answer about acknowledgements: %w", o.Client.Server(), err)
	}
	return answer.Acks[id], nil
}
