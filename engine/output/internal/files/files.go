// Package files has what the outputs that write files have in common.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"dragonfly/engine"
)

// Mode reads the option mode: permissions in octal. The error is an *engine.ConfigError.
func Mode(text string) (os.FileMode, error) {
	mode, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, &engine.ConfigError{Key: "mode", Msg: fmt.Sprintf("%q is not an octal file mode such as 0640", text)}
	}
	return os.FileMode(mode), nil
}

// Root opens a directory, and makes it if it is not there.
func Root(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// MaxPiece is the longest piece of a line that is looked at, in bytes.
const MaxPiece = 64 << 20

// LastPiece returns what stands behind the last line end of a file of size bytes: nothing, mostly. It is nothing too if it is longer than
// MaxPiece.
func LastPiece(f io.ReaderAt, size int64) ([]byte, error) {
	for n := int64(1); ; n = max(64<<10, 2*n) {
		n = min(n, size)
		buf := make([]byte, n)
		if _, err := f.ReadAt(buf, size-n); err != nil {
			return nil, errors.Join(errors.New("reading its end"), err)
		}
		if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
			return buf[i+1:], nil
		}
		switch {
		case n == size:
			return buf, nil
		case n >= MaxPiece:
			return nil, nil
		}
	}
}
