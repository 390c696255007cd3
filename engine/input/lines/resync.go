package lines

import (
	"strings"

	"dragonfly/engine/lazyjson"
)

// eventStart is how each of Suricata's events begins.
const eventStart = `{"timestamp":`

// mostStarts bounds how many places of a line Resync tries.
const mostStarts = 16

// Resync separates what a sender glued together that could write only a part of an event and went on with the next in the
// same line: broken is the cut piece (or several), rest the whole event behind it. For a line that is valid JSON, or in
// which no valid event begins later, rest is "". A line without a second beginning costs one search.
func Resync(line string) (broken, rest string) {
	at := next(line, 0)
	if at < 0 || lazyjson.Validate(line) == nil {
		return line, ""
	}
	for range mostStarts {
		if lazyjson.Validate(line[at:]) == nil {
			return line[:at], line[at:]
		}
		if at = next(line, at); at < 0 {
			break
		}
	}
	if at = strings.LastIndex(line, eventStart); at > 0 && lazyjson.Validate(line[at:]) == nil {
		return line[:at], line[at:]
	}
	return line, ""
}

// next returns the offset of the first eventStart behind at, or -1.
func next(line string, at int) int {
	if len(line) <= at {
		return -1
	}
	i := strings.Index(line[at+1:], eventStart)
	if i < 0 {
		return -1
	}
	return at + 1 + i
}
