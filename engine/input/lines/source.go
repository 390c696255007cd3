package lines

import (
	"encoding/hex"
	"hash/fnv"
	"io"
	"os"
	"syscall"

	"dragonfly/engine"
)

// Identify returns the position of the beginning of an open file: its device, inode and fingerprint.
func Identify(f *os.File, path string) (engine.Position, error) {
	info, err := f.Stat()
	if err != nil {
		return engine.Position{}, err
	}
	p := engine.Position{Path: path}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.Device, p.Inode = st.Dev, st.Ino
	}
	p.FingerprintLen = int(min(info.Size(), engine.MaxFingerprint))
	p.Fingerprint, err = Fingerprint(f, p.FingerprintLen)
	return p, err
}

// Fingerprint returns the hash of the first n bytes of f; "" if f is shorter.
func Fingerprint(f io.ReaderAt, n int) (string, error) {
	buf := make([]byte, n)
	if got, err := f.ReadAt(buf, 0); got < n {
		if err == io.EOF {
			err = nil
		}
		return "", err
	}
	h := fnv.New64a()
	h.Write(buf)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Same reports whether f is the file of a position: the same device and inode, and the same first bytes.
func Same(f *os.File, p engine.Position) bool {
	now, err := Identify(f, p.Path)
	if err != nil || now.Device != p.Device || now.Inode != p.Inode {
		return false
	}
	if p.FingerprintLen == 0 {
		return true
	}
	print, err := Fingerprint(f, p.FingerprintLen)
	return err == nil && print == p.Fingerprint
}
