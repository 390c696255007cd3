package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockFile is in the state directory; it holds the number of the process that has it locked.
const lockFile = "lock"

// lockState takes the state directory for this process: two that share one would overwrite each other's checkpoints. It
// waits for another process that is about to end. The lock goes with the process, however that ends.
func lockState(dir string, wait time.Duration) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return func() {}, nil // a file system without locks
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(path)
			f.Close()
			return nil, fmt.Errorf("the state directory %s is in use by the process %s: one root is for one Dragonfly at a time (-r names another)", dir, strings.TrimSpace(string(text)))
		}
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return func() { f.Close() }, nil
}
