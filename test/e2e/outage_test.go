package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// outageSink is a sink that a test takes away for a while.
type outageSink struct {
	row         string             // of the output in config.lua
	stop, start func()             // stop takes it away, start brings it back; both return when that is done
	seen        func() map[int]int // id of an event: how often the sink has it. From the test's goroutine.
	count       func() int         // how many events the sink has, where seen is too expensive to be asked often; nil: seen
	slow        bool               // seen is expensive
	silent      bool               // the output need not notice: the sink does not answer, and answers later
	twice       int                // events that may be there twice: what was on its way when it went
	rate        int                // events a second; 0: 1000
}

// outageLength is how long sinks are away: OUTAGE, 3 s by default.
func outageLength(t *testing.T) time.Duration {
	text := os.Getenv("OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("OUTAGE=%q: want a duration such as 15s", text)
	}
	return d
}

// batchSize is the most events that the engine hands to an output at a time.
const batchSize = 1024

// TestSinksAreAway takes every sink away for some seconds (OUTAGE) while events come, and brings it back: no event is missing, few
// come twice, the ledger balances, the process ends with 0.
func TestSinksAreAway(t *testing.T) {
	length := outageLength(t)
	var mu sync.Mutex
	var table []string
	t.Run("sinks", func(t *testing.T) {
		for _, c := range []struct {
			name string
			sink func(t *testing.T) *outageSink
		}{
			{"kafka ended", kafkaAway}, // the slowest first; no commas: Kafka takes a path as a list
			{"unix closed", unixAway},
			{"unix not read", unixNotRead},
			{"unixgram closed", func(t *testing.T) *outageSink { return gramAway(t, `unixgram://SOCKET"`) }},
			{"syslog closed", func(t *testing.T) *outageSink { return gramAway(t, `syslog://LOG_LOCAL0", socket = "SOCKET"`) }},
			{"syslog+tcp closed", syslogAway},
			{"syslog+tcp rsyslogd stands still", rsyslogStopped},
			{"forward killed", forwardAway},
			{"redis list killed", func(t *testing.T) *outageSink { return redisAway(t, "list") }},
			{"redis stream killed", func(t *testing.T) *outageSink { return redisAway(t, "stream") }},
			{"redis channel stands still", redisChannelStopped},
			{"nats jetstream ended", natsAway},
			{"sqlite locked", sqliteAway},
			{"archive disk full", archiveAway},
			{"parquet disk full", parquetAway},
			{"http reset", func(t *testing.T) *outageSink { return webAway(t, bulkHook) }},
			{"webhook reset", func(t *testing.T) *outageSink { return webAway(t, singleHook) }},
			{"discord reset", func(t *testing.T) *outageSink { return webAway(t, discordHook) }},
			{"slack reset", func(t *testing.T) *outageSink { return webAway(t, slackHook) }},
			{"elasticsearch reset", func(t *testing.T) *outageSink { return webAway(t, elasticServer) }},
			{"splunk reset", func(t *testing.T) *outageSink { return webAway(t, splunkServer) }},
			{"loki reset", func(t *testing.T) *outageSink { return webAway(t, lokiServer) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				line := c.sink(t).outage(t, length)
				mu.Lock()
				defer mu.Unlock()
				table = append(table, fmt.Sprintf("%-34s %s", c.name, line))
			})
		}
	})
	t.Logf("away for %v\n%s", length, strings.Join(table, "\n"))
}

// outage runs dragonfly, and the load, through an outage of length, and returns what the test measured.
func (s *outageSink) outage(t *testing.T, length time.Duration) string {
	r := sinkRoot(t, s.row, "")
	p := r.start()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
			select {
			case err := <-p.ended:
				t.Fatalf("ended (%v) before: %s\n%s", err, what, p.text())
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s\n%s", what, p.text())
			}
			if s.slow {
				time.Sleep(300 * time.Millisecond)
			}
		}
	}
	if s.rate == 0 {
		s.rate = 1000
	}
	if s.count == nil {
		s.count = func() int { return len(s.seen()) }
	}
	end := r.load(s.rate)
	before := 0
	wait("events before the outage", func() bool { before = s.count(); return before >= s.rate/10 })
	s.stop()
	began := time.Now()
	if !s.silent {
		wait("word of the outage", func() bool { return strings.Contains(p.text(), "output does not work") })
	}
	time.Sleep(length - time.Since(began)) // the outage
	s.start()
	away := time.Since(began)
	wait("events after the outage", func() bool { return s.count() > before })
	n := end()
	wait("all events", func() bool { return s.count() >= n && len(s.seen()) >= n })
	caughtUp := time.Since(began) - away
	if !s.silent {
		wait("the good news", func() bool { return strings.Contains(p.text(), "output works again") })
	}
	text := p.stop() // wants exit 0
	lost, twice := 0, 0
	seen := s.seen()
	for i := range n {
		if seen[i] == 0 {
			lost++
		}
		twice += max(0, seen[i]-1)
	}
	if lost > 0 || twice > s.twice || len(seen) != n {
		t.Errorf("%d events, %d at the sink: %d lost, %d twice, want 0 and at most %d\n%s", n, len(seen), lost, twice, s.twice, text)
	}
	if want := fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", n, n); !strings.Contains(text, want) {
		t.Errorf("no %q in %s", want, text)
	}
	return fmt.Sprintf("%6d events  %d lost  %4d twice  away %5.1f s  all there %4.1f s later", n, lost, twice, away.Seconds(), caughtUp.Seconds())
}

// load appends events to in.json, rate a second, until end is called, which returns how many there are.
func (r *root) load(rate int) (end func() int) {
	stop, ended := make(chan struct{}), make(chan int)
	f, err := os.OpenFile(r.path("in.json"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	once := sync.OnceValue(func() int { close(stop); return <-ended })
	go func() {
		n := 0
		defer f.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var text strings.Builder
			for range max(1, rate/50) {
				fmt.Fprintf(&text, `{"timestamp":"2026-11-21T10:%02d:%02d.%06d+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"TCP","alert":{"signature_id":1,"signature":"s","severity":1},"id":%d}`+"\n",
					n/60_000_000%60, n/1_000_000%60, n%1_000_000, n)
				n++
			}
			if _, err := f.WriteString(text.String()); err != nil {
				r.t.Error(err)
			}
			select {
			case <-stop:
				ended <- n
				return
			case <-tick.C:
			}
		}
	}()
	r.t.Cleanup(func() { once() })
	return once
}

// tally counts the events that a sink has got.
type tally struct {
	mu  sync.Mutex
	ids map[int]int
}

var idPattern = regexp.MustCompile(`\\?"id\\?":(\d+)|id=(\d+);`) // also within a string of JSON, and of a template

func idsIn(text string) []int {
	var list []int
	for _, m := range idPattern.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[1] + m[2])
		if err != nil {
			panic(err)
		}
		list = append(list, n)
	}
	return list
}

func (c *tally) add(ids ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[int]int{}
	}
	for _, id := range ids {
		c.ids[id]++
	}
}

// seen returns a copy.
func (c *tally) seen() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make(map[int]int, len(c.ids))
	for id, n := range c.ids {
		list[id] = n
	}
	return list
}
