package engine

import (
	"bytes"
	"os"
	"strconv"
)

// process is what the kernel says of this process. It is opened before the root of the file system may change.
type process struct {
	root *os.Root // of /proc/self; nil where there is none
}

func (p *process) open() {
	if p.root == nil {
		p.root, _ = os.OpenRoot("/proc/self")
	}
}

func (p *process) close() {
	if p.root != nil {
		p.root.Close()
	}
}

// metrics adds the figures of the process that can be read.
func (p *process) metrics(m *metricWriter) {
	if p.root == nil {
		return
	}
	if n, ok := p.resident(); ok {
		m.add("dragonfly_resident_bytes", "gauge", "Memory of the process that is not swapped out.", "", n)
	}
	if n, ok := p.files(); ok {
		m.add("dragonfly_open_files", "gauge", "Open file descriptors of the process.", "", n)
	}
}

// resident reads the second field of /proc/self/statm, which counts pages.
func (p *process) resident() (bytesUsed int64, ok bool) {
	text, err := p.root.ReadFile("statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// files counts /proc/self/fd, without the descriptor that it needs for that.
func (p *process) files() (int64, bool) {
	d, err := p.root.Open("fd")
	if err != nil { // not readable after a change of the user
		return 0, false
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return int64(len(names) - 1), err == nil
}
