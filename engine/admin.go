package engine

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wwwFiles serves ROOT/www through a directory handle, so that it works in a chroot and nothing above it can be reached.
type wwwFiles struct {
	dir  string
	mu   sync.Mutex
	root *os.Root
}

// get returns the handle; while there is no such directory it is nil, and looked for again.
func (w *wwwFiles) get() *os.Root {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.root == nil && w.dir != "" {
		w.root, _ = os.OpenRoot(w.dir)
	}
	return w.root
}

func (w *wwwFiles) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dir = ""; w.root != nil {
		w.root.Close()
		w.root = nil
	}
}

// Handler serves /www/..., /metrics (Prometheus text format), /healthz and /ledger.
func (e *Engine) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /www/", e.serveWWW)
	mux.HandleFunc("GET /metrics", e.serveMetrics)
	mux.HandleFunc("GET /healthz", e.serveHealth)
	mux.HandleFunc("GET /ledger", e.serveLedger)
	return mux
}

func (e *Engine) serveWWW(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/www/")
	if root := e.files.get(); root != nil && name != "" && !strings.HasPrefix(name, ".") && !strings.Contains(name, "/.") { // os.Root keeps links within
		if f, err := root.Open(name); err == nil {
			defer f.Close()
			if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
				w.Header().Set("Content-Type", "application/json")
				http.ServeContent(w, r, "", info.ModTime(), f)
				return
			}
		}
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "<html><head><title>Analyzer not found</title></head><body>File not found</body></html>")
}

func (e *Engine) serveLedger(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		Inputs []Account `json:"inputs"`
		Losses []Loss    `json:"counters,omitempty"`
	}{e.Ledger(), e.parts.Counters.NonZero()})
}

