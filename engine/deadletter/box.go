package deadletter

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Box is a dead-letter file with its index and the requests of its engine: what the command works on.
type Box struct {
	Path     string    // of the file that the engine appends to
	Requests *Requests // nil: there are none yet; only reading is possible then
	Who      string    // for the index
}

// Status is what became of an entry.
type Status string

// The states of an entry.
const (
	Open     Status = "open"
	Pending  Status = "pending" // its replay was asked for and is not finished
	Replayed Status = "replayed"
	Dropped  Status = "dropped"
)

// Done reports whether nothing is left to do for the entry, so that it may be purged.
func (s Status) Done() bool { return s == Replayed || s == Dropped }

// State is what the index and the requests say of the entries.
type State struct {
	*Index
	pending map[string]bool
}

// State reads the index and the requests.
func (b *Box) State() (*State, error) {
	s := &State{pending: map[string]bool{}}
	var errs error
	set := func(suffix string) map[string]bool {
		m := map[string]bool{}
		list, err := b.Requests.names(suffix)
		errs = errors.Join(errs, err)
		for _, r := range list {
			m[r] = true
		}
		return m
	}
	var parts map[string]bool
	index, err := ReadIndex(b.Path, func(request string) bool {
		if parts == nil && b.Requests != nil {
			parts = set(partSuffix)
		}
		return parts[request]
	})
	if err != nil {
		return nil, err
	}
	s.Index = index
	if b.Requests == nil {
		return s, nil
	}
	s.pending = set(requestSuffix) // after parts: a request is one or the other until it is finished
	for r := range set(resultSuffix) {
		if o, ok, err := b.Requests.Result(r); ok && err == nil {
			s.Outcomes[r] = o
		}
	}
	return s, errs
}

// Of returns the status of an entry, and its mark if it has one.
func (s *State) Of(id ID) (Status, Mark) {
	m, ok := s.Marks[id]
	switch {
	case !ok:
		return Open, m
	case m.Dropped:
		return Dropped, m
	case s.pending[m.Request]:
		return Pending, m
	}
	return Replayed, m
}

var errNoRequests = errors.New("BUG: a box without requests cannot be changed")

