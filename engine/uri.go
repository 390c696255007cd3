package engine

import (
	"net/url"
	"strings"
)

// hidden stands for a secret in what is shown.
const hidden = "…"

// ShownURI is a uri for logs and for what `check` prints, without the secrets that a user may have written into it: a password, values behind
// "?" (but for group, table and db, which are names), and in the path of an http:// or https:// uri the parts that look like tokens, as the URLs of
// webhooks have them.
func ShownURI(uri string) string {
	scheme, rest, ok := SplitURI(uri)
	if !ok {
		return uri
	}
	host, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, tail = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		if user, _, has := strings.Cut(host[:i], ":"); has {
			host = user + ":" + hidden + host[i:]
		}
	}
	path, query, asked := strings.Cut(tail, "?")
	if scheme == "http" || scheme == "https" {
		parts := strings.Split(path, "/")
		for i, p := range parts {
			if LooksSecret(p) {
				parts[i] = hidden
			}
		}
		path = strings.Join(parts, "/")
	}
	if asked {
		path += "?" + shownQuery(query)
	}
	return scheme + "://" + host + path
}

// shownQuery hides the values of a query. What is no query, as in a pattern of file names, stays.
func shownQuery(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, has := strings.Cut(pair, "=")
		if has && value != "" && name != "group" && name != "table" && name != "db" {
			pairs[i] = name + "=" + hidden
		}
	}
	return strings.Join(pairs, "&")
}

// LooksSecret reports whether a part of the path of a URL looks like a token: 16 letters and digits or more, of both some. Words and numbers
// that people write are shorter, or have only one kind.
func LooksSecret(part string) bool {
	if plain, err := url.PathUnescape(part); err == nil {
		part = plain
	}
	letters, digits := 0, 0
	for _, r := range part {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			letters++
		case r != '-' && r != '_' && r != '.' && r != '=' && r != '+' && r != ':' && r != '~':
			return false
		}
	}
	return letters+digits >= 16 && letters > 0 && digits > 0
}
