package main

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// flowRow is a flow in the table.
type flowRow struct {
	start, end     time.Time
	proto          string
	client, server string
	vlan           string // its tags, the outermost first
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
	last string
	more int // times that it was another
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
	VLAN     []uint16
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
		vlan: tags(e.VLAN), app: strings.TrimPrefix(e.App, "failed"), state: e.state(), number: f.count,
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
		f.about[e.ID] = &aboutFlow{text: text, last: text}
	} else if about.last != text {
		about.last = text
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

// tags writes VLAN tags as "200.100".
func tags(list []uint16) string {
	var text []string
	for _, tag := range list {
		text = append(text, strconv.Itoa(int(tag)))
	}
	return strings.Join(text, ".")
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
