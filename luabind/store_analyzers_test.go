package luabind

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/store"
)

// inStore are the shipped analyzers that keep their state in the store.
var inStore = []string{"rare-country", "rare-hour", "rare-signature", "bytes-rank", "connection-count", "invalid-cert", "dns-cache", "priority", "exfil"}

// oddStoreEvents are for what these analyzers read.
var oddStoreEvents = []string{
	`{"event_type":"alert","src_ip":null,"dest_ip":[],"alert":{}}`, `{"event_type":"alert","alert":[]}`,
	`{"event_type":"alert","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","alert":{"signature_id":"x","severity":null,"metadata":null}}`,
	`{"event_type":"alert","src_ip":"10.0.0.1","dest_ip":"10.0.0.1","analytics":null,"alert":{"signature_id":1.5,"gid":null,"severity":-3,"metadata":{"signature_severity":[]}}}`,
	`{"event_type":"alert","src_ip":"::1","dest_ip":"::ffff:10.0.0.1","analytics":{"signature":null,"country":5,"bytes_rank":[],"dga":{"score":null},"ip_rep":"x"},"alert":{"severity":1e300,"category":7,"metadata":{"signature_severity":["Major"]},"signature_id":98765432109876543210}}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","analytics":{"ip_geo":null},"flow":{"start":"2026-13-99T99:99:99","pkts_toclient":null}}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","analytics":{"ip_geo":{"location":[1]}},"flow":{"start":7,"bytes_toserver":1e15,"bytes_toclient":1e15}}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","timestamp":{},"analytics":{"ip_geo":{"location":{"country_code":null}}},"flow":{"start":"0000-00-00T00:00:00"}}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","analytics":{"ip_geo":{"location":{"country_code":"toolong"}}},"flow":{"start":"2026-11-20T10:00"}}`,
	`{"event_type":"tls","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","tls":null}`, `{"event_type":"tls","tls":{"subject":"a","issuerdn":"a"}}`,
	`{"event_type":"tls","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","tls":{"subject":5,"issuerdn":5,"notbefore":null,"notafter":"9999-99-99","sni":null,"subjectaltname":null}}`,
	`{"event_type":"tls","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","timestamp":null,"tls":{"subject":null,"issuerdn":null,"notafter":"x","sni":"a","subjectaltname":[null,5,{}]}}`,
	`{"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"answer","rrname":null,"queries":null,"answers":null,"grouped":null}}`,
	`{"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"answer","rrname":"a","answers":"x","grouped":{"A":[null,5,"x"],"AAAA":"x"}}}`,
	`{"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"response","queries":["x"],"answers":[null,5,{"rrtype":"A","rdata":"x","ttl":-1},{"rrtype":"A","rdata":"192.0.2.1","ttl":1e308}]}}`,
	`{"event_type":"dns","src_ip":"10.0.0.1","dns":{"type":"response","rrname":"a","answers":[5,{"rrtype":"A","rdata":"192.0.2.1","ttl":null}]}}`,
	`{"event_type":"dns","src_ip":5,"dns":{"qr":true,"query":5,"rrname":7,"rdata":[],"rrtype":"A"}}`,
	`{"event_type":"dns","src_ip":5,"dns":{"qr":true,"queries":[5]}}`,
}

// touches says whether an analyzer may change an event.
func touches(name, event string) bool {
	if name == "rare-hour" {
		return false
	}
	return strings.Contains(event, `_ip"`) || strings.Contains(event, `"alert"`)
}

// without returns an event without what analyzers added, decoded.
func without(t *testing.T, event string) map[string]any {
	t.Helper()
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(event))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", event, err)
	}
	delete(v, "analytics")
	return v
}

