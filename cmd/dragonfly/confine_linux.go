package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outside is what the process must know of the file system before it leaves it.
type outside struct {
	roots    *x509.CertPool
	hosts    map[string][]string // /etc/hosts
	uid, gid int
}

// lookOutside reads, when the process is going to confine itself, the TLS roots, name servers, time zone and user that
// it cannot read afterwards.
func lookOutside(f flags) (outside, error) {
	o := outside{uid: 65534, gid: 65534}
	if f.drop {
		if u, err := user.Lookup("nobody"); err == nil {
			o.uid, _ = strconv.Atoi(u.Uid)
			o.gid, _ = strconv.Atoi(u.Gid)
		}
	}
	if f.chroot == "" {
		return o, nil
	}
	if info, err := os.Stat(f.chroot); err != nil || !info.IsDir() {
		return o, fmt.Errorf("-c %s: not a directory", f.chroot)
	}
	o.roots, _ = x509.SystemCertPool() // an empty pool refuses every server, which is right
	_ = time.Now().String()            // loads the local time zone
	servers := nameServers("/etc/resolv.conf")
	o.hosts = hostsFile("/etc/hosts")
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		for _, s := range servers {
			var conn net.Conn
			if conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, s); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}}
	return o, nil
}

// nameServers returns the servers of a resolv.conf as host:port.
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

// confine changes the root and drops the privileges, when everything is open. The state directory, which the process goes
// on writing to, is given to its new user first.
func (o outside) confine(f flags, at place, log *slog.Logger) error {
	if f.drop {
		names := []string{at.stateDir}
		for _, file := range []string{checkpointFile, storeFile, modelsFile} {
			names = append(names, filepath.Join(at.stateDir, file))
		}
		for _, name := range append(names, spoolFiles(at.stateDir)...) {
			if err := os.Chown(name, o.uid, o.gid); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("state directory: %w (only root may drop privileges)", err)
			}
		}
	}
	if f.chroot != "" {
		if err := unix.Chroot(f.chroot); err != nil {
			return fmt.Errorf("chroot %s: %w (only root may)", f.chroot, err)
		}
		if err := os.Chdir("/"); err != nil {
			return err
		}
		log.Info("root of the file system changed", "chroot", f.chroot)
	}
	if !f.drop {
		return nil
	}
	if err := syscall.Setgroups([]int{o.gid}); err != nil {
		return fmt.Errorf("setgroups: %w (only root may drop privileges)", err)
	}
	if err := syscall.Setgid(o.gid); err != nil {
		return fmt.Errorf("setgid %d: %w", o.gid, err)
	}
	if err := syscall.Setuid(o.uid); err != nil {
		return fmt.Errorf("setuid %d: %w", o.uid, err)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	log.Info("privileges dropped", "uid", o.uid, "gid", o.gid)
	return nil
}
