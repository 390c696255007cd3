package wire

import "strings"

// HoldsLogin reports whether an address, HOST:PORT,... with or without /PATH, names a user or a password before an "@", also one with
// a "/" in it. It is then not to be shown.
func HoldsLogin(address string) bool {
	if !strings.Contains(address, "@") {
		return false
	}
	hosts, _, _ := strings.Cut(address, "/")
	if strings.Contains(hosts, "@") {
		return true
	}
	for host := range strings.SplitSeq(hosts, ",") {
		i := strings.LastIndexByte(host, ':')
		if i >= 0 && !strings.HasSuffix(host, "]") && strings.Trim(host[i+1:], "0123456789") != "" {
			return true // no port: the password goes on behind the "/"
		}
	}
	return false
}
