package tail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// resume takes over the checkpoints; the first look begins where they say.
func (in *input) resume() {
	old := in.checkpoints.Load(in.tag)
	in.checkpoints.Start(in.tag)
	defer in.checkpoints.Settle(in.tag)
	if old == nil { // it never ran
		return
	}
	in.started = true // what is not in the checkpoints is new
	in.scans = 2
	in.recalls(old)
	for _, p := range old { // where a symlink led
		if dir := filepath.Dir(p.Path); dir != in.places[0].dir && !p.Finished {
			in.placeOf(dir, filepath.Base(p.Path))
		}
	}
}

// candidate is a file that is not followed, or that has changed since it was.
type candidate struct {
	spot    spot
	info    os.FileInfo
	present bool // the pattern matches it: it is followed, not only read to its end
	packed  bool
}

// look finds new and rotated files.
func (in *input) look(now time.Time) {
	first := !in.started
	for _, p := range in.places {
		p.hold(in)
	}
	fresh := in.present(now)
	if in.scans > 0 || first || now.Sub(in.scanned) >= in.grace {
		in.scans = max(in.scans-1, 0)
		in.scanned = now
		in.scan(fresh, first)
	} else {
		for _, c := range fresh {
			in.take(c, first)
		}
	}
	in.started = true
	if first && in.remember {
		in.checkpoints.SaveStart(in.tag) // a crash from now on loses nothing; if it fails, the engine tells
	}
	in.tidy(now)
}

// present looks at the files that the pattern matches, notes which of the followed ones are gone, and returns the others.
func (in *input) present(now time.Time) []candidate {
	main := in.places[0]
	names := []string{main.pattern}
	var err error
	if main.glob() {
		names, err = main.list()
		names = slices.DeleteFunc(names, func(name string) bool { return !matches(main.pattern, name) })
		slices.Sort(names)
	}
	if err != nil || len(names) == 0 {
		in.tell(filepath.Join(main.dir, main.pattern), "waiting for the file to appear")
	}
	for _, p := range in.past {
		p.seen = false
	}
	var fresh []candidate
	here := map[*followed]bool{}
	for _, name := range names {
		s := spot{main, name}
		info, err := s.stat()
		if os.IsNotExist(err) && !main.glob() {
			in.tell(s.path(), "waiting for the file to appear")
		}
		if err != nil {
			in.unreadable(s.path(), err)
			continue
		}
		if f := in.following(idOf(info)); f != nil {
			if !here[f] {
				f.moved(in.lead(s))
			}
			here[f] = true
			f.gone = time.Time{}
			continue
		}
		if p := in.pastWith(idOf(info)); p != nil && p.stays(info) {
			p.seen = true
			p.moved(s)
			continue
		}
		fresh = append(fresh, candidate{spot: s, info: info, present: true})
	}
	for _, f := range in.files {
		if !here[f] && f.gone.IsZero() && f.unpack == nil {
			f.gone = now
			in.scans = 2
		}
	}
	return fresh
}

// mostAgain bounds how many scans in a row are broken off because names change.
const mostAgain = 8

// scan looks at all files: it finds those that were rotated before anybody saw them, those that checkpoints and truncated
// files ask for, and copies.
func (in *input) scan(fresh []candidate, first bool) {
	in.waiting = false
	others, complete := in.others(first)
	list := append(others, fresh...)
	in.stale = false
	list = slices.DeleteFunc(list, func(c candidate) bool { return !c.packed && in.recalled(c) })
	if in.stale && !first && in.again < mostAgain { // else a copy of a file that is being renamed may be taken for new
		in.again++
		in.scans = max(in.scans, 1)
		return
	}
	in.again = 0
	list = slices.DeleteFunc(list, in.claimed)
	list = slices.DeleteFunc(list, func(c candidate) bool { return !c.present && !c.packed && !rotated(c.spot.at.pattern, c.spot.name) })
	for _, c := range list {
		in.take(c, first)
	}
	if complete && !first && !in.waiting {
		in.prune()
	}
}

// others returns the files beside those that the pattern matches which may belong to them, in the order in which they were
// last written. complete says that each directory could be read.
func (in *input) others(first bool) (list []candidate, complete bool) {
	wanted := slices.ContainsFunc(in.past, func(p *past) bool { return p.wanted() && p.tries < mostTries })
	complete = true
	for _, p := range in.places {
		names, err := p.list()
		complete = complete && err == nil
		slices.Sort(names)
		for _, name := range names {
			match := matches(p.pattern, name)
			if p == in.places[0] && match {
				continue
			}
			s := spot{p, name}
			pack := packed(p.pattern, name)
			if pack {
				_, unpacked := slices.BinarySearch(names, strings.TrimSuffix(name, filepath.Ext(name)))
				if unpacked && !first {
					continue // it is being packed
				}
			}
			sibling := !compressed(name) && rotated(p.pattern, name)
			if !pack && !sibling && !(wanted && !compressed(name)) {
				continue
			}
			info, err := s.stat()
			if err != nil {
				complete = complete && (os.IsNotExist(err) || !sibling)
				if sibling {
					in.unreadable(s.path(), err)
				}
				continue
			}
			if f := in.following(idOf(info)); f != nil && (f.begun || !wanted) {
				if !f.gone.IsZero() {
					f.moved(s)
				}
				continue
			}
			q := in.pastWith(idOf(info))
			if q != nil && q.stays(info) {
				q.seen = true
				q.moved(s)
				if !(wanted && (q.copied || pack)) {
					continue
				}
			}
			if match && q == nil {
				continue // a symlink's target: the pattern found it
			}
			if pack || sibling || q != nil || alike(p.pattern, name) {
				list = append(list, candidate{spot: s, info: info, packed: pack})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	return list, complete
}
