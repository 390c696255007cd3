package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

func asJSON(dst []byte, events []engine.Event) ([]byte, int, error) {
	return append(dst, events[0].Body...), 1, nil
}

func asArray(dst []byte, events []engine.Event) ([]byte, int, error) {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, events[i].Body...)
	}
	return append(dst, ']'), len(events), nil
}

func asLines(dst []byte, events []engine.Event) ([]byte, int, error) {
	for i := range events {
		dst = append(append(dst, events[i].Body...), '\n')
	}
	return dst, len(events), nil
}

func textOf(t *template.Namer) encoder {
	return func(dst []byte, events []engine.Event) ([]byte, int, error) {
		for i := range events {
			dst = append(append(dst, oneLine(t.Of(&events[i]))...), '\n')
		}
		return dst, len(events), nil
	}
}

// oneLine replaces line ends, which are between events.
func oneLine(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, []byte(s)))
}

// filter is one of `filters`.
type filter struct {
	attribute string
	texts     map[string]bool
	numbers   []float64
}

// newFilters reads the option.
func newFilters(text string) ([]filter, error) {
	bad := func(format string, args ...any) ([]filter, error) {
		return nil, &engine.ConfigError{Key: "filters", Msg: fmt.Sprintf(format, args...) + `, want such as { {attribute = "event_type", values = {"alert"}} }`}
	}
	if text == "" || text == "[]" || text == "{}" {
		return nil, nil
	}
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return bad("is no list of tables")
	}
	var list []filter
	for i, row := range rows {
		f := filter{texts: map[string]bool{}}
		var values []any
		d := json.NewDecoder(bytes.NewReader(row["values"]))
		d.UseNumber()
		if err := json.Unmarshal(row["attribute"], &f.attribute); err != nil || f.attribute == "" {
			return bad("row %d has no attribute", i+1)
		}
		if err := d.Decode(&values); err != nil || len(values) == 0 {
			return bad("row %d has no list of values", i+1)
		}
		if len(row) != 2 {
			return bad("row %d has other keys than attribute and values", i+1)
		}
		for _, v := range values {
			switch v := v.(type) {
			case string:
				f.texts[v] = true
			case bool:
				f.texts[strconv.FormatBool(v)] = true
			case json.Number:
				n, err := v.Float64()
				if err != nil {
					return bad("row %d has the number %s", i+1, v)
				}
				f.texts[v.String()] = true
				f.numbers = append(f.numbers, n)
			default:
				return bad("row %d has a value that is no text, number or boolean", i+1)
			}
		}
		list = append(list, f)
	}
	return list, nil
}

// matches reports whether the event's attribute has one of the values: numbers also as text, "1" and 1 and 1.0.
func (f *filter) matches(ev *engine.Event) bool {
	text, ok := httpsink.Text(ev, f.attribute)
	if !ok {
		return false
	}
	if f.texts[text] {
		return true
	}
	if len(f.numbers) == 0 {
		return false
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	for _, want := range f.numbers {
		if n == want {
			return true
		}
	}
	return false
}

// named is a member of an event with its text, for messages.
type named struct{ name, text string }

// members returns what an event says besides the names in but, in its order; members of "alert" stand for it. What is empty is
// left out.
func members(ev *engine.Event, but map[string]bool) []named {
	var list []named
	add := func(fields []lazyjson.Field, skip string) {
		for i := range fields {
			f := &fields[i]
			name, text := f.Key(ev.Body), f.Plain(ev.Body)
			if name != skip && name != "" && !but[name] && text != "" && text != "{}" && text != "[]" && f.Kind != lazyjson.Null {
				list = append(list, named{name, text})
			}
		}
	}
	fields := httpsink.Fields(ev)
	if alert := lazyjson.Find(fields, ev.Body, "alert"); alert != nil && alert.Kind == lazyjson.Object {
		add(lazyjson.Members(nil, ev.Body, alert.ValOff), "")
		add(fields, "alert")
		return list
	}
	add(fields, "")
	return list
}

// title is what an event is called in a message.
func title(ev *engine.Event) string {
	for _, path := range []string{"alert.signature", "alert.category", "signature", "category"} {
		if text, ok := httpsink.Text(ev, path); ok && text != "" {
			return text
		}
	}
	return "Alert"
}

// ends is "src:port -> dst:port", "" if the event has no addresses.
func ends(ev *engine.Event) string {
	end := func(ip, port string) string {
		address, ok := httpsink.Text(ev, ip)
		if !ok {
			return ""
		}
		n, ok := httpsink.Text(ev, port)
		if !ok {
			return address
		}
		if bytes.IndexByte([]byte(address), ':') >= 0 {
			return "[" + address + "]:" + n
		}
		return address + ":" + n
	}
	from, to := end("src_ip", "src_port"), end("dest_ip", "dest_port")
	if from == "" && to == "" {
		return ""
	}
	return from + " -> " + to
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}
