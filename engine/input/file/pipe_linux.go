package file

import (
	"context"
	"os"
	"syscall"
)

// makePipe makes a named pipe for a writer to come.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o660) }

// openContext opens path for reading. Opening a named pipe waits for its writer, or for ctx.
func openContext(ctx context.Context, path string) (*os.File, error) {
	if !isPipe(path) {
		return os.Open(path)
	}
	stop := context.AfterFunc(ctx, func() { // a writer that comes and goes ends the wait
		if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
	})
	defer stop()
	return os.Open(path)
}
