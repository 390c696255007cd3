package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/engine"
)

// TestSQLiteWaitsForATableThatCannotBeUnique: rows that are there already are no fault of the events, which wait.
func TestSQLiteWaitsForATableThatCannotBeUnique(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	ask(t, path, "CREATE TABLE events (id TEXT); INSERT INTO events VALUES ('a'), ('a')")
	o := open(t, path, engine.Values{"unique": true})
	n, err := o.Write(t.Context(), []engine.Event{ev(`{"n":1}`)})
	var rejected *engine.RejectError
	if n != 0 || err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "remove what is there twice") {
		t.Errorf("got %d, %v", n, err)
	}
	ask(t, path, "DELETE FROM events")
	write(t, o, ev(`{"n":1}`), ev(`{"n":1}`))
	if got := ask(t, path, "SELECT count(*) FROM events"); got != "1" {
		t.Errorf("got %s rows", got)
	}
}
