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

// The type bytes of records.
const (
	recText byte = iota + 1
	recInt
	recHash
	recList
	recSet
	recZset
	recHLL
	recStream
	recModel
)

type encoder struct{ b []byte }

func (e *encoder) str(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}
func (e *encoder) num(n int)       { e.b = binary.AppendUvarint(e.b, uint64(n)) }
func (e *encoder) float(f float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(f)) }

func (e *encoder) record(key string, en *entry) {
	kind := len(e.b)
	e.b = append(e.b, 0)
	e.b = binary.AppendVarint(e.b, en.expire)
	e.str(key)
	e.b[kind] = e.value(en.val)
}

// value appends v and returns its type byte.
func (e *encoder) value(v value) byte {
	switch v := v.(type) {
	case *text:
		if v.isInt {
			e.b = binary.AppendVarint(e.b, v.n)
			return recInt
		}
		e.str(v.s)
		return recText
	case *hash:
		e.num(v.fields.len())
		for f, val := range v.fields.all {
			e.str(f)
			e.str(val)
		}
		return recHash
	case *list:
		e.num(v.n)
		for i := range v.n {
			e.str(*v.at(i))
		}
		return recList
	case *members:
		e.num(v.len())
		for m := range v.all {
			e.str(m)
		}
		return recSet
	case *zset:
		e.num(v.len())
		for m, score := range v.all {
			e.str(m)
			e.float(score)
		}
		return recZset
	case *hll:
		if v.dense != nil {
			e.num(hllRegisters)
			e.b = append(e.b, v.dense...)
			return recHLL
		}
		e.num(len(v.sparse))
		for _, p := range v.sparse {
			e.b = binary.LittleEndian.AppendUint32(e.b, p)
		}
		return recHLL
	case *stream:
		for _, n := range []uint64{v.last.ms, v.last.seq, uint64(len(v.entries))} {
			e.b = binary.AppendUvarint(e.b, n)
		}
		for _, en := range v.entries {
			e.b = binary.AppendUvarint(e.b, en.id.ms)
			e.b = binary.AppendUvarint(e.b, en.id.seq)
			e.num(len(en.fields))
			for _, f := range en.fields {
				e.str(f)
			}
		}
		return recStream
	case *model:
		e.str(v.encode())
		return recModel
	}
	panic(fmt.Sprintf("store: no encoding for %T", v))
}

// decoder reads records. Strings are copied: they must not hold the block.
type decoder struct {
	s   string
	err error
}

var errShort = errors.New("a record is cut off or wrong")

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := 0; i < len(d.s) && i < 10; i++ {
		b := d.s[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.s = d.s[i+1:]
			return n
		}
	}
	d.err, d.s = errShort, ""
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	n := int64(u >> 1)
	if u&1 != 0 {
		n = ^n
	}
	return n
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.s)) {
		d.err, d.s = errShort, ""
		return ""
	}
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) str() string { return strings.Clone(d.take(d.uvarint())) }

func (d *decoder) float() float64 {
	if b := d.take(8); len(b) == 8 {
		return math.Float64frombits(binary.LittleEndian.Uint64([]byte(b)))
	}
	return 0
}

// count reads a number of things of which each has at least one byte.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.err = errShort
		return 0
	}
	return int(n)
}

func (d *decoder) record() (key string, e *entry, err error) {
	kind := d.take(1)
	e = &entry{expire: d.varint()}
	key = d.str()
	if d.err == nil {
		e.val = d.value(kind[0])
	}
	if d.err != nil {
		return "", nil, d.err
	}
	return key, e, nil
}

func (d *decoder) value(kind byte) value {
	switch kind {
	case recText:
		return &text{s: d.str()}
	case recInt:
		return &text{n: d.varint(), isInt: true}
	case recHash:
		h := &hash{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			f := d.str()
			h.set(f, d.str())
		}
		return h
	case recList:
		l := &list{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			l.push(d.str(), false)
		}
		return l
	case recSet:
		s := &members{}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			s.add(d.str())
		}
		return s
	case recZset:
		z := newZset()
		z.large = true // or a -0 would be lost
		minus := false
		for n := d.count(); n > 0 && d.err == nil; n-- {
			m, score := d.str(), d.float()
			z.set(m, score)
			minus = minus || score == 0 && math.Signbit(score)
		}
		if !minus {
			z.settle()
		}
		return z
	case recHLL:
		return d.hll()
	case recStream:
		s := &stream{}
		last := streamID{d.uvarint(), d.uvarint()}
		for n := d.count(); n > 0 && d.err == nil; n-- {
			e := streamEntry{id: streamID{d.uvarint(), d.uvarint()}}
			for k := d.count(); k > 0 && d.err == nil; k-- {
				e.fields = append(e.fields, d.str())
			}
			s.add(e)
		}
		s.last = last
		return s
	case recModel:
		m, err := decodeModel(d.str())
		if err != nil {
			d.err = err
		}
		return m
	}
	d.err = fmt.Errorf("a record of the unknown type %d", kind)
	return nil
}

func (d *decoder) hll() value {
	h := &hll{cached: -1}
	n := d.uvarint()
	if n == hllRegisters {
		h.dense = []uint8(d.take(n))
		for _, rank := range h.dense {
			if rank > hllBits+1 {
				d.err = errShort
			}
		}
		return h
	}
	for ; n > 0 && d.err == nil; n-- {
		b := d.take(4)
		if len(b) < 4 {
			break
		}
		p := binary.LittleEndian.Uint32([]byte(b))
		if p>>8 >= hllRegisters || uint8(p) > hllBits+1 || (len(h.sparse) > 0 && p>>8 <= h.sparse[len(h.sparse)-1]>>8) {
			d.err = errShort
			break
		}
		h.sparse = append(h.sparse, p)
	}
	return h
}

// clone copies a value.
func clone(v value) (value, error) {
	var e encoder
	kind := e.value(v)
	d := decoder{s: string(e.b)}
	c := d.value(kind)
	if d.err != nil {
		return nil, d.err
	}
	switch v := v.(type) { // what a snapshot does not hold
	case *zset:
		c.(*zset).large = v.large
	case *hll:
		c.(*hll).cached = v.cached
	}
	return c, nil
}
