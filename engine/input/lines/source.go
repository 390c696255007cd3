package lines

import (
	"encoding/hex"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

// FingerprintLen is how many of a file's first bytes tell it from another that got its inode.
const FingerprintLen = engine.MaxFingerprint

// MarkLen is how many bytes before an offset tell whether it belongs to a file.
const MarkLen = 256

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
	p.Born = Born(f)
	p.FingerprintLen = int(min(info.Size(), FingerprintLen))
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
	return Hash(buf), nil
}

// Hash returns the fingerprint of a file that begins with head.
func Hash(head []byte) string {
	h := fnv.New64a()
	h.Write(head)
	return hex.EncodeToString(h.Sum(nil))
}

// Born returns when f was made, in ns; 0 where the file system does not know.
func Born(f *os.File) int64 {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	var st unix.Statx_t
	conn.Control(func(fd uintptr) {
		err = unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	})
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum returns the Mark of an offset whose MarkLen bytes before are b; never 0.
func Sum(b []byte) uint32 { return max(1, crc32.Checksum(b, castagnoli)) }

// Before returns the bytes of f that stand before offset, MarkLen at most; nil if f is shorter.
func Before(f io.ReaderAt, offset int64) []byte {
	b := make([]byte, min(offset, MarkLen))
	if n, _ := f.ReadAt(b, offset-int64(len(b))); n < len(b) {
		return nil
	}
	return b
}

// Marked reports whether f has the Mark at offset; mark 0 fits everywhere.
func Marked(f io.ReaderAt, offset int64, mark uint32) bool {
	if mark == 0 {
		return true
	}
	b := Before(f, offset)
	return b != nil && Sum(b) == mark
}

// Same reports whether f is the file of a position: the same device, inode and birth, and the same first bytes.
func Same(f *os.File, p engine.Position) bool {
	now, err := Identify(f, p.Path)
	if err != nil || now.Device != p.Device || now.Inode != p.Inode {
		return false
	}
	if now.Born != 0 && p.Born != 0 && now.Born != p.Born {
		return false // another file got the inode
	}
	if p.FingerprintLen == 0 {
		return true
	}
	print, err := Fingerprint(f, p.FingerprintLen)
	return err == nil && print == p.Fingerprint
}
