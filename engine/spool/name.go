package spool

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Top is the directory of all spools in the state directory.
const Top = "spool"

// DeadLetter is what the spool of the dead-letter output is called in place of a tag; no directory of a tag begins with "@".
const DeadLetter = "@dead-letter"

// Name returns the directory below Top of the spool of a tag. Tags that differ in case only are the same.
func Name(tag string) string {
	if tag == DeadLetter {
		return tag
	}
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(tag)) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && b.Len() > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	name := b.String()
	if len(name) > 200 {
		sum := sha256.Sum256([]byte(name))
		name = fmt.Sprintf("%s~%x", name[:120], sum[:8])
	}
	return name
}

// Tag returns the tag, in lower case, that Name made a directory's name from.
func Tag(name string) string {
	if tag, err := url.PathUnescape(name); err == nil {
		return tag
	}
	return name
}

func inTop(name string) string { return path.Join(Top, name) }
