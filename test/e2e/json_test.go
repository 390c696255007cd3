package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestJSONThroughThePipeline sends each case of engine/lazyjson/testdata/json.txt as the value of a field, and as a line of
// its own, through a filter that passes events on and an analyzer that writes to another field. What is an object arrives
// byte for byte, everything else in the dead letter, byte for byte too.
func TestJSONThroughThePipeline(t *testing.T) {
	file, err := os.ReadFile("../../engine/lazyjson/testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	var in, want strings.Builder
	var dead []string
	delivered := 0
	send := func(line string) {
		fmt.Fprintln(&in, line)
		switch {
		case json.Valid([]byte(line)) && strings.HasPrefix(strings.TrimLeft(line, " \t\r"), "{"):
			delivered++
			end := strings.LastIndexByte(line, '}')
			comma := ","
			if strings.Trim(line[:end], " \t\r{") == "" {
				comma = ""
				end = strings.IndexByte(line, '{') + 1
			}
			fmt.Fprintln(&want, strings.TrimRight(line[:end], " \t\r")+comma+`"added":true`+line[len(strings.TrimRight(line[:end], " \t\r")):])
		case strings.TrimSpace(line) != "":
			dead = append(dead, line)
		}
	}
	for line := range strings.Lines(string(file)) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(words) < 3 || words[0] == "#" {
			continue
		}
		literal, err := strconv.QuotedPrefix(words[2])
		if err != nil {
			continue // a sentence
		}
		text, _ := strconv.Unquote(literal)
		if strings.ContainsAny(text, "\r\n") {
			continue // more than one line
		}
		send(`{"v":` + text + `}`)
		send(text)
	}
	send(strings.Repeat(`{"a":`, 1000) + `1` + strings.Repeat(`}`, 1000))
	send(strings.Repeat(`{"a":`, 1001) + `1` + strings.Repeat(`}`, 1001))
	dead = append(dead, strings.Repeat(`{"a":`, 1001)+`1`+strings.Repeat(`}`, 1001))
	out := strings.Split(want.String(), "\n")
	want.Reset()
	want.WriteString(strings.Join(append(out[:len(out)-2], ""), "\n"))
	delivered--

	r := passThrough(t, "file://IN")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"file://IN"`, `"file://`+r.path("in.json")+`"`, 1))
	r.write("analyzer/pass.lua", `function setup() end
function loop(e) local v = e.v e.added = true dragonfly.output_event(default_output, e) end`)
	r.write("in.json", in.String())
	r.drained(fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered %d (", delivered+len(dead), delivered, len(dead)))
	got := strings.Split(r.read("log/out.json"), "\n")
	for i, w := range strings.Split(want.String(), "\n") {
		if i >= len(got) || got[i] != w {
			t.Fatalf("event %d: got %.200q, want %.200q", i, got[min(i, len(got)-1)], w)
		}
	}
	letters := strings.Split(strings.TrimSpace(r.read("log/dead-letter.json")), "\n")
	if len(letters) != len(dead) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(dead))
	}
	for i, line := range letters {
		var d struct{ Reason, Error string }
		if err := json.Unmarshal([]byte(line), &d); err != nil || d.Error == "" || d.Reason != "malformed" && d.Reason != "not_object" {
			t.Errorf("%.200s is the dead letter of %.200q: %v", line, dead[i], err)
		}
	}
}
