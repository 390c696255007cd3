package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// Brokers that have just started have no producer ids to give yet.
const (
	registerTries = 20
	registerPause = 100 * time.Millisecond
)

// register asks for an id as a producer, if there is none. Without one the brokers would take each repetition for new, so nothing
// is sent before.
func (o *output) register(ctx context.Context) error {
	if o.pid != nil {
		return nil
	}
	for try := 1; ; try++ {
		pid, err := o.client.InitProducerID()
		if err == nil { // sarama leaves the answer's own error to us
			err = refusal(pid)
		}
		if err == nil {
			o.pid = pid
			return nil
		}
		if try == registerTries || !isAny(err, sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer, sarama.ErrRequestTimedOut) {
			return fmt.Errorf("no id as a producer: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(registerPause):
		}
	}
}

// refusal is the error in an answer; nil: it has an id.
func refusal(pid *sarama.InitProducerIDResponse) error {
	switch {
	case pid.Err != sarama.ErrNoError:
		return pid.Err
	case pid.ProducerID < 0 || pid.ProducerEpoch < 0:
		return fmt.Errorf("the broker answers id %d, epoch %d", pid.ProducerID, pid.ProducerEpoch)
	}
	return nil
}
