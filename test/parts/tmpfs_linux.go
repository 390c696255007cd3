package parts

import (
	"syscall"
	"testing"
)

// Tmpfs mounts a file system of a size, such as 256k, until the test ends; without root the test is skipped.
func Tmpfs(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		Skip(t, "needs root, to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
