package main

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// flowRow is a flow in the table.
type flowRow struct {
	start, end     time.Time
	proto          string
	client, server string
	app, state     string
	packets, bytes [2]uint64 // to the server, to the client
	about          string    // what is known of the server or the question: SNI, host, name
	number         uint64    // as reported
}

func (r *flowRow) duration() time.Duration { return r.end.Sub(r.start) }

// orders compare rows for --sort.
var orders = map[string]func(a, b *flowRow) int{
	"start":    func(a, b *flowRow) int { return a.start.Compare(b.start) },
	"bytes":    func(a, b *flowRow) int { return cmp.Compare(b.bytes[0]+b.bytes[1], a.bytes[0]+a.bytes[1]) },
	"packets":  func(a, b *flowRow) int { return cmp.Compare(b.packets[0]+b.packets[1], a.packets[0]+a.packets[1]) },
	"duration": func(a, b *flowRow) int { return cmp.Compare(b.duration(), a.duration()) },
}

// flowRows collects rows. With most it keeps only those that will be shown, so that memory does not grow with the capture.
type flowRows struct {
	rows  []*flowRow // most of them: a heap, whose first is the last to be shown
	order func(a, b *flowRow) int
	most  int // 0 is all
	count uint64
	about map[uint64]*aboutFlow // by flow_id, of flows that have not ended
}

// aboutFlow is what the events of a flow say before it ends.
type aboutFlow struct {
	text string
	more int // further transactions
}

func newFlowRows(sort string, most int) *flowRows {
	by := orders[sort]
	order := func(a, b *flowRow) int {
		return cmp.Or(by(a, b), a.start.Compare(b.start), cmp.Compare(a.number, b.number))
	}
	return &flowRows{order: order, most: most, about: map[uint64]*aboutFlow{}}
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (f *flowRows) Len() int           { return len(f.rows) }
func (f *flowRows) Less(i, j int) bool { return f.order(f.rows[i], f.rows[j]) > 0 }
func (f *flowRows) Swap(i, j int)      { f.rows[i], f.rows[j] = f.rows[j], f.rows[i] }
func (f *flowRows) Push(x any)         { f.rows = append(f.rows, x.(*flowRow)) }
func (f *flowRows) Pop() any {
	last := f.rows[len(f.rows)-1]
	f.rows = f.rows[:len(f.rows)-1]
	return last
}

// flowEvent is what the table wants of EVE.
type flowEvent struct {
	Type     string  `json:"event_type"`
	ID       uint64  `json:"flow_id"`
	Src      string  `json:"src_ip"`
	Dst      string  `json:"dest_ip"`
	SrcPort  *uint16 `json:"src_port"`
	DstPort  *uint16 `json:"dest_port"`
	Proto    string  `json:"proto"`
	App      string  `json:"app_proto"`
	ICMPType *uint8  `json:"icmp_type"`
	ICMPCode *uint8  `json:"icmp_code"`
	SPI      *uint32 `json:"spi"`
	Flow     struct {
		PacketsToServer uint64 `json:"pkts_toserver"`
		PacketsToClient uint64 `json:"pkts_toclient"`
		BytesToServer   uint64 `json:"bytes_toserver"`
		BytesToClient   uint64 `json:"bytes_toclient"`
		Start, End      eveTime
		State           string
	}
	TCP struct {
		State string
	}
	TLS, QUIC struct{ SNI, Subject string }
	HTTP      struct{ Hostname, URL string }
	DNS       struct {
		RRName  string
		RRType  string
		Queries []struct{ RRName, RRType string }
	}
	SSH struct {
		Server struct {
			Software string `json:"software_version"`
		}
	}
}

// eveTime is a time as EVE writes it.
type eveTime struct{ time.Time }

func (t *eveTime) UnmarshalJSON(b []byte) (err error) {
	t.Time, err = time.Parse(`"2006-01-02T15:04:05.999999-0700"`, string(b))
	return err
}

// Begin implements the sink.
func (f *flowRows) Begin(int) error { return nil }

// Pause implements the sink.
func (f *flowRows) Pause() error { return nil }

// Event implements the sink.
func (f *flowRows) Event(event []byte) error {
	var e flowEvent
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("an event cannot be read: %w: %.200s", err, event)
	}
	if e.Type != "flow" {
		f.note(&e)
		return nil
	}
	f.count++
	r := &flowRow{start: e.Flow.Start.Time, end: e.Flow.End.Time, proto: e.protocol(), client: endpoint(e.Src, e.SrcPort), server: endpoint(e.Dst, e.DstPort),
		app: strings.TrimPrefix(e.App, "failed"), state: e.state(), number: f.count,
		packets: [2]uint64{e.Flow.PacketsToServer, e.Flow.PacketsToClient}, bytes: [2]uint64{e.Flow.BytesToServer, e.Flow.BytesToClient}}
	if about := f.about[e.ID]; about != nil {
		r.about = about.String()
		delete(f.about, e.ID)
	}
	if f.most == 0 {
		f.rows = append(f.rows, r)
		return nil
	}
	heap.Push(f, r)
	if len(f.rows) > f.most {
		heap.Pop(f)
	}
	return nil
}

