package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/deadletter"
)

// tally counts the entries of one reason and stage.
type tally struct {
	Type     string    `json:"type"` // "summary"
	Reason   string    `json:"reason"`
	Stage    string    `json:"stage"`
	Count    int64     `json:"count"`
	Open     int64     `json:"open"`
	Pending  int64     `json:"pending"`
	Replayed int64     `json:"replayed"`
	Dropped  int64     `json:"dropped"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Error    string    `json:"error"` // of the last one
}

// row is an entry as it is listed. It keeps no more than that of the event.
type row struct {
	Type     string            `json:"type"` // "entry"
	ID       string            `json:"id"`
	Status   deadletter.Status `json:"status"`
	Time     time.Time         `json:"time"`
	Origin   string            `json:"origin"`
	Stage    string            `json:"stage"`
	Reason   string            `json:"reason"`
	Error    string            `json:"error"`
	ReplayOf string            `json:"replay_of,omitempty"`
	File     string            `json:"file"`
	Line     int64             `json:"line"`

	// show only
	Mark  *deadletter.Mark    `json:"mark,omitempty"`
	Of    *deadletter.Outcome `json:"outcome,omitempty"` // of the whole request that replayed it
	Event json.RawMessage     `json:"event,omitempty"`
	Raw   []byte              `json:"raw,omitempty"` // base64 of an event that is not JSON, or not UTF-8
}

// scan opens the files, finds out which entries are meant, and calls each for them.
func (c *letters) scan(state *deadletter.State, bad func(deadletter.Damage) error, each func(*deadletter.Found, deadletter.Status) error) error {
	files, err := deadletter.OpenFiles(c.box.Path)
	if err != nil {
		return err
	}
	defer files.Close()
	if len(files) == 0 {
		fmt.Fprintf(c.stderr, "dragonfly: there are no dead letters: %s does not exist\n", c.box.Path)
	}
	filter := c.filter
	if len(c.ids) > 0 {
		if filter.IDs, err = files.Resolve(c.ids); err != nil {
			return err
		}
	}
	return files.Scan(func(f *deadletter.Found) error {
		if s, _ := state.Of(f.ID); filter.Match(&f.Entry, s) {
			return each(f, s)
		}
		return nil
	}, bad)
}

// damages collects damaged lines: it keeps the first few.
type damages struct {
	n    int
	some []string
}

func (d *damages) add(x deadletter.Damage) error {
	if x.Open {
		return nil // the engine is at it
	}
	if d.n++; len(d.some) < 5 {
		d.some = append(d.some, x.String())
	}
	return nil
}

func (d *damages) tell(w io.Writer) {
	if d.n == 0 {
		return
	}
	fmt.Fprintf(w, "dragonfly: %d places in the files are no dead letters and were passed over:\n", d.n)
	for _, s := range d.some {
		fmt.Fprintf(w, "  %s\n", clean(s, false))
	}
	if d.n > len(d.some) {
		fmt.Fprintln(w, "  ...")
	}
}

// list is `ls`.
func (c *letters) list() error {
	state, err := c.box.State()
	if err != nil {
		return err
	}
	var last []row // the last n
	sums := map[[2]string]*tally{}
	var bad damages
	err = c.scan(state, func(d deadletter.Damage) error {
		if c.json && !d.Open {
			return c.print(struct {
				Type  string `json:"type"`
				File  string `json:"file"`
				Line  int64  `json:"line,omitempty"`
				Error string `json:"error"`
			}{"damage", d.Path, d.Line, d.Err.Error()})
		}
		return bad.add(d)
	}, func(f *deadletter.Found, s deadletter.Status) error {
		count(sums, &f.Entry, s)
		if c.n > 0 {
			if len(last) == c.n {
				last = last[1:]
			}
			last = append(last, newRow(f, s))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.summary(sums); err != nil {
		return err
	}
	out := newTable(c.stdout)
	switch {
	case c.n > 0:
		for i := range last {
			if err := c.row(out, &last[i]); err != nil {
				return err
			}
		}
	case c.selects() && len(sums) > 0:
		err = c.scan(state, func(deadletter.Damage) error { return nil }, func(f *deadletter.Found, s deadletter.Status) error {
			r := newRow(f, s)
			return c.row(out, &r)
		})
	}
	bad.tell(c.stderr)
	return err
}

func count(sums map[[2]string]*tally, e *deadletter.Entry, s deadletter.Status) {
	key := [2]string{e.Reason, e.Stage}
	t := sums[key]
	if t == nil {
		t = &tally{Type: "summary", Reason: e.Reason, Stage: e.Stage, First: e.Time}
		sums[key] = t
	}
	t.Count++
	*map[deadletter.Status]*int64{deadletter.Open: &t.Open, deadletter.Pending: &t.Pending, deadletter.Replayed: &t.Replayed, deadletter.Dropped: &t.Dropped}[s]++
	if e.Time.Before(t.First) {
		t.First = e.Time
	}
	if !e.Time.Before(t.Last) {
		t.Last, t.Error = e.Time, strings.Clone(e.Error)
	}
}

func newRow(f *deadletter.Found, s deadletter.Status) row {
	return row{Type: "entry", ID: f.ID.String(), Status: s, Time: f.Time, Origin: strings.Clone(f.Origin), Stage: strings.Clone(f.Stage),
		Reason: strings.Clone(f.Reason), Error: strings.Clone(f.Error), ReplayOf: strings.Clone(f.ReplayOf), File: f.File.Path, Line: f.Line.Number}
}

func (c *letters) print(v any) error {
	w := json.NewEncoder(c.stdout)
	w.SetEscapeHTML(false)
	return w.Encode(v)
}

const timeLayout = "2006-01-02 15:04:05Z"

// summary prints the counts, the most first.
func (c *letters) summary(sums map[[2]string]*tally) error {
	var list []*tally
	for _, t := range sums {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *tally) int {
		if a.Count != b.Count {
			return int(min(max(b.Count-a.Count, -1), 1))
		}
		return strings.Compare(a.Reason+a.Stage, b.Reason+b.Stage)
	})
	if c.json {
		for _, t := range list {
			if err := c.print(t); err != nil {
				return err
			}
		}
		return nil
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	if len(list) > 0 {
		fmt.Fprintln(w, "COUNT\tOPEN\tPENDING\tREPLAYED\tDROPPED\tREASON\tSTAGE\tFIRST\tLAST\tLAST ERROR")
	}
	for _, t := range list {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", t.Count, t.Open, t.Pending, t.Replayed, t.Dropped,
			clean(t.Reason, false), clean(t.Stage, false), t.First.UTC().Format(timeLayout), t.Last.UTC().Format(timeLayout), clean(t.Error, false))
	}
	w.Flush()
	width := terminalWidth(c.stdout)
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(c.stdout, cut(strings.TrimRight(line, " \n"), width))
	}
	if len(list) == 0 {
		fmt.Fprintln(c.stdout, "no dead letters")
	}
	return nil
}

// table prints rows as they come.
type table struct {
	w      io.Writer
	width  int
	headed bool
}

func newTable(w io.Writer) *table { return &table{w: w, width: terminalWidth(w)} }

func (c *letters) row(out *table, r *row) error {
	if c.json {
		return c.print(r)
	}
	if !out.headed {
		out.headed = true
		if _, err := fmt.Fprintf(out.w, "\n%-12s  %-20s  %-8s  %-20s  %-14s  %s\n", "ID", "TIME", "STATUS", "STAGE", "REASON", "ERROR"); err != nil {
			return err
		}
	}
	line := fmt.Sprintf("%-12s  %-20s  %-8s  %-20s  %-14s  %s", r.ID, r.Time.UTC().Format(timeLayout), r.Status, clean(r.Stage, false), clean(r.Reason, false), clean(r.Error, false))
	_, err := fmt.Fprintln(out.w, cut(line, out.width))
	return err
}

// terminalWidth is the number of columns of a terminal; 0 for what is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// cut shortens s to width characters; 0 does not.
func cut(s string, width int) string {
	if width <= 1 || utf8.RuneCountInString(s) <= width {
		return s
	}
	n := 0
	for i := range s {
		if n++; n == width {
			return s[:i] + "…"
		}
	}
	return s
}

// clean makes text from events harmless for a terminal: what is not printable is escaped. lines keeps line ends.
func clean(s string, lines bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r) || lines && r == '\n':
			b.WriteString(s[i : i+n])
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += n
	}
	return b.String()
}

// remedies says what an operator can do, by reason.
var remedies = map[string]string{
	engine.ReasonMalformed: "The record is no JSON, so no script can see it. Look at what writes the source; a replay fails again. `drop` it when that is mended.",
	engine.ReasonNotObject: "The record is JSON but no object: a filter takes objects only. Look at what writes the source; a replay fails again. `drop` it when that is mended.",
	engine.ReasonTooLong:   "Only the beginning of the record was kept. Raise max_line in the row of the input and read the source again from the offset in \"origin\"; this entry cannot be replayed.",
	engine.ReasonTruncated: "Only the beginning of the datagram arrived. Raise the buffer in the row of the input, or let the sensor use a stream socket; this entry cannot be replayed.",
	engine.ReasonScript:    "Mend the script at the line above, let the engine load it (SIGHUP), then `replay`. If the script is right to refuse the event, `drop` it.",
	engine.ReasonTimeout:   "The script took longer than script_timeout: make it faster, or raise script_timeout in its row; SIGHUP; then `replay`.",
	engine.ReasonLoop:      "The scripts send the event in a circle. Look at default_analyzer and analyze_event of the stages; SIGHUP; then `replay`.",
	engine.ReasonFanOut:    "More than a million events came from one record. Look for a script that emits in a loop; SIGHUP; then `replay`.",
	engine.ReasonRejected:  "The sink refuses this event however often it is tried. Make it acceptable (size, form) or let the sink accept it, then `replay`; with --from filter if a script is to change it.",
	engine.ReasonNoStage:   "A replay found no such stage in config.lua. `replay --from filter` sends it through the input's filter instead.",
}

// show is `show`.
func (c *letters) show() error {
	state, err := c.box.State()
	if err != nil {
		return err
	}
	var bad damages
	n := 0
	err = c.scan(state, bad.add, func(f *deadletter.Found, s deadletter.Status) error {
		n++
		_, mark := state.Of(f.ID)
		r := newRow(f, s)
		r.ID = f.ID.Full()
		if s != deadletter.Open {
			r.Mark = &mark
			if o, ok := state.Outcomes[mark.Request]; ok && mark.Request != "" {
				r.Of = &o
			}
		}
		if !c.json {
			return c.detail(&r, f)
		}
		if f.JSON && utf8.ValidString(f.Event) {
			r.Event = json.RawMessage(f.Event)
		} else {
			r.Raw = []byte(f.Event)
		}
		return c.print(&r)
	})
	bad.tell(c.stderr)
	if err == nil && n == 0 {
		err = errors.New("no entry is selected")
	}
	return err
}

// detail prints all of one entry for a reader.
func (c *letters) detail(r *row, f *deadletter.Found) error {
	var b strings.Builder
	p := func(key, value string) { fmt.Fprintf(&b, "%-10s %s\n", key, clean(value, false)) }
	p("id", r.ID)
	p("status", string(r.Status)+markText(r.Mark, r.Of))
	p("time", r.Time.UTC().Format("2006-01-02 15:04:05.000000Z"))
	p("stage", r.Stage)
	p("reason", r.Reason)
	p("error", r.Error)
	if line := scriptLine(c.root, r.Error); line != "" {
		p("", line)
	}
	p("origin", r.Origin)
	if r.ReplayOf != "" {
		p("replay of", r.ReplayOf)
	}
	p("file", fmt.Sprintf("%s:%d", r.File, r.Line))
	if remedy := remedies[r.Reason]; remedy != "" {
		p("remedy", remedy)
	}
	var event bytes.Buffer
	if f.JSON && json.Indent(&event, []byte(strings.TrimSpace(f.Event)), "", "  ") == nil {
		fmt.Fprintf(&b, "event\n%s\n\n", clean(event.String(), true))
	} else {
		fmt.Fprintf(&b, "event, no JSON, %d bytes\n%s\n\n", len(f.Event), clean(f.Event, false))
	}
	_, err := io.WriteString(c.stdout, b.String())
	return err
}

func markText(m *deadletter.Mark, o *deadletter.Outcome) string {
	if m == nil {
		return ""
	}
	s := fmt.Sprintf(" since %s, by %s", m.Time.UTC().Format(timeLayout), m.Who)
	if m.Request != "" {
		s += ", request " + m.Request
	}
	if o != nil {
		s += " (" + outcomeText(o) + ")"
	}
	return s
}

var scriptPlace = regexp.MustCompile(`^([^\s:]+\.lua):(\d+): `)

// scriptLine returns the line of the script that an error names, as it is now.
func scriptLine(root, text string) string {
	m := scriptPlace.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	path := m[1]
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, path)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	want, _ := strconv.Atoi(m[2])
	n := 0
	for line := range strings.Lines(string(source)) {
		if n++; n == want {
			return fmt.Sprintf("%s:%d is now: %s", m[1], want, strings.TrimSpace(line))
		}
	}
	return ""
}
