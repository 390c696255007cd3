package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

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
	columns := measure(f.columns(layout), f.rows)
	if width > 0 && least(columns) > width {
		columns = fit(measure(f.narrow(layout), f.rows), width)
	}
	shorten(columns, width)
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
		{head: "VLAN", rank: 6, text: func(r *flowRow) string { return r.vlan }},
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

// narrow has the packets of both directions in one column, and so the bytes.
func (f *flowRows) narrow(layout string) []column {
	columns := slices.DeleteFunc(f.columns(layout), func(c column) bool { return c.head == "<PKTS" || c.head == "<BYTES" })
	for i := range columns {
		switch c := &columns[i]; c.head {
		case "PKTS>":
			c.head, c.text = "PKTS", func(r *flowRow) string { return fmt.Sprintf("%d/%d", r.packets[0], r.packets[1]) }
		case "BYTES>":
			c.head, c.text = "BYTES", func(r *flowRow) string { return amount(r.bytes[0]) + "/" + amount(r.bytes[1]) }
		}
	}
	return columns
}

// measure gives columns their widths, and leaves out those without any text.
func measure(columns []column, rows []*flowRow) []column {
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
	return columns
}

// least returns the width of a table whose columns are as short as they may be.
func least(columns []column) int {
	total := 2 * (len(columns) - 1)
	for _, c := range columns {
		if c.least > 0 {
			total += min(c.least, c.width)
		} else {
			total += c.width
		}
	}
	return total
}

// fit leaves out columns until the rest can be shortened to width.
func fit(columns []column, width int) []column {
	for rank := 1; rank < 9 && least(columns) > width; rank++ {
		columns = slices.DeleteFunc(columns, func(c column) bool { return c.rank == rank })
	}
	return columns
}

// shorten takes from the widest of the columns that may be shortened, as much as there is too much; width 0 is no limit.
func shorten(columns []column, width int) {
	if width == 0 {
		return
	}
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
