package http

import (
	"strings"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

// Limits of a message to Slack, in characters (Slack's reference of blocks).
const (
	slackHeader = 150
	slackText   = 3000
	slackField  = 2000
	slackFields = 10
	slackEvents = 12 // of 4 blocks each; 50 is the limit
	slackTotal  = 12000
)

// slack makes messages for an incoming webhook of Slack: a header, a text and fields per event.
type slack struct {
	username, icon string
	template       *template.Namer // of the text; nil: the addresses
}

type slackMessage struct {
	Text     string       `json:"text"` // for notifications
	Username string       `json:"username,omitempty"`
	Icon     string       `json:"icon_url,omitempty"`
	Blocks   []slackBlock `json:"blocks"`
}

type slackBlock struct {
	Type   string      `json:"type"`
	Text   *slackWord  `json:"text,omitempty"`
	Fields []slackWord `json:"fields,omitempty"`
}

type slackWord struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func (s slack) encode(dst []byte, events []engine.Event) ([]byte, int, error) {
	m := slackMessage{Username: s.username, Icon: s.icon}
	n, size := 0, 0
	var titles []string
	for ; n < min(len(events), slackEvents); n++ {
		blocks, length := s.blocks(&events[n])
		if n > 0 {
			if size+length > slackTotal {
				break
			}
			m.Blocks = append(m.Blocks, slackBlock{Type: "divider"})
		}
		size += length
		m.Blocks = append(m.Blocks, blocks...)
		titles = append(titles, title(&events[n]))
	}
	m.Text = escaped(strings.Join(titles, "; "), slackText)
	dst, err := marshal(dst, m)
	return dst, n, err
}

// blocks shows an event, and returns how many characters that takes.
func (s slack) blocks(ev *engine.Event) ([]slackBlock, int) {
	head := httpsink.Cut(visible(title(ev)), slackHeader)
	if head == "" {
		head = "Alert"
	}
	blocks := []slackBlock{{Type: "header", Text: &slackWord{"plain_text", head}}}
	size := httpsink.Len(head)
	text := ""
	if s.template != nil {
		text = escaped(visible(s.template.Of(ev)), slackText)
	} else if text = ends(ev); text != "" {
		text = "*" + escaped(text, slackText-2) + "*"
	}
	if text != "" {
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackWord{"mrkdwn", text}})
		size += httpsink.Len(text)
	}
	var fields []slackWord
	add := func(name, value string) {
		if name, value = visible(name), visible(value); name != "" && value != "" && len(fields) < slackFields {
			text := "*" + escaped(name, 200) + "*\n"
			text += escaped(value, min(slackField-httpsink.Len(text), 500))
			fields = append(fields, slackWord{"mrkdwn", text})
			size += httpsink.Len(text)
		}
	}
	for _, f := range first {
		text, _ := httpsink.Text(ev, f.path)
		if visible(text) != "" { // room is for ten: what is not known does not take it
			add(f.title, text)
		}
	}
	for _, m := range members(ev, shown) {
		add(m.name, m.text)
	}
	if len(fields) > 0 {
		blocks = append(blocks, slackBlock{Type: "section", Fields: fields})
	}
	return blocks, size
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escaped cuts s so that it has n characters when it is escaped: no event can mention <!channel> or show a link.
func escaped(s string, n int) string {
	text := slackEscapes.Replace(s)
	for most := n; httpsink.Len(text) > n; {
		most -= max(1, (httpsink.Len(text)-n)/5)
		text = slackEscapes.Replace(httpsink.Cut(s, most))
	}
	return text
}