// note keeps what an event of an application says about its flow: the first that says anything.
func (f *flowRows) note(e *flowEvent) {
	text := cmp.Or(e.TLS.SNI, e.QUIC.SNI, e.TLS.Subject, e.SSH.Server.Software, e.DNS.RRName)
	switch {
	case e.HTTP.Hostname != "" || e.HTTP.URL != "":
		text = e.HTTP.Hostname + e.HTTP.URL
	case text == e.DNS.RRName && text != "":
		text += " " + e.DNS.RRType
	case text == "" && len(e.DNS.Queries) > 0:
		text = e.DNS.Queries[0].RRName + " " + e.DNS.Queries[0].RRType
	}
	if text == "" {
		return
	}
	const longest = 200
	if len(text) > longest {
		text = text[:longest]
	}
	if about := f.about[e.ID]; about == nil {
		f.about[e.ID] = &aboutFlow{text: text}
	} else if about.text != text {
		about.more++
	}
}

func (a *aboutFlow) String() string {
	if a.more == 0 {
		return clean(a.text, false)
	}
	return fmt.Sprintf("%s (+%d)", clean(a.text, false), a.more)
}

func (e *flowEvent) protocol() string {
	switch {
	case e.ICMPType != nil && e.ICMPCode != nil:
		return fmt.Sprintf("%s %d/%d", strings.Replace(e.Proto, "IPv6-ICMP", "ICMPv6", 1), *e.ICMPType, *e.ICMPCode)
	case e.SPI != nil:
		return fmt.Sprintf("%s %08x", e.Proto, *e.SPI)
	}
	return e.Proto
}

func (e *flowEvent) state() string {
	if s := e.TCP.State; s != "" && s != e.Flow.State {
		return s
	}
	return e.Flow.State
}

func endpoint(ip string, port *uint16) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return clean(ip, false)
	}
	if port == nil {
		return addr.String()
	}
	return netip.AddrPortFrom(addr, *port).String()
}

// column is one of the table. Those that do not fit are left out, the lowest rank first.
type column struct {
	head  string
	rank  int
	right bool // aligned
	least int  // width to which it may be shortened; 0: not
	text  func(r *flowRow) string
	width int
}

// finish implements flowSink: it prints the table.
func (f *flowRows) finish(w io.Writer, width int) error {
	slices.SortFunc(f.rows, f.order)
	if len(f.rows) == 0 {
		return nil
	}
	layout := "15:04:05.000"
	if first, last := f.span(); first.Format(time.DateOnly) != last.Format(time.DateOnly) {
		layout = "2006-01-02 15:04:05"
	}
	columns := fit(f.columns(layout), f.rows, width)
	var line strings.Builder
	print := func(text func(c *column) string) error {
		line.Reset()
		for i := range columns {
			c := &columns[i]
			if i > 0 {
				line.WriteString("  ")
			}
			s := cut(text(c), c.width)
			pad := strings.Repeat(" ", max(0, c.width-utf8.RuneCountInString(s)))
			if c.right {
				line.WriteString(pad + s)
			} else {
				line.WriteString(s + pad)
			}
		}
		_, err := fmt.Fprintln(w, cut(strings.TrimRight(line.String(), " "), width))
		return err
	}
	if err := print(func(c *column) string { return c.head }); err != nil {
		return err
	}
	for _, r := range f.rows {
		if err := print(func(c *column) string { return c.text(r) }); err != nil {
			return err
		}
	}
	return nil
}

