package http

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

const alert = `{"timestamp":"2026-11-20T18:31:59.886695+0000","event_type":"alert","src_ip":"10.0.0.1","src_port":4242,"dest_ip":"2001:db8::1","dest_port":443,` +
	`"proto":"TCP","geoip":{"country":null,"organization":"Example <b> & co"},"alert":{"action":"allowed","signature":"ET <!channel> @everyone","severity":2,"category":"","rev":3},"empty":"","none":null,"flow":{"pkts":3}}`

func size(s string) int { return len(utf16.Encode([]rune(s))) }

// discordServer is a webhook of Discord with its limits.
func discordServer(t *testing.T, messages *[]discordMessage) *sinktest.Server {
	return sinktest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m discordMessage
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		err := d.Decode(&m)
		total := 0
		bad := func(format string, args ...any) {
			err = fmt.Errorf(format, args...)
		}
		if r.Header.Get("Content-Type") != "application/json" || r.URL.Query().Get("wait") != "true" {
			bad("content type, or wait")
		}
		if len(m.Embeds) < 1 || len(m.Embeds) > 10 {
			bad("%d embeds", len(m.Embeds))
		}
		for _, e := range m.Embeds {
			total += size(e.Title) + size(e.Description)
			if size(e.Title) > 256 || e.Title == "" || size(e.Description) > 4096 || len(e.Fields) > 25 {
				bad("embed %+v", e)
			}
			for _, f := range e.Fields {
				total += size(f.Name) + size(f.Value)
				if size(f.Name) > 256 || size(f.Value) > 1024 || strings.TrimSpace(f.Name) == "" || strings.TrimSpace(f.Value) == "" {
					bad("field %+v", f)
				}
			}
		}
		if total > 6000 || m.Mentions.Parse == nil || len(m.Mentions.Parse) > 0 {
			bad("%d characters, mentions %v", total, m.Mentions)
		}
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		*messages = append(*messages, m)
		fmt.Fprint(w, `{"id":"1"}`)
	})
}

func TestDiscord(t *testing.T) {
	var got []discordMessage
	s := discordServer(t, &got)
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"path": "webhooks/1/t", "format": "discord", "username": "dragonfly", "avatar_url": "https://a/b.png"}, nil)
	if o := sinktest.Deliver(t, out, sinktest.Events(t, alert)); len(o.Delivered) != 1 {
		t.Fatal(o)
	}
	m := got[0]
	e := m.Embeds[0]
	if m.Username != "dragonfly" || m.Avatar == "" || e.Title != "🚨 ET <!channel> @everyone" || e.Description != "**10.0.0.1:4242 -> [2001:db8::1]:443**" {
		t.Errorf("got %+v", e)
	}
	want := []embedField{{"Country", "unknown", true}, {"Org.", "Example <b> & co", true}, {"protocol", "TCP", true}, {"action", "allowed", true}, {"severity", "2", true},
		{"time", "2026-11-20T18:31:59.886695+0000", true}, {"rev", "3", false}, {"event_type", "alert", false}, {"flow", `{"pkts":3}`, false}}
	if !slices.Equal(e.Fields, want) {
		t.Errorf("got  %v\nwant %v", e.Fields, want)
	}
}

// TestDiscordLimits sends what exceeds every limit.
func TestDiscordLimits(t *testing.T) {
	var got []discordMessage
	s := discordServer(t, &got)
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "bulk", "format": "discord"}, nil)
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `,"f%d%s":"%s"`, i, strings.Repeat("n", 10*i), strings.Repeat("é😀", 30*i))
	}
	large := `{"alert":{"signature":"` + strings.Repeat("😀", 400) + `"},"  ":"x","blank":" ","bad":"` + "\xff" + `"` + many.String() + `}`
	bodies := []string{large, `{}`, large}
	for range 25 {
		bodies = append(bodies, alert)
	}
	bodies = append(bodies, `[1]`)
	o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...))
	if len(o.Delivered) != 28 || len(o.Rejected) != 1 || o.Rejected[0] != "[1]" || len(o.Errors) > 0 {
		t.Errorf("%d delivered, %v, %v", len(o.Delivered), o.Reasons, o.Errors)
	}
	n := 0
	for _, m := range got {
		n += len(m.Embeds)
	}
	if n != 28 || len(got) > 7 {
		t.Errorf("%d embeds in %d messages", n, len(got))
	}
	if e := got[0].Embeds[0]; size(e.Title) < 255 || !strings.HasSuffix(e.Title, "…") || len(e.Fields) < 5 {
		t.Errorf("got %+v", e)
	}
}

