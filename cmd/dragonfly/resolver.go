package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

const resolvConf = "/etc/resolv.conf"

// rememberServers makes name resolution go on with the servers of now when resolv.conf can no longer be read: in a chroot, or
// when another file took its place after the process confined itself. Go then asks its defaults, 127.0.0.1 and ::1.
func rememberServers(chroot bool) {
	servers := nameServers(resolvConf)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if readable := !chroot && canRead(resolvConf); !readable {
			address = remembered(servers, address)
		}
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}}
}

func canRead(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// remembered returns the server to ask instead of one of Go's defaults: IPv6's is the second that Go asks.
func remembered(servers []string, address string) string {
	if i := slices.Index(servers, address); i >= 0 { // Go still knows them
		return address
	}
	if strings.HasPrefix(address, "[") {
		return servers[1%len(servers)]
	}
	return servers[0]
}

// nameServers returns the servers of a resolv.conf as host:port, one at least.
func nameServers(path string) []string {
	var list []string
	eachField(path, func(fields []string) {
		if fields[0] == "nameserver" && len(fields) > 1 {
			list = append(list, net.JoinHostPort(fields[1], "53"))
		}
	})
	if len(list) == 0 {
		list = []string{"127.0.0.1:53"}
	}
	return list
}

func hostsFile(path string) map[string][]string {
	hosts := map[string][]string{}
	eachField(path, func(fields []string) {
		for _, name := range fields[1:] {
			hosts[strings.ToLower(name)] = append(hosts[strings.ToLower(name)], fields[0])
		}
	})
	return hosts
}

// eachField calls f with the words of each line that is not a comment.
func eachField(path string, f func([]string)) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	for sc := bufio.NewScanner(file); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			f(fields)
		}
	}
}
