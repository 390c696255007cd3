package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of package syscall change all threads. These are of the 64-bit platforms, the only ones that this program is made for.

// setThreadGroups sets the supplementary groups of the calling thread only, which syscall.Setgroups does for all.
func setThreadGroups(gids []int) error {
	list := make([]uint32, len(gids)+1) // one more: never empty
	for i, g := range gids {
		list[i] = uint32(g)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(gids)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	return nil
}

// setThreadFS makes the calling thread open files as another user and group.
func setThreadFS(uid, gid int) {
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
}