func TestDiscordSaysWhenItTakesMore(t *testing.T) {
	for _, tc := range []struct {
		answer sinktest.Fault
		want   time.Duration
	}{
		{sinktest.Status(200, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset-After", "0.25"), 250 * time.Millisecond},
		{sinktest.Status(429, `{"retry_after":0.3,"global":false}`, "X-RateLimit-Reset-After", "0.1"), 300 * time.Millisecond},
		{sinktest.Status(429, "", "X-RateLimit-Reset-After", "0.2"), 200 * time.Millisecond},
		{sinktest.Status(200, "", "X-RateLimit-Remaining", "3", "X-RateLimit-Reset-After", "3600"), 0},
	} {
		var got []discordMessage
		s := discordServer(t, &got)
		out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"format": "discord"}, nil)
		began := time.Now()
		s.Next(tc.answer)
		sinktest.Deliver(t, out, sinktest.Events(t, alert, alert))
		if d := time.Since(began); d < tc.want || tc.want == 0 && d > time.Minute {
			t.Errorf("done after %v, want %v", d, tc.want)
		}
	}
}

func TestSlack(t *testing.T) {
	var got []slackMessage
	s := sinktest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m slackMessage
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.DisallowUnknownFields()
		ok := d.Decode(&m) == nil && m.Text != "" && size(m.Text) <= 3000 && len(m.Blocks) > 0 && len(m.Blocks) <= 50
		for _, block := range m.Blocks {
			switch block.Type {
			case "header":
				ok = ok && block.Text.Type == "plain_text" && size(block.Text.Text) <= 150 && block.Text.Text != ""
			case "section":
				ok = ok && (block.Text != nil || len(block.Fields) > 0) && len(block.Fields) <= 10
				for _, f := range append(block.Fields, slackWord{"mrkdwn", "x"}) {
					ok = ok && f.Type == "mrkdwn" && f.Text != "" && size(f.Text) <= 2000
				}
				if block.Text != nil {
					ok = ok && block.Text.Type == "mrkdwn" && block.Text.Text != "" && size(block.Text.Text) <= 3000
				}
			default:
				ok = ok && block.Type == "divider"
			}
		}
		if !ok {
			http.Error(w, "invalid_blocks", 400)
			return
		}
		got = append(got, m)
		fmt.Fprint(w, "ok")
	})
	out := sinktest.New(t, Kind, "http://"+s.Address(), engine.Values{"mode": "bulk", "format": "slack", "template": "{src_ip} said {alert.signature} {x}"}, nil)
	bodies := []string{alert, `{"alert":{"signature":"` + strings.Repeat("<&>", 2000) + `"},"long":"` + strings.Repeat("&", 5000) + `"}`}
	for range 30 {
		bodies = append(bodies, alert)
	}
	if o := sinktest.Deliver(t, out, sinktest.Events(t, bodies...)); len(o.Delivered) != 32 || len(o.Errors) > 0 {
		t.Fatalf("%d delivered, %v, %v", len(o.Delivered), o.Reasons, o.Errors)
	}
	text, _ := marshal(nil, got)
	if strings.Contains(string(text), `*<!channel>`) || got[0].Blocks[1].Text.Text != "10.0.0.1 said ET &lt;!channel&gt; @everyone -" {
		t.Errorf("got %+v", got[0].Blocks[1].Text)
	}
	if strings.Contains(got[0].Text, "<") {
		t.Error("the notification is not escaped:", got[0].Text)
	}
}
