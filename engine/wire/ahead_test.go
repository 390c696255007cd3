package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"dragonfly/engine"
)

func TestAhead(t *testing.T) {
	batch := make([]engine.Event, 6)
	for i := range batch {
		batch[i].Body = fmt.Sprint(i)
	}
	ids := []string{"a", "b", "c", "d", "e", "f"}
	fault := errors.New("fault")
	var a Ahead
	if n, err := a.Stop(batch, []bool{true, true, false, true, false, true}, ids, 2, false, fault); n != 2 || err != fault {
		t.Fatal(n, err)
	}
	taken, again := a.Next(batch[2:])
	if !slices.Equal(taken, []bool{false, true, false, true}) || !slices.Equal(again, ids[2:]) {
		t.Errorf("got %v %v", taken, again)
	}
	if taken, _ := a.Next(batch[2:]); taken != nil {
		t.Error("it is not forgotten")
	}
	a.Stop(batch, []bool{true, true, false, true, false, true}, nil, 2, true, fault) // the third does not come again
	more := append(slices.Clone(batch[3:]), engine.Event{Body: "new"})
	if taken, _ := a.Next(more); !slices.Equal(taken, []bool{true, false, true, false}) {
		t.Errorf("got %v", taken)
	}
	a.Stop(batch, make([]bool, 6), nil, 2, false, fault)
	if taken, _ := a.Next(batch[3:]); taken != nil {
		t.Errorf("got %v for other events", taken)
	}
}
