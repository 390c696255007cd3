package template

import (
	"strings"
	"testing"

	"dragonfly/engine"
)

func TestName(t *testing.T) {
	clean := func(c byte) bool { return c != '.' && c != ' ' }
	ev, err := engine.NewEvent(`{"event_type":"dns","port":53,"up":true,"no":null,"empty":"","alert":{"signature":"a b.c"},"list":[1],"u":"ü\n"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ pattern, want string }{
		{"plain", "plain"},
		{"eve.{event_type}", "eve.dns"},
		{"{event_type}.{port}.{up}", "dns.53.true"},
		{"{alert.signature}!", "a_b_c!"},
		{"{no}{empty}{list}{alert}{missing}{port.x}", strings.Repeat("unknown", 6)},
		{"{{{event_type}}", "{dns}"},
		{"{{x}", "{x}"},
		{"{u}", "ü\n"},
	} {
		p, err := Name(tc.pattern, clean)
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
			continue
		}
		bare := engine.Event{Body: ev.Body} // as from a spool
		if got, again := p.Of(&ev), p.Of(&bare); got != tc.want || again != tc.want {
			t.Errorf("%s: got %q and %q, want %q", tc.pattern, got, again, tc.want)
		}
		if p.Fixed() != (tc.pattern == "plain" || tc.pattern == "{{x}") {
			t.Errorf("%s: fixed is %v", tc.pattern, p.Fixed())
		}
	}
	for _, wrong := range []string{"{", "{}", "{a", "{a..b}", "x{.}"} {
		if _, err := Name(wrong, nil); err == nil || !strings.Contains(err.Error(), "a field is written") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	long, _ := engine.NewEvent(`{"a":"` + strings.Repeat("x", 9999) + `"}`)
	p, _ := Name("{a}", nil)
	if n := len(p.Of(&long)); n != maxName {
		t.Errorf("got %d bytes, want %d", n, maxName)
	}
}
