package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// account is the user that -p makes of the process.
type account struct {
	name     string
	uid, gid int
	groups   []int
}

// lookUser finds USER or USER:GROUP, by name or number. "" is nobody, as in dragonfly-mle; it has no other groups.
func lookUser(spec string) (account, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	a := account{name: name, uid: 65534, gid: 65534}
	if name == "" {
		a.name = "nobody"
	}
	u, err := user.Lookup(a.name)
	if err != nil {
		u, err = user.LookupId(a.name)
	}
	switch n, bad := strconv.ParseUint(a.name, 10, 31); {
	case err == nil:
		a.uid, _ = strconv.Atoi(u.Uid)
		a.gid, _ = strconv.Atoi(u.Gid)
	case bad == nil:
		a.uid, a.gid = int(n), int(n)
	case name != "":
		return a, fmt.Errorf("-p %s: there is no user %q", spec, name)
	}
	if hasGroup {
		g, err := user.LookupGroup(group)
		if err == nil {
			group = g.Gid
		}
		n, bad := strconv.ParseUint(group, 10, 31)
		if bad != nil {
			return a, fmt.Errorf("-p %s: there is no group %q", spec, group)
		}
		a.gid = int(n)
	}
	if a.uid == 0 {
		return a, fmt.Errorf("-p %s: that is root, want a user without privileges", spec)
	}
	a.groups = []int{a.gid}
	if u != nil && name != "" {
		ids, _ := u.GroupIds() // they may let it read what Suricata writes
		for _, id := range ids {
			if n, err := strconv.Atoi(id); err == nil && n != a.gid {
				a.groups = append(a.groups, n)
			}
		}
	}
	return a, nil
}

// is reports whether the process has been this user from its start.
func (a account) is() bool { return os.Getuid() == a.uid && os.Geteuid() == a.uid }

// take gives the user the state directory and the files in it that this program writes. Its last user might have put links
// there: they are not followed.
func (a account) take(stateDir, logDir string) error {
	if a.is() || stateDir == logDir {
		return nil
	}
	dir, err := unix.Open(stateDir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("state directory %s: %w", stateDir, err)
	}
	defer unix.Close(dir)
	if err := a.takeTree(dir); err != nil {
		return fmt.Errorf("state directory %s: %w (only root may drop privileges; a link does not belong there)", stateDir, err)
	}
	return nil
}

// takeTree gives the user an open directory and the directories and files below it.
func (a account) takeTree(dir int) error {
	if err := unix.Fchown(dir, a.uid, a.gid); err != nil {
		return err
	}
	again, err := unix.Openat(dir, ".", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	list := os.NewFile(uintptr(again), "state")
	defer list.Close()
	entries, err := list.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			if err := a.chown(dir, e.Name()); err != nil {
				return fmt.Errorf("%s: %w", e.Name(), err)
			}
			continue
		}
		sub, err := unix.Openat(dir, e.Name(), unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			err = a.takeTree(sub)
			unix.Close(sub)
		}
		if err != nil {
			return fmt.Errorf("%s/%w", e.Name(), err)
		}
	}
	return nil
}

// takeFiles gives the user those of paths that are files: outputs, which may be opened again. Their group stays.
func (a account) takeFiles(paths []string) error {
	if a.is() {
		return nil
	}
	for _, path := range paths {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		dir, err := unix.Open(filepath.Dir(path), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = a.chown(dir, filepath.Base(path))
			unix.Close(dir)
		}
		if err != nil {
			return fmt.Errorf("-p: %s: %w", path, err)
		}
	}
	return nil
}

// chown gives the user a file of an open directory, if it is one and has no second name. A link is an error.
func (a account) chown(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 {
		return err
	}
	return unix.Fchown(fd, a.uid, -1)
}

// check tells which of the directories and files the user cannot write to: what is rotated and saved there would be lost.
func (a account) check(paths []string) error {
	var errs []error
	told := map[string]bool{}
	err := a.as(func() {
		for _, dir := range paths {
			if told[dir] {
				continue
			}
			told[dir] = true
			want := uint32(unix.W_OK | unix.X_OK)
			if info, err := os.Stat(dir); err == nil && !info.IsDir() {
				want = unix.W_OK
			}
			if err := unix.Faccessat(unix.AT_FDCWD, dir, want, unix.AT_EACCESS); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("-p: user %s (uid %d) cannot write to %s (%w), where files are saved and rotated: chown -R %d:%d %s", a.name, a.uid, dir, err, a.uid, a.gid, dir))
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

// as calls f with the user's rights to files, on a thread of its own.
func (a account) as(f func()) error {
	if a.is() {
		f()
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.Getgroups()
	if err != nil {
		return err
	}
	restore := func() {
		setThreadFS(os.Geteuid(), os.Getegid())
		if setThreadGroups(before) != nil {
			panic("BUG: the groups of a thread cannot be restored")
		}
	}
	if err := setThreadGroups(a.groups); err != nil {
		return fmt.Errorf("-p: setgroups: %w (only root may drop privileges)", err)
	}
	defer restore()
	setThreadFS(a.uid, a.gid)
	f()
	return nil
}

// become makes all threads the user's, without any capability.
func (a account) become() error {
	if !a.is() {
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			ll.AllThreadsPrctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // without CAP_SETPCAP it stays: no_new_privs makes it useless
		}
		if err := syscall.Setgroups(a.groups); err != nil {
			return fmt.Errorf("setgroups: %w (only root may drop privileges)", err)
		}
		if err := syscall.Setgid(a.gid); err != nil {
			return fmt.Errorf("setgid %d: %w", a.gid, err)
		}
		if err := syscall.Setuid(a.uid); err != nil {
			return fmt.Errorf("setuid %d: %w", a.uid, err)
		}
	}
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if os.Getuid() != a.uid || os.Geteuid() != a.uid || data[0].Effective|data[1].Effective|data[0].Permitted|data[1].Permitted != 0 {
		return errors.New("-p: the process has kept privileges")
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
