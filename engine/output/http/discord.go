package http

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/httpsink"
	"dragonfly/engine/wire/template"
)

// Limits of a message to Discord, in characters (Discord's documentation, "Message: Embed Limits").
const (
	discordTitle       = 256
	discordDescription = 4096
	discordFields      = 25
	discordName        = 256
	discordValue       = 1024
	discordEmbeds      = 10
	discordTotal       = 6000 // of all embeds of a message
)

// discord makes messages for a webhook of Discord: an embed per event.
type discord struct {
	username, avatar string
	template         *template.Namer // of the description; nil: the addresses
}

type discordMessage struct {
	Embeds   []*embed `json:"embeds"`
	Username string   `json:"username,omitempty"`
	Avatar   string   `json:"avatar_url,omitempty"`
	Mentions struct {
		Parse []string `json:"parse"`
	} `json:"allowed_mentions"` // nobody: an event could name @everyone
}

type embed struct {
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	Fields      []embedField `json:"fields,omitempty"`
	size        int          // characters that count for discordTotal
}

type embedField struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Inline bool   `json:"inline"`
}

func (d discord) encode(dst []byte, events []engine.Event) ([]byte, int, error) {
	m := discordMessage{Username: d.username, Avatar: d.avatar}
	m.Mentions.Parse = []string{}
	size := 0
	for i := range events {
		e := d.embed(&events[i])
		if i > 0 && (size+e.size > discordTotal || i == discordEmbeds) {
			break
		}
		size += e.size
		m.Embeds = append(m.Embeds, e)
	}
	dst, err := marshal(dst, m)
	return dst, len(m.Embeds), err
}

// first are the members that every alert shows, side by side: title of the field, path, what stands for a missing one.
var first = [...]struct{ title, path, missing string }{
	{"Country", "geoip.country", "unknown"}, {"Org.", "geoip.organization", "unknown"}, {"protocol", "proto", ""},
	{"action", "alert.action", ""}, {"severity", "alert.severity", ""}, {"time", "timestamp", ""},
}

// shown are the members that stand elsewhere in a message.
var shown = map[string]bool{"signature": true, "src_ip": true, "src_port": true, "dest_ip": true, "dest_port": true, "geoip": true,
	"proto": true, "action": true, "severity": true, "timestamp": true}

// embed shows an event. What exceeds a limit is cut, and fields that exceed the total are left out.
func (d discord) embed(ev *engine.Event) *embed {
	e := &embed{Title: httpsink.Cut(visible("🚨 "+title(ev)), discordTitle)}
	if d.template != nil {
		e.Description = httpsink.Cut(d.template.Of(ev), discordDescription)
	} else if text := ends(ev); text != "" {
		e.Description = httpsink.Cut("**"+text+"**", discordDescription)
	}
	e.Description = strings.TrimSpace(e.Description)
	e.size = httpsink.Len(e.Title) + httpsink.Len(e.Description)
	add := func(name, value string, inline bool) {
		f := embedField{httpsink.Cut(visible(name), discordName), httpsink.Cut(visible(value), discordValue), inline}
		if size := httpsink.Len(f.Name) + httpsink.Len(f.Value); f.Name != "" && f.Value != "" && len(e.Fields) < discordFields && e.size+size <= discordTotal {
			e.Fields = append(e.Fields, f)
			e.size += size
		}
	}
	for _, f := range first {
		text, _ := httpsink.Text(ev, f.path)
		if visible(text) == "" {
			text = f.missing
		}
		add(f.title, text, true)
	}
	for _, m := range members(ev, shown) {
		add(m.name, m.text, false)
	}
	return e
}

// visible removes white space around s: Discord takes what is empty without it for missing.
func visible(s string) string { return strings.TrimSpace(s) }

// discordPause is how long Discord wants us to wait: after too many requests, or when this one was the last that it takes for now.
func discordPause(a *httpsink.Answer) time.Duration {
	after, _ := strconv.ParseFloat(a.Header.Get("X-RateLimit-Reset-After"), 64)
	if a.Status == 429 {
		var said struct {
			After float64 `json:"retry_after"` // seconds
		}
		if json.Unmarshal(a.Body, &said) == nil && said.After > 0 {
			return httpsink.Seconds(said.After)
		}
		return httpsink.Seconds(after)
	}
	if a.Header.Get("X-RateLimit-Remaining") == "0" {
		return httpsink.Seconds(after)
	}
	return 0
}
