package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
)

// positionFile holds how far the spool is delivered, twice: slots of one sector each that are written in turn, in place.
// A crash can tear one of them only; and unlike a new file, this needs no room on a full disk.
//
//	slot  0 "dfspos"  6 version  8 generation  16 number of the next event  24 CRC32C of bytes 0 to 24
const (
	positionFile = "position"
	slotLen      = 28
	slotRoom     = 512
)

var positionMagic = []byte("dfspos")

var errPosition = errors.New("the position file is damaged")

// position is an open positionFile.
type position struct {
	file *os.File
	gen  uint64
}

// readPosition returns the number of the next event to deliver. The error is fs.ErrNotExist if there is no file, and
// errPosition if neither slot can be read.
func readPosition(dir *os.Root) (next, gen uint64, err error) {
	f, err := dir.Open(positionFile)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	b := make([]byte, slotRoom+slotLen)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, 0, err
	}
	next, gen, ok := parseSlots(b[:n])
	if !ok {
		return 0, 0, errPosition
	}
	return next, gen, nil
}

// parseSlots returns the younger of the slots that are sound.
func parseSlots(b []byte) (next, gen uint64, ok bool) {
	for at := 0; at+slotLen <= len(b); at += slotRoom {
		s := b[at : at+slotLen]
		if string(s[:6]) != string(positionMagic) || s[6] != version || crc32.Checksum(s[:24], castagnoli) != le.Uint32(s[24:]) {
			continue
		}
		if g, id := le.Uint64(s[8:]), le.Uint64(s[16:]); (!ok || g > gen) && id > 0 && id <= maxID {
			next, gen, ok = id, g, true
		}
	}
	return next, gen, ok
}

// save writes the next event's number into the older slot.
func (p *position) save(dir *os.Root, next uint64, sync bool) error {
	if p.file == nil {
		f, err := dir.OpenFile(positionFile, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		p.file = f
	}
	gen := p.gen + 1
	b := make([]byte, 0, slotLen)
	b = append(b, positionMagic...)
	b = append(b, version, 0)
	b = le.AppendUint64(b, gen)
	b = le.AppendUint64(b, next)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := p.file.WriteAt(b, int64(gen%2)*slotRoom); err != nil {
		return err
	}
	p.gen = gen
	if !sync {
		return nil
	}
	return p.file.Sync()
}

func (p *position) close() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}

// setAside renames a file that cannot be used to NAME.damaged (or NAME.damaged-2 ...), which nothing has.
func setAside(dir *os.Root, name, end string) (string, error) {
	for i := 1; ; i++ {
		aside := name + end
		if i > 1 {
			aside = fmt.Sprintf("%s%s-%d", name, end, i)
		}
		if _, err := dir.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			return aside, dir.Rename(name, aside)
		}
	}
}
