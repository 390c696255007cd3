package luabind

import (
	"path/filepath"
	"slices"
	"strconv"
)

// below makes relative paths those of ROOT.
func (c *config) below(root string, paths []string) []string {
	var list []string
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(root, p)
		}
		list = append(list, filepath.Clean(p))
	}
	return list
}

// ports checks a list of TCP ports, or "any".
func (c *config) ports(key string, list []string) []string {
	if slices.Contains(list, "any") && len(list) > 1 {
		c.fail(key, "has \"any\" beside ports, want one or the other")
	}
	for _, p := range list {
		if n, err := strconv.ParseUint(p, 10, 16); p != "any" && (err != nil || n == 0) {
			c.fail(key, "has %q, want ports from 1 to 65535 as text, such as {\"443\", \"8080\"}, or \"any\"", p)
		}
	}
	return list
}
