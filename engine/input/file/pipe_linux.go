package file

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"
)

// makePipe makes a named pipe for a writer to come.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o660) }

// openContext opens path for reading. Opening a named pipe waits for its writer, or for ctx.
func openContext(ctx context.Context, path string) (*os.File, error) {
	if !isPipe(path) {
		return os.Open(path)
	}
	opened := make(chan struct{}) // closed when the pipe is open
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(opened)
	wg.Go(func() {
		select {
		case <-ctx.Done():
			comeAndGo(path, opened)
		case <-opened:
		}
	})
	return os.Open(path)
}

// comeAndGo ends the wait for a writer by being one, again and again until opened says that it had an effect.
func comeAndGo(path string, opened <-chan struct{}) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
		select {
		case <-opened:
			return
		case <-again.C:
		}
	}
}
