package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// keepBooks writes the stats log, first after a second, then every StatsInterval.
func (e *Engine) keepBooks(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	out := e.newOutbox()
	var next time.Time
	for {
		select {
		case now := <-tick.C:
			if e.cfg.StatsInterval > 0 && !now.Before(next) {
				next = now.Add(e.cfg.StatsInterval)
				e.writeStats(out, now)
			}
		case <-ctx.Done():
			return
		}
	}
}

// writeStats sends two lines to the stats log: the original's, letter for letter, and the ledger with the counters.
func (e *Engine) writeStats(out *outbox, now time.Time) {
	in, analyzed, written := e.operations()
	at := now.UTC().Format("2006-01-02T15:04:05Z")
	ledger, err := json.Marshal(struct {
		Time   string    `json:"time"`
		Ledger []Account `json:"ledger"`
		Losses []Loss    `json:"counters,omitempty"`
	}{at, e.Ledger(), e.parts.Counters.NonZero()})
	if err != nil {
		panic("BUG: ledger: " + err.Error())
	}
	line := fmt.Sprintf(`{ "time": "%s", "operations": { "input": %d, "analyzer":%d, "output":%d }}`, at, in, analyzed, written)
	e.writeOwn(out, RouteStats, line, string(ledger))
}

// writeOwn sends lines to an internal output without booking them. They do not count as in flight: a stats log that cannot
// be written holds up nothing.
func (e *Engine) writeOwn(out *outbox, route Route, lines ...string) {
	batch := (*gate)(nil).newBatch(&books{}, "engine", len(lines), 0, nil)
	for i, l := range lines {
		out.add(route, Event{Body: l, rec: &batch.records[i]})
	}
	out.flush()
}

// operations counts as the original does: calls of loop in filters and in analyzers, events written by outputs.
func (e *Engine) operations() (input, analyzer, output int64) {
	for _, st := range e.filters {
		for _, sh := range st.shards {
			input += sh.in.Load()
		}
	}
	for _, st := range e.analyzers {
		for _, sh := range st.shards {
			analyzer += sh.in.Load()
		}
	}
	for _, s := range e.sinks {
		output += s.delivered.Load()
	}
	return input, analyzer, output
}