func TestStoreAnalyzersRunOnRealAndOddEvents(t *testing.T) {
	files, _ := filepath.Glob("../../shared/data/reference/eve/*.json")
	files = append(files, "../../shared/data/ours/eve-own.json")
	for _, name := range inStore {
		t.Run(name, func(t *testing.T) {
			s := loadShipped(t, "..", name)
			n, found := 0, 0
			one := func(event string) {
				next, other := s.handle(event)
				n++
				for _, o := range other {
					if found++; strings.HasPrefix(o, "log ") {
						t.Fatalf("%.300s: %s", event, o)
					}
				}
				if len(next) != 1 {
					t.Fatalf("%.300s: passed on %d times", event, len(next))
				}
				if next[0] == event {
					return
				}
				if !touches(name, event) {
					t.Fatalf("%.300s: changed to %.300s", event, next[0])
				}
				if got, want := fmt.Sprint(without(t, next[0])), fmt.Sprint(without(t, event)); got != want {
					t.Fatalf("%.300s: changed to %.300s", event, next[0])
				}
			}
			for _, event := range slices.Concat(oddEvents, oddStoreEvents) {
				one(event)
			}
			for _, file := range files {
				eachEvent(t, strings.TrimPrefix(file, "../../shared/data/"), func(line string) { one(strings.TrimSpace(line)) })
			}
			keys := storeOf(s).do(t, "KEYS", "*")
			for _, key := range keys.Elems {
				if ttl := storeOf(s).do(t, "TTL", key.Str); ttl.Int < 0 && key.Str != "df:country:since" {
					t.Errorf("%s has no time to live", key.Str)
				}
				if !strings.HasPrefix(key.Str, "df:") {
					t.Errorf("key %q", key.Str)
				}
			}
			t.Logf("%d events, %d findings, %d keys", n, found, len(keys.Elems))
		})
	}
}

// session is one of the store that a shipped analyzer uses.
type session struct{ store.Session }

func storeOf(s *shipped) session {
	return session{s.script.(*script).program.loader.redisClient().Session()}
}

func (s session) do(t *testing.T, args ...string) store.Reply {
	t.Helper()
	r, err := s.Do(args)
	if err != nil || r.Kind == store.Error {
		t.Fatalf("%q: %v %s", args, err, r.Str)
	}
	return r
}

