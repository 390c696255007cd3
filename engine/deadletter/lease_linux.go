package deadletter

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// quiet is how long a file must not have changed before it is taken for closed, on file systems without leases.
const quiet = time.Minute

// written reports whether a process may write the open file: whether one has it open for writing. While f is open, who
// opens the file for writing waits for the kernel to take the lease back. f is open for reading only.
func written(f *os.File) bool {
	const setLease = 1024 // F_SETLEASE of fcntl(2)
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), setLease, syscall.F_RDLCK)
	if errno == 0 {
		return false
	}
	if errors.Is(errno, syscall.EAGAIN) {
		return true
	}
	info, err := f.Stat()
	return err != nil || time.Since(info.ModTime()) < quiet
}
