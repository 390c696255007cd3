package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"dragonfly/engine/durable"
)

// The snapshot file: the text "dragonfly store 1\n", then blocks of
//
//	length uint32 | CRC-32C of the records uint32 | records
//
// (little-endian), and a last block of length 0xffffffff whose "CRC" is the number of records. A record is a type byte, the end
// in Unix milliseconds (varint, 0 is none), the key and the value; strings are a uvarint length and their bytes.
const (
	fileMagic = "dragonfly store 1\n"
	lastBlock = math.MaxUint32
	maxBlock  = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saver is the file of a store.
type saver struct {
	path string
	mu   sync.Mutex // one snapshot at a time
	dir  *os.Root   // so that saving works in a chroot
	seen [shardCount]uint64
	ever bool // seen is that of the file

	saves, errors atomic.Uint64
	last          atomic.Int64 // Unix nanoseconds
}

// Save writes a snapshot, if anything has changed since the last one.
func (s *Store) Save() error {
	f := s.file
	if f == nil {
		return errors.New("the store has no file")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := !f.ever
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		changed = changed || sh.writes != f.seen[i]
		sh.mu.Unlock()
	}
	if !changed {
		return nil
	}
	var seen [shardCount]uint64
	err := durable.Write(f.dir, filepath.Base(f.path), func(w io.Writer) error { return s.snapshot(w, &seen) })
	if err != nil {
		f.errors.Add(1)
		return f.fault(err)
	}
	f.seen, f.ever = seen, true
	f.saves.Add(1)
	f.last.Store(time.Now().UnixNano())
	return nil
}

// fault says where err happened, and what to do.
func (f *saver) fault(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		remedy = ": free space there, twice the size of the file, or lower store_max_memory"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		remedy = fmt.Sprintf(": let the user of this process (uid %d) write to %s and read and replace the file", os.Geteuid(), filepath.Dir(f.path))
	}
	return fmt.Errorf("%s: %w%s", f.path, err, remedy)
}

// snapshot writes all shards. Commands that change more than one shard wait until all are encoded.
func (s *Store) snapshot(w io.Writer, seen *[shardCount]uint64) error {
	if _, err := io.WriteString(w, fileMagic); err != nil {
		return err
	}
	var blocks [shardCount][]byte
	records := uint32(0)
	now := s.now()
	s.snap.Lock()
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		e := encoder{b: make([]byte, 0, 64*len(sh.keys))}
		for key, entry := range sh.keys {
			if entry.expire != 0 && entry.expire <= now {
				continue
			}
			e.record(key, entry)
			records++
		}
		seen[i] = sh.writes
		sh.mu.Unlock()
		blocks[i] = e.b
	}
	s.snap.Unlock()
	var head [8]byte
	for _, b := range blocks {
		if len(b) == 0 {
			continue
		}
		if len(b) > maxBlock {
			return fmt.Errorf("a shard of the store is larger than %d bytes; lower store_max_memory", maxBlock)
		}
		binary.LittleEndian.PutUint32(head[:], uint32(len(b)))
		binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(b, castagnoli))
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(head[:], lastBlock)
	binary.LittleEndian.PutUint32(head[4:], records)
	_, err := w.Write(head[:])
	return err
}

// load reads the file, if there is one. A damaged one is moved aside.
func (s *Store) load() error {
	f := s.file
	dir, err := os.OpenRoot(filepath.Dir(f.path))
	if err != nil {
		return f.fault(err)
	}
	f.dir = dir
	name := filepath.Base(f.path)
	file, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return f.fault(err)
	}
	defer file.Close()
	in := &faultReader{r: file}
	err = s.read(in)
	if in.err != nil {
		return f.fault(in.err) // a disk that cannot be read now says nothing of the file
	}
	if err == nil {
		for i := range s.shards {
			f.seen[i] = s.shards[i].writes
		}
		f.ever = true
		return nil
	}
	var damaged *damageError
	if !errors.As(err, &damaged) {
		return f.fault(err)
	}
	for i := range s.shards {
		s.shards[i].keys, s.shards[i].expires = map[string]*entry{}, map[string]*entry{}
	}
	s.used.Store(0)
	aside := name + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if err := dir.Rename(name, aside); err != nil {
		return f.fault(fmt.Errorf("it is damaged (%w) and cannot be moved aside: %w", damaged, err))
	}
	s.opt.Log.Error("the file of the embedded store is damaged; the store starts empty and the file is kept",
		"file", f.path, "kept_as", filepath.Join(filepath.Dir(f.path), aside), "error", damaged.Error())
	return nil
}

// faultReader keeps the error of r that is not its end.
type faultReader struct {
	r   io.Reader
	err error
}

func (f *faultReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// damageError says what is wrong with a file.
type damageError struct{ msg string }

func (e *damageError) Error() string { return e.msg }

func damage(format string, args ...any) error { return &damageError{fmt.Sprintf(format, args...)} }

// read fills the empty store from a snapshot.
func (s *Store) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<16)
	magic := make([]byte, len(fileMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != fileMagic {
		return damage("it does not start with %q", strings.TrimSpace(fileMagic))
	}
	at, records := int64(len(magic)), uint32(0)
	now := s.now()
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return damage("it ends at byte %d without its last block", at)
		}
		size, sum := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
		if size == lastBlock {
			if sum != records {
				return damage("it has %d records and says %d", records, sum)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				return damage("something follows its last block at byte %d", at+8)
			}
			return nil
		}
		if size > maxBlock {
			return damage("a block of %d bytes at byte %d", size, at)
		}
		var b strings.Builder
		if n, err := io.CopyN(&b, in, int64(size)); err != nil {
			return damage("the block at byte %d has %d of %d bytes", at, n, size)
		}
		text := b.String()
		if crc32.Checksum([]byte(text), castagnoli) != sum {
			return damage("the checksum of the block at byte %d is wrong", at)
		}
		d := decoder{s: text}
		for len(d.s) > 0 {
			key, entry, err := d.record()
			if err != nil {
				return damage("the block at byte %d: %s", at, err)
			}
			records++
			if entry.expire != 0 && entry.expire <= now {
				continue
			}
			s.restore(key, entry)
		}
		at += 8 + int64(size)
	}
}

// restore puts a read entry into its shard.
func (s *Store) restore(key string, e *entry) {
	sh := &s.shards[s.shardIndex(key)]
	e.keyLen = uint32(len(key))
	e.size = e.val.bytes() + entryBytes + int64(e.keyLen)
	sh.writes++
	e.version = sh.writes
	sh.keys[key] = e
	if e.expire != 0 {
		sh.expires[key] = e
	}
	s.used.Add(e.size)
}