// findings are those that handle returned, decoded.
func findings(t *testing.T, other []string) (list []map[string]any) {
	t.Helper()
	for _, o := range other {
		tag, body, _ := strings.Cut(o, " ")
		if tag != "findings" {
			t.Fatalf("emitted %s", o)
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func eveTime(at time.Time) string { return at.Format("2006-01-02T15:04:05.000000-0700") }

func TestRareCountryLearnsThenReports(t *testing.T) {
	s := loadShipped(t, "..", "rare-country")
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	flow := func(src, dest, code string, answered int) (map[string]any, []map[string]any) {
		t.Helper()
		at = at.Add(100 * time.Second)
		next, other := s.handle(fmt.Sprintf(`{"timestamp":%q,"event_type":"flow","src_ip":%q,"dest_ip":%q,"flow":{"pkts_toclient":%d},"analytics":{"ip_geo":{"location":{"country_code":%q}}}}`,
			eveTime(at), src, dest, answered, code))
		var v struct {
			Analytics struct{ Country map[string]any }
		}
		if err := json.Unmarshal([]byte(next[0]), &v); err != nil {
			t.Fatal(err)
		}
		return v.Analytics.Country, findings(t, other)
	}
	for i := range 863 { // 764 are enough, but not before a day, which are 864 flows, is over
		if _, f := flow("10.0.0.1", "8.8.8.8", "US", 1); len(f) > 0 {
			t.Fatalf("flow %d: %v", i, f)
		}
	}
	if c, f := flow("10.0.0.2", "1.1.1.1", "KP", 0); len(f) != 0 || c["rare"] != false || c["total"] != 864.0 {
		t.Errorf("learning: got %v %v", c, f)
	}
	c, f := flow("10.0.0.3", "1.1.1.1", "IR", 0)
	if len(f) != 1 || f[0]["host"] != "10.0.0.3" || f[0]["country_code"] != "IR" || c["rare"] != true || c["count"] != 1.0 || c["total"] != 865.0 {
		t.Errorf("rare: got %v %v", c, f)
	}
	if _, f = flow("10.0.0.3", "1.1.1.2", "IR", 0); len(f) != 0 {
		t.Errorf("reported twice: %v", f)
	}
	if c, f = flow("8.8.8.8", "10.0.0.1", "CN", 0); len(f) != 0 || c["total"] != 0.0 || c["direction"] != "in" {
		t.Errorf("a scan counts: %v %v", c, f)
	}
	if c, _ = flow("8.8.8.8", "10.0.0.1", "CN", 1); c["total"] != 1.0 {
		t.Errorf("an answered flow does not count: %v", c)
	}
	at = at.Add(30 * 24 * time.Hour) // the next period: the one before fades
	if c, _ = flow("10.0.0.1", "8.8.8.8", "US", 1); c["total"].(float64) >= 860 || c["total"].(float64) < 2 {
		t.Errorf("a period later: %v", c)
	}
	at = at.Add(60 * 24 * time.Hour)
	if c, _ = flow("10.0.0.1", "8.8.8.8", "US", 1); c["total"] != 1.0 {
		t.Errorf("after the window: %v", c)
	}
}

// TestWilson compares with values of an independent computation (R: prop.test(k, n, correct = FALSE)).
func TestWilson(t *testing.T) {
	library, err := os.ReadFile("../scripts/lib/state.lua")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = load(t, "analyzers/a.lua", `local state = require 'lib/state'
function setup()
  for _, c in ipairs({{0, 10, 0.2775328}, {1, 10, 0.4041500}, {5, 10, 0.7634070}, {10, 10, 1}, {3, 1000, 0.0087807}}) do
    local got = state.upper(c[1], c[2])
    assert(math.abs(got - c[3]) < 2e-5, c[1] .. " of " .. c[2] .. ": " .. got)
  end
  assert(state.upper(0, 0) == 1)
end
function loop() end`, "scripts/lib/state.lua", string(library))
	if err != nil {
		t.Error(err)
	}
}

// person is active on weekdays from 8 to 17, not in each hour of each day.
func person(rng *rand.Rand, at time.Time) bool {
	return at.Weekday() >= 1 && at.Weekday() <= 5 && at.Hour() >= 8 && at.Hour() < 17 && rng.Float64() < 0.85
}

// TestRareHour runs 14 weeks of hosts with known habits.
func TestRareHour(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	habits := map[string]func(at time.Time) bool{
		"10.0.0.1": func(at time.Time) bool { return person(rng, at) },
		"10.0.0.2": func(at time.Time) bool { return true },                             // a server
		"10.0.0.3": func(at time.Time) bool { return at.Hour() == 2 },                   // a backup
		"10.0.0.4": func(at time.Time) bool { return rng.Float64() < 0.05 },             // without habits
		"10.0.0.5": func(at time.Time) bool { return rng.Float64() < 0.4 },              // likewise
		"8.8.8.8":  func(at time.Time) bool { return at.Hour() == 9 && at.Day()%2 > 0 }, // not ours
	}
	s := loadShipped(t, "..", "rare-hour")
	zone := time.FixedZone("", 2*3600)
	begin := time.Date(2026, 6, 1, 0, 0, 0, 0, zone) // a Monday
	got := map[string]int{}
	flow := func(host string, at time.Time) []map[string]any {
		t.Helper()
		_, other := s.handle(fmt.Sprintf(`{"event_type":"flow","src_ip":%q,"dest_ip":"192.0.2.1","flow":{"start":%q}}`, host, eveTime(at)))
		f := findings(t, other)
		got[host] += len(f)
		return f
	}
	for h := range 14 * 168 {
		at := begin.Add(time.Duration(h) * time.Hour)
		for _, host := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "8.8.8.8"} {
			if habits[host](at) {
				flow(host, at.Add(10*time.Minute))
				flow(host, at.Add(20*time.Minute))
			}
		}
	}
	for host, n := range got {
		if n > 1 {
			t.Errorf("%s: %d findings for what it always does", host, n)
		}
	}
	night := begin.Add(14*7*24*time.Hour + 3*time.Hour + 30*time.Minute + 24*time.Hour)
	f := flow("10.0.0.1", night)
	if len(f) != 1 || f[0]["hour"] != 3.0 || f[0]["weekday"] != "Tuesday" || f[0]["active_weeks"] != 0.0 || f[0]["weeks"] != 8.0 || f[0]["score"].(float64) < 0.98 {
		t.Errorf("at night: %v", f)
	}
	if f = flow("10.0.0.1", night.Add(time.Hour)); len(f) != 0 {
		t.Errorf("reported twice: %v", f)
	}
	for _, host := range []string{"10.0.0.2", "10.0.0.4", "10.0.0.5", "8.8.8.8"} {
		if f := flow(host, night); len(f) != 0 {
			t.Errorf("%s: %v", host, f)
		}
	}
	if f = flow("10.0.0.3", night.Add(12*time.Hour)); len(f) != 1 {
		t.Errorf("a backup in the afternoon: %v", f)
	}
}

func TestRareSignature(t *testing.T) {
	s := loadShipped(t, "..", "rare-signature")
	alert := func(host, sid int) []map[string]any {
		t.Helper()
		_, other := s.handle(fmt.Sprintf(`{"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"alert","src_ip":"10.0.%d.%d","dest_ip":"8.8.8.8","alert":{"signature_id":%d,"gid":1}}`, host/250, host%250, sid))
		return findings(t, other)
	}
	for range 5000 { // a flood is one pair
		if f := alert(1, 1); len(f) != 0 {
			t.Fatal(f)
		}
	}
	if f := alert(2, 7); len(f) != 0 {
		t.Errorf("a flood of one signature makes another rare: %v", f)
	}
	for host := range 200 {
		for sid := range 2 {
			if f := alert(10+host, sid); len(f) != 0 {
				t.Fatalf("host %d signature %d: %v", host, sid, f)
			}
		}
	}
	f := alert(11, 99)
	if len(f) != 1 || f[0]["host"] != "10.0.0.11" || f[0]["signature_id"] != 99.0 || f[0]["hosts"] != 1.0 {
		t.Errorf("got %v", f)
	}
	if f := alert(11, 99); len(f) != 0 {
		t.Errorf("known for the host: %v", f)
	}
	n := 0
	for host := range 40 {
		n += len(alert(20+host, 99))
	}
	if n == 0 || n > 10 {
		t.Errorf("a signature that spreads was reported for %d of 40 hosts, want some and an end", n)
	}
}

// TestBytesRankAgreesWithASort compares percentiles with sums that are sorted.
func TestBytesRankAgreesWithASort(t *testing.T) {
	s := loadShipped(t, "..", "bytes-rank")
	rng := rand.New(rand.NewPCG(3, 4))
	sums := map[string]int{}
	for i := range 3000 {
		src, n := fmt.Sprintf("10.0.0.%d", rng.IntN(60)), rng.IntN(1000000)*10+i%10
		sums[src] += n
		next, _ := s.handle(fmt.Sprintf(`{"timestamp":"2026-11-20T10:00:00.000000+0000","event_type":"flow","src_ip":%q,"dest_ip":"8.8.8.8","flow":{"bytes_toserver":%d,"bytes_toclient":0}}`, src, n))
		var v struct {
			Analytics struct {
				Bytes_rank struct {
					Src_rank, Src_hosts int
					Src_percentile      *float64
				}
			}
		}
		if err := json.Unmarshal([]byte(next[0]), &v); err != nil {
			t.Fatal(err)
		}
		less, more := 0, 0
		for _, sum := range sums {
			if sum < sums[src] {
				less++
			} else if sum > sums[src] {
				more++
			}
		}
		got := v.Analytics.Bytes_rank
		if got.Src_rank != more+1 || got.Src_hosts != len(sums) || (got.Src_percentile != nil) != (len(sums) >= 20) {
			t.Fatalf("flow %d: got %+v, want rank %d of %d", i, got, more+1, len(sums))
		}
		if got.Src_percentile != nil && *got.Src_percentile-100*float64(less)/float64(len(sums)-1) > 1e-9 {
			t.Fatalf("flow %d: got %v, %d less of %d", i, *got.Src_percentile, less, len(sums))
		}
	}
}

func TestConnectionCountKnowsThePast(t *testing.T) {
	s := loadShipped(t, "..", "connection-count")
	begin := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	hour := func(host string, h, peers int) (found []map[string]any) {
		t.Helper()
		for i := range peers {
			_, other := s.handle(fmt.Sprintf(`{"event_type":"flow","src_ip":%q,"dest_ip":"192.0.%d.%d","flow":{"start":%q}}`, host, i/250, i%250, eveTime(begin.Add(time.Duration(h)*time.Hour+time.Second))))
			found = append(found, findings(t, other)...)
		}
		return found
	}
	if f := hour("10.0.0.1", 0, 190); len(f) != 0 {
		t.Errorf("below the limit: %v", f)
	}
	if f := hour("10.0.0.1", 1, 400); len(f) != 1 || f[0]["allowed"] != 200.0 {
		t.Errorf("above the limit: %v", f)
	}
	for h := range 30 { // a proxy
		if f := hour("10.0.0.2", h, 150+h); len(f) != 0 {
			t.Fatalf("hour %d: %v", h, f)
		}
	}
	if f := hour("10.0.0.2", 30, 500); len(f) != 0 {
		t.Errorf("less than three times as many: %v", f)
	}
	if f := hour("10.0.0.2", 31, 600); len(f) != 1 || math.Abs(f[0]["usual"].(float64)-179) > 5 {
		t.Errorf("got %v", f)
	}
	for h := range 30 { // a quiet host
		hour("10.0.0.3", h, 3)
	}
	if f := hour("10.0.0.3", 30, 60); len(f) != 1 || f[0]["allowed"] != 50.0 {
		t.Errorf("a quiet host: %v", f)
	}
	if r := storeOf(s).do(t, "HLEN", "df:peers:past:10.0.0.2"); r.Int != 32 {
		t.Errorf("%d hours are kept", r.Int)
	}
}

func TestInvalidCert(t *testing.T) {
	for name, c := range map[string]struct{ tls, want string }{
		"good":              {`{"subject":"CN=a","issuerdn":"CN=b","notbefore":"2020-01-01T00:00:00","notafter":"2030-01-01T00:00:00","sni":"x"}`, ""},
		"expired":           {`{"subject":"CN=a","issuerdn":"CN=b","notafter":"2026-11-20T09:59:59"}`, "expired"},
		"last second":       {`{"subject":"CN=a","issuerdn":"CN=b","notafter":"2026-11-20T10:00:00"}`, ""},
		"not yet":           {`{"subject":"CN=a","issuerdn":"CN=b","notbefore":"2026-11-20T10:00:01"}`, "not yet valid"},
		"self":              {`{"subject":"CN=a","issuerdn":"CN=a"}`, "self-signed"},
		"wildcard":          {`{"subject":"CN=a","sni":"X.b.test","subjectaltname":["*.B.test"]}`, ""},
		"wildcard two deep": {`{"subject":"CN=a","sni":"y.x.b.test","subjectaltname":["*.b.test"]}`, "other name"},
		"wildcard itself":   {`{"subject":"CN=a","sni":"b.test","subjectaltname":["*.b.test"]}`, "other name"},
		"dot":               {`{"subject":"CN=a","sni":"b.test.","subjectaltname":["b.test"]}`, ""},
		"no list":           {`{"subject":"CN=a","sni":"b.test","subjectaltname":[]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := loadShipped(t, "..", "invalid-cert") // the sensor's zone is two hours ahead: certificates are in UTC
			event := `{"timestamp":"2026-11-20T12:00:00.000000+0200","event_type":"tls","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","tls":` + c.tls + `}`
			_, other := s.handle(event)
			f := findings(t, other)
			if c.want == "" && len(f) != 0 || c.want != "" && (len(f) != 1 || fmt.Sprint(f[0]["reasons"]) != "["+c.want+"]") {
				t.Errorf("got %v, want %q", f, c.want)
			}
			next, other := s.handle(event)
			if len(other) != 0 {
				t.Errorf("reported twice")
			}
			if c.want != "" && !strings.Contains(next[0], `"server":{"`+c.want+`":2}`) {
				t.Errorf("got %s", next[0])
			}
		})
	}
}

// TestPriorityKnowsFindings: what another analyzer found about a host counts.
func TestPriorityKnowsFindings(t *testing.T) {
	s := loadShipped(t, "..", "priority")
	alert := `{"event_type":"alert","src_ip":"10.0.0.1","dest_ip":"8.8.8.8","alert":{"signature_id":1,"severity":1}}`
	f := func(want string) {
		t.Helper()
		next, _ := s.handle(alert)
		if !strings.Contains(next[0], want) {
			t.Errorf("got %s, want %s", next[0], want)
		}
	}
	f(`"score":55,`)
	storeOf(s).do(t, "SADD", "df:host:10.0.0.1", "rare hour", "fan-out", "rare country", "x", "y")
	f(`"score":85,"level":1`)
	f(`fan-out of 10.0.0.1: 10`)
	storeOf(s).do(t, "DEL", "df:host:10.0.0.1")
	storeOf(s).do(t, "SET", "df:host:10.0.0.1", "not a set") // the store refuses: the alert goes on
	f(`"score":55,`)
}

// TestStoreAnalyzersPassEventsOnWithoutAStore: a store that refuses everything costs the fields, no event.
func TestStoreAnalyzersPassEventsOnWithoutAStore(t *testing.T) {
	said := 0
	for _, name := range inStore {
		s := loadShipped(t, "..", name)
		l := s.script.(*script).program.loader
		c, err := store.Open(store.Options{MaxMemory: 1, Eviction: store.EvictNone})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		l.SetRedis(c, nil)
		storeOf(s).do(t, "SET", "x", "1") // the last that fits
		for _, event := range slices.Concat(oddEvents, oddStoreEvents) {
			next, other := s.handle(event)
			if len(next) != 1 {
				t.Errorf("%s: %s: passed on %d times", name, event, len(next))
			}
			for _, o := range other {
				if said++; !strings.HasPrefix(o, `log {"library":"state"`) || !strings.Contains(o, "OOM") {
					t.Errorf("%s: %s: emitted %s", name, event, o)
				}
			}
		}
	}
	if said == 0 {
		t.Error("no analyzer told of the failures")
	}
}

// TestDNSCacheGoesByTheTimeOfEvents: a name holds from the answer until its TTL and the grace are over.
func TestDNSCacheGoesByTheTimeOfEvents(t *testing.T) {
	s := loadShipped(t, "..", "dns-cache")
	at := time.Date(2014, 5, 6, 7, 0, 0, 0, time.UTC)
	answer := func(client, name, address string, after time.Duration) {
		t.Helper()
		s.handle(fmt.Sprintf(`{"timestamp":%q,"event_type":"dns","src_ip":%q,"dest_port":53,"dns":{"version":2,"type":"answer","rrname":%q,"answers":[{"rrname":"x","rrtype":"A","ttl":60,"rdata":%q}]}}`,
			eveTime(at.Add(after)), client, name, address))
	}
	answer("10.0.0.1", "a.test", "192.0.2.1", 0)
	answer("10.0.0.2", "b.test", "192.0.2.1", time.Second)
	answer("10.0.0.2", "blocked.test", "0.0.0.0", time.Second)
	answer("10.0.0.2", "blocked.test", "127.0.0.1", time.Second)
	for _, c := range []struct {
		src, dest string
		after     time.Duration
		want      string
	}{
		{"10.0.0.1", "192.0.2.1", 10 * time.Second, `"names":["a.test"]`}, // its own lookup, not the last
		{"10.0.0.3", "192.0.2.1", 10 * time.Second, `"names":["b.test"]`},
		{"192.0.2.1", "10.0.0.1", 10 * time.Second, `"src":"a.test"`},
		{"10.0.0.1", "192.0.2.1", 3660 * time.Second, `"own_lookup":true`},
		{"10.0.0.1", "192.0.2.1", 3661 * time.Second, `"names":["b.test"]`}, // the other is a second younger
		{"10.0.0.1", "192.0.2.1", 3663 * time.Second, ""},
		{"10.0.0.1", "192.0.2.1", -time.Minute, ""},
		{"10.0.0.2", "0.0.0.0", 10 * time.Second, ""},
		{"10.0.0.2", "127.0.0.1", 10 * time.Second, ""},
	} {
		next, _ := s.handle(fmt.Sprintf(`{"timestamp":"2030-01-01T00:00:00.000000+0000","event_type":"flow","src_ip":%q,"dest_ip":%q,"flow":{"start":%q}}`, c.src, c.dest, eveTime(at.Add(c.after))))
		if c.want == "" && strings.Contains(next[0], "analytics") || !strings.Contains(next[0], c.want) {
			t.Errorf("%+v: got %s", c, next[0])
		}
	}
}

// TestRareSignatureGoesOnInASteadyNetwork: pairs that come again in each period count again, so that what is new in the
// fourth is rare; what a host had in the period before is not new, what it had long ago is.
func TestRareSignatureGoesOnInASteadyNetwork(t *testing.T) {
	s := loadShipped(t, "..", "rare-signature")
	const period = 30 * 24 * time.Hour
	begin := time.Unix(690*30*86400, 0).UTC() // of a period
	alert := func(host, sid int, at time.Duration) []map[string]any {
		t.Helper()
		_, other := s.handle(fmt.Sprintf(`{"timestamp":%q,"event_type":"alert","src_ip":"10.0.%d.%d","dest_ip":"8.8.8.8","alert":{"signature_id":%d,"gid":1}}`,
			eveTime(begin.Add(at)), host/250, host%250, sid))
		return findings(t, other)
	}
	if f := alert(1, 77, time.Minute); len(f) != 0 {
		t.Errorf("learning: %v", f)
	}
	for n := range 4 {
		for host := range 250 {
			for sid := range 2 {
				if f := alert(host, sid, time.Duration(n)*period+time.Hour); len(f) != 0 {
					t.Fatalf("period %d host %d signature %d: %v", n, host, sid, f)
				}
			}
		}
		if n == 1 {
			if f := alert(1, 77, period+2*time.Hour); len(f) != 0 {
				t.Errorf("known from the period before: %v", f)
			}
		}
	}
	if f := alert(5, 99, 3*period+20*24*time.Hour); len(f) != 1 {
		t.Errorf("new in the fourth period: %v", f)
	}
	if f := alert(1, 77, 3*period+21*24*time.Hour); len(f) != 1 {
		t.Errorf("not seen for a whole period: %v", f)
	}
}