// span returns the earliest start and the latest.
func (f *flowRows) span() (first, last time.Time) {
	first, last = f.rows[0].start, f.rows[0].start
	for _, r := range f.rows {
		if r.start.Before(first) {
			first = r.start
		}
		if r.start.After(last) {
			last = r.start
		}
	}
	return first, last
}

func (f *flowRows) columns(layout string) []column {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []column{
		{head: "START", rank: 2, text: func(r *flowRow) string { return r.start.UTC().Format(layout) }},
		{head: "PROTO", rank: 9, text: func(r *flowRow) string { return r.proto }},
		{head: "CLIENT", rank: 9, least: 15, text: func(r *flowRow) string { return r.client }},
		{head: "SERVER", rank: 9, least: 15, text: func(r *flowRow) string { return r.server }},
		{head: "APP", rank: 5, text: func(r *flowRow) string { return r.app }},
		{head: "PKTS>", rank: 7, right: true, text: func(r *flowRow) string { return number(r.packets[0]) }},
		{head: "<PKTS", rank: 7, right: true, text: func(r *flowRow) string { return number(r.packets[1]) }},
		{head: "BYTES>", rank: 8, right: true, text: func(r *flowRow) string { return amount(r.bytes[0]) }},
		{head: "<BYTES", rank: 8, right: true, text: func(r *flowRow) string { return amount(r.bytes[1]) }},
		{head: "TIME", rank: 3, right: true, text: func(r *flowRow) string { return lasting(r.duration()) }},
		{head: "STATE", rank: 1, text: func(r *flowRow) string { return r.state }},
		{head: "ABOUT", rank: 4, least: 12, text: func(r *flowRow) string { return r.about }},
	}
}

// fit measures the columns and leaves out, or shortens, what does not fit into width; 0 is no limit. Columns without any
// text are left out too.
func fit(columns []column, rows []*flowRow, width int) []column {
	for i := range columns {
		c := &columns[i]
		for _, r := range rows {
			c.width = max(c.width, utf8.RuneCountInString(c.text(r)))
		}
	}
	columns = slices.DeleteFunc(columns, func(c column) bool { return c.width == 0 })
	for i := range columns {
		columns[i].width = max(columns[i].width, len(columns[i].head))
	}
	if width == 0 {
		return columns
	}
	for rank := 1; rank < 9; rank++ {
		total := 2 * (len(columns) - 1)
		for _, c := range columns {
			if c.least > 0 {
				total += min(c.least, c.width)
			} else {
				total += c.width
			}
		}
		if total <= width {
			break
		}
		columns = slices.DeleteFunc(columns, func(c column) bool { return c.rank == rank })
	}
	shorten(columns, width)
	return columns
}

// shorten takes from the widest of the columns that may be shortened, as much as there is too much.
func shorten(columns []column, width int) {
	total := 2 * (len(columns) - 1)
	for _, c := range columns {
		total += c.width
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range columns {
			if c.least > 0 && c.width > c.least && (widest < 0 || c.width > columns[widest].width) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		columns[widest].width--
	}
}

// amount writes a number of bytes in at most five characters.
func amount(n uint64) string {
	if n < 10_000 {
		return strconv.FormatUint(n, 10)
	}
	x, unit := float64(n), 0
	for x >= 999.5 {
		x /= 1000
		unit++
	}
	digits := 0
	if x < 99.95 {
		digits = 1
	}
	return strconv.FormatFloat(x, 'f', digits, 64) + " kMGTPE"[unit:unit+1]
}

// lasting writes a time in at most seven characters.
func lasting(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