// serveHealth answers 200 while every output and every script works, 503 with the list of those that do not.
func (e *Engine) serveHealth(w http.ResponseWriter, _ *http.Request) {
	type down struct {
		Output  string  `json:"output"`
		Seconds float64 `json:"seconds"`
		Error   string  `json:"error"`
		Spooled int64   `json:"spooled_events,omitempty"`
	}
	type out struct {
		Stage   string  `json:"stage"`
		Shard   int     `json:"shard"`
		Seconds float64 `json:"seconds"`
		Error   string  `json:"error"`
	}
	health := struct {
		Status  string `json:"status"`
		Outputs []down `json:"outputs_down,omitempty"`
		Scripts []out  `json:"scripts_out,omitempty"`
	}{Status: [...]string{"starting", "ok", "draining", "ended"}[e.state.Load()]}
	for _, s := range e.sinks {
		if o := s.down.Load(); o != nil {
			health.Outputs = append(health.Outputs, down{s.tag, time.Since(o.since).Seconds(), o.err.Error(), s.spooledEvents()})
		}
	}
	for _, sh := range e.gate.shards {
		if o := sh.breaker.since.Load(); o != nil {
			health.Scripts = append(health.Scripts, out{sh.stage.key(), sh.n, time.Since(o.since).Seconds(), o.err.Error()})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(health.Outputs)+len(health.Scripts) > 0 {
		health.Status = "degraded"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(health)
}

func (e *Engine) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	b := bufio.NewWriter(w)
	defer b.Flush()
	e.WriteMetrics(b)
}

// WriteMetrics writes the state of the engine in Prometheus' text format.
func (e *Engine) WriteMetrics(w io.Writer) {
	m := &metricWriter{w: w}
	for _, b := range e.books {
		l := label("input", b.tag)
		a := b.account()
		m.add("dragonfly_records_read_total", "counter", "Records read by an input.", l, a.Read)
		m.add("dragonfly_records_delivered_total", "counter", "Records of which an output wrote something.", l, a.Delivered)
		m.add("dragonfly_records_dropped_total", "counter", "Records for which the scripts emitted nothing.", l, a.Dropped)
		for _, r := range reasons {
			m.add("dragonfly_records_dead_lettered_total", "counter", "Records dead-lettered, by reason.", l+","+label("reason", r), a.DeadLettered[r])
		}
		m.add("dragonfly_records_in_flight", "gauge", "Records read and not finished.", l, a.InFlight)
	}
	for _, st := range e.stages() {
		for _, sh := range st.shards {
			l := label("stage", st.row.Tag) + "," + label("kind", st.kind()) + fmt.Sprintf(`,shard="%d"`, sh.n)
			m.add("dragonfly_stage_events_in_total", "counter", "Events passed to a script.", l, sh.in.Load())
			m.add("dragonfly_stage_events_out_total", "counter", "Events emitted by a script.", l, sh.out.Load())
			m.add("dragonfly_stage_events_failed_total", "counter", "Events whose script failed.", l, sh.failed.Load())
			m.add("dragonfly_stage_events_dead_lettered_total", "counter", "Events dead-lettered by a stage.", l, sh.dead.Load())
			m.add("dragonfly_stage_queue_length", "gauge", "Events waiting for a script.", l, int64(sh.queue.len()))
			m.add("dragonfly_stage_events_bypassed_total", "counter", "Events that passed by a script that is taken out.", l, sh.bypassed.Load())
			m.add("dragonfly_stage_script_out", "gauge", "1 while a script is taken out after repeated faults.", l, boolean(sh.breaker.since.Load() != nil))
			m.add("dragonfly_stage_script_outs_total", "counter", "How often a script was taken out.", l, sh.breaker.opened.Load())
			if st.keepsState.Load() {
				m.add("dragonfly_stage_state_bytes", "gauge", "Size of the script's state as saved last.", l, sh.keeper.bytes.Load())
				m.add("dragonfly_stage_state_unsaved", "gauge", "1 while the script's state cannot be saved.", l, boolean(sh.keeper.unsaved.Load()))
			}
			m.addFloat("dragonfly_stage_script_seconds_total", "counter", "Time spent in a stage's scripts.", l, time.Duration(sh.busy.Load()).Seconds())
		}
	}
	for _, s := range e.sinks {
		l := label("output", s.tag)
		m.add("dragonfly_output_events_delivered_total", "counter", "Events written to a sink.", l, s.delivered.Load())
		m.add("dragonfly_output_events_rejected_total", "counter", "Events that a sink refused for good.", l, s.rejected.Load())
		m.add("dragonfly_output_errors_total", "counter", "Failed tries to open or write a sink.", l, s.errors.Load())
		m.add("dragonfly_output_queue_length", "gauge", "Events waiting for a sink.", l, int64(s.queue.len()))
		m.add("dragonfly_output_up", "gauge", "1 while the sink takes events.", l, boolean(s.down.Load() == nil))
		s.spoolMetrics(m, l)
	}
	e.unknown.Range(func(tag, n any) bool {
		m.add("dragonfly_unknown_tag_events_total", "counter", "Events sent to a tag that does not exist.", label("tag", tag.(string)), n.(*atomic.Int64).Load())
		return true
	})
	for _, c := range e.parts.Counters.all() {
		m.add("dragonfly_"+c.kind+"_"+c.name, "counter", c.help, label(c.kind, c.tag), c.n.Load())
	}
	m.add("dragonfly_timers_pending", "gauge", "Timers that scripts have set.", "", int64(e.timers.len()))
	if e.parts.Metrics != nil {
		e.parts.Metrics(func(name, kind, help string, value int64) { m.add(name, kind, help, "", value) })
	}
	self.metrics(m)
	runtimeMetrics(m)
	m.flush()
}

// metricWriter groups samples by metric, as the format demands.
type metricWriter struct {
	w       io.Writer
	metrics []metric
}

type metric struct{ name, kind, help, labels, value string }

func (m *metricWriter) add(name, kind, help, labels string, n int64) {
	m.metrics = append(m.metrics, metric{name, kind, help, labels, fmt.Sprint(n)})
}

func (m *metricWriter) addFloat(name, kind, help, labels string, x float64) {
	m.metrics = append(m.metrics, metric{name, kind, help, labels, fmt.Sprint(x)})
}

func (m *metricWriter) flush() {
	slices.SortStableFunc(m.metrics, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	last := ""
	for _, x := range m.metrics {
		if x.name != last {
			fmt.Fprintf(m.w, "# HELP %s %s\n# TYPE %s %s\n", x.name, x.help, x.name, x.kind)
			last = x.name
		}
		if x.labels != "" {
			x.labels = "{" + x.labels + "}"
		}
		fmt.Fprintf(m.w, "%s%s %s\n", x.name, x.labels, x.value)
	}
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func label(name, value string) string { return name + `="` + labelEscapes.Replace(value) + `"` }

// runtimeMetrics adds what the Go runtime counts, under the names that Prometheus' Go client uses.
func runtimeMetrics(m *metricWriter) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	n := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
	m.add("go_memstats_mallocs_total", "counter", "Heap objects allocated.", "", n(0))
	m.add("go_memstats_alloc_bytes_total", "counter", "Heap bytes allocated.", "", n(1))
	m.add("go_memstats_heap_alloc_bytes", "gauge", "Heap bytes in use.", "", n(2))
	m.add("go_goroutines", "gauge", "Goroutines.", "", n(3))
	m.add("go_gc_cycles_total", "counter", "Garbage collections.", "", n(4))
}
