package httpsink

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dragonfly/engine"
)

// leastSecret is the length from which on a secret is hidden in the text of a server: a shorter one would mutilate words.
const leastSecret = 4

// secretsOf returns what replaces the secrets of a row in a text: token, password, further headers, the key path and the query of the URL, as
// they are written and as they are sent.
func secretsOf(p engine.Params, u *url.URL, headers http.Header) *strings.Replacer {
	var list []string
	add := func(texts ...string) {
		for _, s := range texts {
			list = append(list, s, url.PathEscape(s), url.QueryEscape(s), strings.ReplaceAll(s, "/", `\/`)) // the last as PHP writes JSON
		}
	}
	token, path := p.Options.String("auth_token"), p.Options.String("path")
	_, password, _ := strings.Cut(token, ":")
	add(token, password, base64.StdEncoding.EncodeToString([]byte(token)), path)
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '?' || r == '&' || r == '=' }) {
		plain, _ := url.PathUnescape(part)
		add(part, plain)
	}
	for part := range strings.SplitSeq(u.EscapedPath(), "/") {
		if engine.LooksSecret(part) {
			plain, _ := url.PathUnescape(part)
			add(part, plain)
		}
	}
	for _, values := range u.Query() {
		add(values...)
	}
	for name, values := range headers {
		if name != "User-Agent" && name != "Content-Type" && name != "Host" {
			add(values...)
		}
	}
	if proxy, err := url.Parse(p.Options.String("proxy")); err == nil && proxy.User != nil {
		password, _ := proxy.User.Password()
		add(password)
	}
	list = slices.DeleteFunc(list, func(s string) bool { return len(s) < leastSecret || s == "true" })
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) }) // the longest first
	var pairs []string
	for _, s := range slices.Compact(list) {
		pairs = append(pairs, s, "…")
	}
	return strings.NewReplacer(pairs...)
}
