package luabind

import (
	"errors"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/domain"
)

func TestDomainAndTextInScripts(t *testing.T) {
	for _, body := range []string{
		`assert(domain.registered("localhost") == nil and domain.registered("") == nil and domain.registered("co.uk") == nil and domain.registered("1.0.0.10.in-addr.arpa") == nil)`,
		`assert(domain.suffix("10.0.0.1") == nil and select("#", domain.suffix("x.com")) == 2 and select(2, domain.suffix("a.local")) == "unlisted")`,
		`assert(domain.chosen("x.qwkj.ddns.net") == "qwkj.ddns.net" and domain.chosen("wpad") == nil)`,
		`local d = domain.split("4.3.2.1.in-addr.arpa") assert(d.kind == "reverse" and d.address == "1.2.3.4" and d.registered == nil)`,
		`local d = domain.split("[::1]:80") assert(d.kind == "address" and d.address == "::1" and d.suffix == nil)`,
		`local d = domain.split("a..b") assert(d.kind == "invalid" and d.host == "a..b")`,
		`local d = domain.split("x.github.io") assert(d.section == "private" and d.registered == "x.github.io" and d.sub == nil)`,
		`local f, names = domain.features("xkrjhgzqpvnbtdw.info"), domain.feature_names() assert(#f == #names) for i = 1, #f do assert(f[i] == f[i] and names[i]) end`,
		`local a, b = domain.features("aaaa.com"), domain.features("bbbbbb.com") assert(a[1] == 4 and b[1] == 6)`, // not the same table
		`assert(not pcall(domain.registered) and not pcall(domain.features, {}) and not pcall(text.stats, nil))`,
		`local n, err = text.edit_distance(("a"):rep(70000), "b") assert(n == nil and err:find("too long"))`,
		`local n, err = text.jaccard("a", "b", 99) assert(n == nil and err:find("want 1 to 8"))`,
		`assert(text.similarity("", "") == 1 and text.similarity("ab", "xy") == 0 and text.similarity("abcd", "abxx") == 0.5)`,
		`local s = text.stats("") assert(s.length == 0 and s.entropy == 0 and s.digit_run == 0)`,
		`local s = text.stats("aB-12xx") assert(s.letters == 4 and s.upper == 1 and s.other == 1 and s.hex == 4 and s.repeat_run == 2 and s.distinct == 6 and s.turns == 1)`,
		`assert(require "domain" == domain and require("text") == text)`,
		`assert(require("lib/eve").registered == domain.registered)`,
	} {
		if _, _, err := load(t, "a.lua", body+" function loop() end", "lib/eve.lua", "return {registered = domain.registered}"); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Calls of the modules leave a script without the cost of a time limit.
func TestAnalysisKnowsDomainAndText(t *testing.T) {
	c, err := compileScript("a.lua", `local features = domain.features
		function loop(e) e.x = domain.registered(e.name) e.y = text.entropy(e.name) e.z = features(e.name) end`)
	if err != nil || c.mayLoop {
		t.Errorf("got %v, %v", c, err)
	}
}

// Whatever is in an event, host functions end soon.
func TestDomainTakesLongInput(t *testing.T) {
	start := time.Now()
	for _, s := range []string{strings.Repeat("a.", 1<<19), strings.Repeat("a", 1<<20), strings.Repeat("é", 1<<19), strings.Repeat("xn--9.", 1<<17), strings.Repeat(".", 1<<20), strings.Repeat("\xff", 1<<20)} {
		domain.Split(s)
		domain.Chosen(s)
		domain.Features(s, nil)
		domain.ToUnicode(s)
		domain.Measure(s)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func BenchmarkDomainInLua(b *testing.B) {
	for name, body := range map[string]string{
		"registered": `function loop(e) domain.registered("www.example.co.uk") end`,
		"features":   `function loop(e) domain.features("xkrjhgzqpvnbtdw.info") end`,
		"entropy":    `function loop(e) text.entropy("xkrjhgzqpvnbtdw.info") end`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s, out, err := load(b, "a.lua", body)
			if err != nil {
				b.Fatal(err)
			}
			ev, err := engine.NewEvent(`{"n":1}`)
			for b.Loop() {
				if err = errors.Join(err, s.Handle(&ev, out)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
