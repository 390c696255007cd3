package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// FuzzPlain: a compressed file gives its text, one that is cut the beginning of it and an error, any other bytes an error
// or something.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "{}\n", "\x1f\x8b", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", "\x28\xb5\x2f\xfd", "\x28\xb5\x2f\xfd\x00\xff", "\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\x00\xff\xff"} {
		f.Add([]byte(s), uint16(3), uint16(5))
	}
	path := filepath.Join(f.TempDir(), "x")
	read := func(t *testing.T, data []byte) ([]byte, error) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		src, _, err := plain(context.Background(), file, true)
		if err != nil {
			return nil, err
		}
		defer src.Close()
		return io.ReadAll(io.LimitReader(src, 1<<24))
	}
	f.Fuzz(func(t *testing.T, text []byte, cut, flip uint16) {
		read(t, text)
		var z, s bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(text)
		w.Close()
		e, err := zstd.NewWriter(&s, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		e.Write(text)
		e.Close()
		for _, data := range [][]byte{z.Bytes(), s.Bytes()} {
			if len(data) == 0 {
				continue // zstd of nothing
			}
			if got, err := read(t, data); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%q: got %q, %v", data, got, err)
			}
			twice := append(bytes.Clone(data), data...)
			if got, err := read(t, twice); err != nil || !bytes.Equal(got, append(bytes.Clone(text), text...)) {
				t.Fatalf("%q twice: got %q, %v", data, got, err)
			}
			n := int(cut) % len(data)
			if got, err := read(t, data[:n]); n >= 4 && (err == nil || errors.Is(err, context.Canceled) || !bytes.HasPrefix(text, got)) {
				t.Fatalf("the first %d bytes of %q: got %q, %v", n, data, got, err)
			}
			flipped := bytes.Clone(data)
			flipped[int(flip/8)%len(data)] ^= 1 << (flip % 8)
			read(t, flipped)
		}
	})
}
