package tail

import (
	"errors"
	"io/fs"
	"sync/atomic"

	"dragonfly/engine"
)

// counters counts what an operator should know of an input.
type counters struct {
	truncated, copies, unpacked, lost, zeros, unreadable, polled *atomic.Int64
}

func newCounters(p engine.Params) counters {
	of := func(name, help string) *atomic.Int64 {
		if p.Counter == nil {
			return new(atomic.Int64)
		}
		return p.Counter(name, help)
	}
	return counters{
		truncated:  of("files_truncated_total", "Files that were truncated or rewritten, and read from their start."),
		copies:     of("file_copies_total", "Copies of followed files that were not read again."),
		unpacked:   of("files_unpacked_total", "Compressed files that were read because their lines had not been."),
		lost:       of("files_lost_total", "Files that were gone, or could not be read, before they were read to their end."),
		zeros:      of("nul_bytes_total", "NUL bytes skipped before lines."),
		unreadable: of("files_unreadable_total", "Files that could not be opened or read for a time."),
		polled:     of("directories_polled_total", "Directories of whose changes the kernel does not tell."),
	}
}

// mostTold bounds what told remembers.
const mostTold = 1000

// tell logs a condition of a path once until it changes or ends.
func (in *input) tell(path, what string) {
	if in.note(path, what) {
		in.log.Info(what, "path", path)
	}
}

// unreadable tells of a file that cannot be opened. What does not exist is no fault.
func (in *input) unreadable(path string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	what := "cannot read the file, trying again: " + err.Error()
	if errors.Is(err, fs.ErrPermission) {
		what += "; let the user of this process read it"
	}
	if in.note(path, what) {
		in.counts.unreadable.Add(1)
		in.log.Warn(what, "path", path)
	}
}

// note remembers the condition of a path and reports whether it is another than before.
func (in *input) note(path, what string) bool {
	if in.told[path] == what {
		return false
	}
	if in.told == nil || len(in.told) >= mostTold {
		in.told = map[string]string{}
	}
	in.told[path] = what
	return true
}

// fine ends the condition of a path.
func (in *input) fine(path string) { delete(in.told, path) }