// Change runs f while no other command changes anything. First it repairs what a command that was killed left behind. It
// waits for a command that is at work, until waiting returns an error.
func (b *Box) Change(waiting func() error, f func() error) error {
	if b.Requests == nil {
		return errNoRequests
	}
	lock, err := b.Requests.Lock(CommandLock)
	for errors.Is(err, ErrBusy) {
		if err = waiting(); err == nil {
			lock, err = b.Requests.Lock(CommandLock)
		}
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := b.repair(); err != nil {
		return err
	}
	return f()
}

// repair voids the marks of requests that were never handed over, and takes results into the index.
func (b *Box) repair() error {
	parts, err := b.Requests.names(partSuffix)
	if err != nil {
		return err
	}
	results, err := b.Requests.names(resultSuffix)
	if err != nil {
		return err
	}
	outcomes := map[string]*Outcome{}
	for _, r := range results {
		if b.Requests.Has(r) {
			continue // the engine is about to remove it
		}
		o, ok, err := b.Requests.Result(r)
		if err != nil {
			return err
		}
		if ok {
			outcomes[r] = &o
		}
	}
	if len(parts) == 0 && len(outcomes) == 0 {
		return nil
	}
	err = appendNotes(b.Path, func(add func(note)) {
		for _, r := range parts {
			add(note{Time: now(), Verb: verbVoid, Request: r})
		}
		for r, o := range outcomes {
			add(note{Time: o.Time, Verb: verbFinished, Request: r, Outcome: o})
		}
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range parts {
		errs = append(errs, b.Requests.root.Remove(r+partSuffix))
	}
	for r := range outcomes {
		errs = append(errs, b.Requests.root.Remove(r+resultSuffix))
	}
	return errors.Join(errs...)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Replay asks the engine to replay the entries that each hands to add, each at the stage to. When it returns they are
// marked and the request is on the disk. When it fails, or the process is killed in it, either all of them are handed over or
// none: then they stay as they were. It returns "" if there is no entry. Called within Change.
//
// The order makes it so: R.part is on the disk before the marks are, and a mark whose R.part exists does not count; the
// renaming to R.json is what counts, and only that.
func (b *Box) Replay(each func(add func(to string, f *Found) error) error) (request string, n int, err error) {
	request = requestName()
	w, err := b.Requests.begin(request)
	if err != nil {
		return "", 0, err
	}
	var ids []ID
	err = each(func(to string, f *Found) error {
		n++
		if len(ids) == 0 || ids[len(ids)-1] != f.ID {
			ids = append(ids, f.ID)
		}
		return w.add(to, f.Line.Text)
	})
	if err == nil && n > 0 {
		err = w.sync()
	}
	if err != nil || n == 0 {
		w.abandon()
		return "", 0, err
	}
	at := now()
	err = appendNotes(b.Path, func(add func(note)) {
		for _, id := range ids {
			add(note{Time: at, Verb: verbReplay, ID: id.Full(), Request: request, Who: b.Who})
		}
	})
	if err == nil {
		err = w.handOver()
	}
	if err != nil {
		return "", 0, errors.Join(err, b.repair()) // if that fails too, the next command does it
	}
	return request, n, nil
}

// requestName sorts by time.
func requestName() string {
	var b [4]byte
	rand.Read(b[:])
	return time.Now().UTC().Format("20060102T150405.000000") + "-" + hex.EncodeToString(b[:])
}

// Outcome returns what became of a request; false while it is not finished.
func (b *Box) Outcome(request string) (o Outcome, ok bool, err error) {
	if b.Requests.Has(request) {
		return o, false, nil
	}
	if o, ok, err = b.Requests.Result(request); ok || err != nil {
		return o, ok, err
	}
	s, err := b.State() // another command has taken the result into the index
	if err != nil {
		return o, false, err
	}
	if o, ok = s.Outcomes[request]; !ok {
		err = fmt.Errorf("request %s is gone and nothing says what became of it: was the directory %s emptied?", request, b.Requests.dir)
	}
	return o, ok, err
}

// Drop marks entries as dropped. When it returns the marks are on the disk. Called within Change.
func (b *Box) Drop(ids []ID) error {
	if len(ids) == 0 {
		return nil
	}
	at := now()
	return appendNotes(b.Path, func(add func(note)) {
		for _, id := range ids {
			add(note{Time: at, Verb: verbDrop, ID: id.Full(), Who: b.Who})
		}
	})
}

// Filter selects entries. The zero value selects all.
type Filter struct {
	IDs          map[ID]bool // nil is any
	Reason       string
	Stage        string // "analyzer dns", or the tag alone
	Input        string // tag
	Since, Until time.Time
	Text         string // in the event or the error
	Status       Status
}

// Match reports whether e, which has the status s, is selected.
func (f *Filter) Match(e *Entry, s Status) bool {
	if f.IDs != nil && !f.IDs[e.ID] {
		return false
	}
	_, tag, _ := strings.Cut(e.Stage, " ")
	return (f.Reason == "" || f.Reason == e.Reason) &&
		(f.Stage == "" || strings.EqualFold(f.Stage, e.Stage) || strings.EqualFold(f.Stage, tag)) &&
		(f.Input == "" || e.From(f.Input)) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
		(f.Text == "" || strings.Contains(e.Event, f.Text) || strings.Contains(e.Error, f.Text)) &&
		(f.Status == "" || f.Status == s)
}

// Resolve finds the entries that the beginnings of ids mean. Each must mean one.
func (l Files) Resolve(prefixes []string) (map[ID]bool, error) {
	found := make([]map[ID]bool, len(prefixes))
	for i, p := range prefixes {
		p = strings.ToLower(p)
		if len(p) < 4 || strings.Trim(p, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("%q is no id: an id is 4 or more hexadecimal digits, as `dragonfly dead-letter ls --all` shows them", prefixes[i])
		}
		found[i] = map[ID]bool{}
	}
	err := l.Scan(func(f *Found) error {
		full := f.ID.Full()
		for i, p := range prefixes {
			if strings.HasPrefix(full, strings.ToLower(p)) {
				found[i][f.ID] = true
			}
		}
		return nil
	}, func(Damage) error { return nil })
	if err != nil {
		return nil, err
	}
	ids := map[ID]bool{}
	var errs []error
	for i, p := range prefixes {
		switch len(found[i]) {
		case 0:
			errs = append(errs, fmt.Errorf("there is no entry %s: was it purged, or its file removed?", p))
		case 1:
			for id := range found[i] {
				ids[id] = true
			}
		default:
			errs = append(errs, fmt.Errorf("%s means %d entries: give more of its digits (--json shows 32)", p, len(found[i])))
		}
	}
	return ids, errors.Join(errs...)
}
