package crash

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A soak runs for hours in epochs: at the end of each all must have arrived, is judged, forgotten and deleted.

// epoch lets the producer run for a while with faults, waits for everything, and judges it.
func (r *rig) epoch(length time.Duration, next func() step) (verdict, error) {
	end := time.Now().Add(length)
	err := r.produce(0, func() error {
		if !r.settled(20_000) {
			return nil
		}
		for time.Now().Before(end) && len(r.faults) == 0 {
			s := next()
			r.note("%s", s)
			if err := r.do(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return verdict{}, err
	}
	r.arrived()
	v := r.judge(nil)
	if len(v.faults) > 0 {
		return v, nil
	}
	if !r.covered() {
		r.fail("the checkpoint does not reach the end of the file")
	}
	return v, r.forget()
}

// covered waits until the checkpoint on disk says that all is acked: then nothing of this epoch can come again.
func (r *rig) covered() bool {
	return r.until(patience, func() bool {
		saved, err := readCheckpoint(r.path("state/checkpoint.json"), "eve")
		if err != nil {
			return false
		}
		_, _, files := r.producer.snapshot()
		for id, offset := range saved {
			for i := range files {
				if files[i] == id && offset != r.producer.length(i) {
					return false
				}
			}
		}
		_, ok := saved[files[len(files)-1]]
		return ok
	})
}

// forget deletes what the epoch has left, and counts anew.
func (r *rig) forget() error {
	first, events, _ := r.producer.snapshot()
	r.want.addIssued(first, events)
	if err := r.producer.forget(); err != nil {
		return err
	}
	for _, s := range r.sinks() {
		s.forget(first + len(events))
	}
	r.cuts, r.saved = nil, nil
	both := []*directory{r.files, r.letters}
	var old [2]map[uint64]bool
	for i, d := range both {
		old[i] = r.held(d)
	}
	if err := r.signal(syscall.SIGUSR1); err != nil {
		return err
	}
	for i, d := range both {
		if !r.until(patience, func() bool { return !overlap(r.held(d), old[i]) }) {
			r.fail("timed out: the process goes on writing to the rotated file of %s", filepath.Join(d.dir, d.name))
		}
		if err := d.forget(); err != nil {
			return err
		}
	}
	return nil
}

// held returns the inodes of the output's files, also moved or deleted ones, that the process has open.
func (r *rig) held(d *directory) map[uint64]bool {
	inodes := map[uint64]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.child.cmd.Process.Pid))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err != nil || !strings.HasPrefix(link, filepath.Join(d.dir, d.name)) {
			continue
		}
		if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() {
			inodes[info.Sys().(*syscall.Stat_t).Ino] = true
		}
	}
	return inodes
}

func overlap(a, b map[uint64]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

// forget deletes the files that were rotated away.
func (d *directory) forget() error {
	if err := d.end(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(d.dir, d.name+".*"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	kept := map[uint64]int64{}
	if info, serr := os.Stat(filepath.Join(d.dir, d.name)); serr == nil {
		inode := info.Sys().(*syscall.Stat_t).Ino
		kept[inode] = d.read[inode]
	}
	d.read = kept
	return err
}

// length returns the length of a file of ours.
func (p *producer) length(file int) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.events) - 1; i >= 0; i-- {
		if int(p.events[i].file) == file {
			return p.events[i].end
		}
	}
	return 0
}

// forget begins a new file and counts from it on. What the epoch before this one has left is deleted: the input has
// closed it.
func (p *producer) forget() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for _, name := range p.stale {
		err = errors.Join(err, os.Remove(name))
	}
	p.stale, p.rotated = p.rotated, nil
	if err = errors.Join(err, p.moveAside(), p.file.Close()); err != nil {
		return err
	}
	p.stale, p.rotated = append(p.stale, p.rotated...), nil
	p.first += len(p.events)
	p.events, p.files = nil, nil
	return p.create()
}

// sample is what a process says of itself.
type sample struct {
	run                         int // which process
	resident, files, goroutines float64
}

// sample reads /metrics of the process that runs.
func (r *rig) sample() (sample, error) {
	_, rest, ok := strings.Cut(r.log.since(r.child.from), "HTTP listener address=")
	address, _, _ := strings.Cut(rest, "\n")
	if !ok {
		return sample{}, errors.New("the log names no HTTP listener")
	}
	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return sample{}, err
	}
	defer answer.Body.Close()
	s := sample{run: r.runs}
	want := map[string]*float64{"dragonfly_resident_bytes": &s.resident, "dragonfly_open_files": &s.files, "go_goroutines": &s.goroutines}
	for in := bufio.NewScanner(answer.Body); in.Scan(); {
		name, value, _ := strings.Cut(in.Text(), " ")
		if to := want[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return s, err
			}
			delete(want, name)
		}
	}
	if len(want) > 0 {
		return s, fmt.Errorf("/metrics lacks %d figures of the process", len(want))
	}
	return s, nil
}

// leastSamples of one process are needed to say whether it grows.
const leastSamples = 6

// judgeSamples wants that no process grows: the least of the last third of its samples against the least of the first.
func judgeSamples(samples []sample) (faults []string) {
	byRun := map[int][]sample{}
	for _, s := range samples {
		byRun[s.run] = append(byRun[s.run], s)
	}
	for run, list := range byRun {
		if len(list) < leastSamples {
			continue
		}
		third := len(list) / 3
		for _, figure := range []struct {
			name         string
			of           func(s sample) float64
			factor, plus float64
		}{
			{"resident bytes", func(s sample) float64 { return s.resident }, 1.25, 32 << 20},
			{"open files", func(s sample) float64 { return s.files }, 1, 10},
			{"goroutines", func(s sample) float64 { return s.goroutines }, 1, 10},
		} {
			begin, end := figure.of(list[0]), figure.of(list[len(list)-1])
			for i := range third {
				begin = min(begin, figure.of(list[i]))
				end = min(end, figure.of(list[len(list)-1-i]))
			}
			if end > begin*figure.factor+figure.plus {
				faults = append(faults, fmt.Sprintf("process %d: %s grew from %.0f to %.0f in %d samples", run, figure.name, begin, end, len(list)))
			}
		}
	}
	return faults
}
