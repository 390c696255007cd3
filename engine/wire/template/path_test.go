package template

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func expand(t *testing.T, text, body string, clean func([]byte, string) []byte) string {
	t.Helper()
	tm, err := Path("_unknown", clean).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var r lazyjson.Reader
	r.Reset(body, nil)
	return string(tm.Append(nil, &r, at))
}

func TestTemplateMakesNames(t *testing.T) {
	for _, c := range [][3]string{
		{"/d/%Y/%m/%d/%H%M-%j-%y-%F/{event_type}.json", `{"event_type":"dns"}`, "/d/2026/01/02/0304-002-26-2026-01-02/dns.json"},
		{"{a.b}-{n}-{none}-{o}", `{"a":{"b":"x"},"n":5,"o":{}}`, "x-5-_unknown-_unknown"},
		{"100%%{{x}}", `{}`, "100%{x}"},
		{"{a}", `{"a":""}`, "_unknown"},
		{"{a}", `{"a":"../../etc/passwd"}`, "_._.._etc_passwd"},
		{"{a}", `{"a":"..\\..\\x\u0000\n"}`, "_._.._x__"},
		{"{a}", `{"a":"2001:db8::1"}`, "2001:db8::1"},
	} {
		if got := expand(t, c[0], c[1], CleanFile); got != c[2] {
			t.Errorf("%s of %s: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
	if got := expand(t, "t_{a}", `{"a":"x\"; DROP TABLE y; --"}`, CleanName); got != "t_x___DROP_TABLE_y____" {
		t.Errorf("got %q", got)
	}
}

func TestTemplateFitsIntoAFileName(t *testing.T) {
	body := `{"a":"` + strings.Repeat("é", 300) + `"}`
	for _, text := range []string{"{a}-{a}-{a}-{a}.json.gz", "x/{a}{a}{a}/{a}-%F.json", strings.Repeat("y", 230) + "{a}{a}", strings.Repeat("{a}", 100)} {
		got := expand(t, text, body, CleanFile)
		for elem := range strings.SplitSeq(got, "/") {
			if len(elem) > 255 || !utf8.ValidString(got) && !strings.HasPrefix(text, "yyy") && !strings.HasPrefix(text, "{a}{a}{a}{a}") {
				t.Errorf("%.30s: %d bytes: %q", text, len(elem), elem)
			}
		}
		tm, err := Path("_unknown", CleanFile).Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, "\xc3") && !tm.Pattern(FilePart).MatchString(got) {
			t.Errorf("%.30s: the pattern does not match %q", text, got)
		}
	}
}

func TestParseRefusesBadTemplates(t *testing.T) {
	for _, text := range []string{"%", "%q", "{a", "a}", "{}", "{a..b}"} {
		if _, err := Path("x", CleanFile).Parse(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func FuzzCleanFile(f *testing.F) {
	for _, s := range []string{"..", ".", "", "/", "a/../b", "\x00", strings.Repeat("é", 80), "\xff\xfe", "....//"} {
		f.Add(s)
	}
	tm, err := Path("_unknown", CleanFile).Parse("a/{x}/b-{x}.json")
	if err != nil {
		f.Fatal(err)
	}
	pattern := tm.Pattern(FilePart)
	f.Fuzz(func(t *testing.T, s string) {
		got := string(CleanFile(nil, s))
		if got == "" || got[0] == '.' || len(got) > MaxValue || strings.ContainsAny(got, "/\\\x00\n") || !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
		path := "a/" + got + "/b-" + got + ".json"
		if filepath.Clean(path) != path || !filepath.IsLocal(path) || !pattern.MatchString(path) {
			t.Errorf("%q became the path %q", s, path)
		}
	})
}
