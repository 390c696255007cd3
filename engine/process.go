package engine

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"sync"
)

// process is what the kernel says of this process, through files that are opened before the process gives up its rights.
type process struct {
	once      sync.Once
	mu        sync.Mutex
	statm, fd *os.File // nil where there is no /proc
}

var self process

// open opens the files; the engines of a process share them.
func (p *process) open() {
	p.once.Do(func() {
		p.statm, _ = os.Open("/proc/self/statm")
		p.fd, _ = os.Open("/proc/self/fd")
	})
}

// metrics adds the figures of the process that can be read.
func (p *process) metrics(m *metricWriter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.resident(); ok {
		m.add("dragonfly_resident_bytes", "gauge", "Memory of the process that is not swapped out.", "", n)
	}
	if n, ok := p.files(); ok {
		m.add("dragonfly_open_files", "gauge", "Open file descriptors of the process.", "", n)
	}
}

// resident reads the second field of statm, which counts pages.
func (p *process) resident() (bytesUsed int64, ok bool) {
	if p.statm == nil {
		return 0, false
	}
	var text [256]byte
	n, _ := p.statm.ReadAt(text[:], 0)
	fields := bytes.Fields(text[:n])
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// files counts the file descriptors.
func (p *process) files() (int64, bool) {
	if p.fd == nil {
		return 0, false
	}
	if _, err := p.fd.Seek(0, io.SeekStart); err != nil {
		return 0, false
	}
	names, err := p.fd.Readdirnames(-1)
	return int64(len(names)), err == nil
}
