package app

import "bytes"

// lineEnds says which CR without an LF ends a line.
type lineEnds uint8

const (
	lfEnds    lineEnds = iota // none
	crEnds                    // but for one at the beginning, or before another
	crEndsAll                 // each
)

// readLine takes a line with its end, or what there is when the stream has ended. ok is false when more is needed. The line
// is valid until the next call.
func (s *httpSide) readLine(ends lineEnds) (line []byte, v verdict) {
	rest := s.b[s.pos:]
	i := s.lineLength(rest, ends)
	if i < 0 {
		if s.status == httpClosed {
			line = append(s.line, rest...)
			s.line = nil
			s.pos = len(s.b)
			return line, goOn
		}
		if len(s.line)+len(s.header)+len(rest) > httpMaxLine {
			return nil, stop
		}
		s.line = append(s.line, rest...)
		s.pos = len(s.b)
		return nil, needMore
	}
	s.pos += i + 1
	if len(s.line) == 0 {
		return rest[:i+1], goOn
	}
	if len(s.line)+len(s.header)+i+1 > httpMaxLine {
		return nil, stop
	}
	line = append(s.line, rest[:i+1]...)
	s.line = s.line[:0]
	return line, goOn
}

// lineLength returns where the first line of rest ends; -1 if it does not.
func (s *httpSide) lineLength(rest []byte, ends lineEnds) int {
	if ends == lfEnds {
		return bytes.IndexByte(rest, '\n')
	}
	for k, c := range rest {
		switch {
		case c == '\n':
			return k
		case c == '\r' && k+1 < len(rest) && rest[k+1] != '\n' && (ends == crEndsAll || rest[k+1] != '\r' && k+len(s.line) > 0):
			return k
		}
	}
	return -1
}

// chomp cuts the ends of lines off.
func chomp(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }

// empty reports whether a line has nothing but its end.
func empty(line []byte) bool {
	return len(line) == 0 || len(line) == 1 && (line[0] == '\n' || line[0] == '\r') || string(line) == "\r\n"
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// blank reports whether a line is white space.
func blank(line []byte) bool {
	for _, c := range line {
		if !space(c) {
			return false
		}
	}
	return true
}

// word splits white space, a word and white space off.
func httpWord(b []byte) (word, rest []byte) {
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	i := 0
	for i < len(b) && !space(b[i]) {
		i++
	}
	word, b = b[:i], b[i:]
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	return word, b
}

// headerLine reads one line of headers, and calls add for each that is complete. last is true after the empty line.
func (s *httpSide) headerLine(ends lineEnds, add func(b []byte) bool) (last bool, v verdict) {
	if s.status == httpClosed && s.pos == len(s.b) && len(s.line) == 0 {
		return true, s.flush(add)
	}
	line, v := s.readLine(ends)
	if v != goOn {
		return false, v
	}
	if s.lineEnd(line, ends != lfEnds) {
		return true, s.flush(add)
	}
	line = chomp(line)
	folded := len(line) > 0 && folds(line[0])
	switch {
	case folded && s.folding && s.strict && bytes.IndexByte(line, ':') >= 0 && bytes.IndexByte(s.header, ':') >= 0:
		v := s.flush(add) // not what servers mean by it
		s.header, s.folding = append(s.header[:0], line[1:]...), true
		return false, v
	case folded && s.folding:
		if len(s.header)+len(line) > httpMaxLine {
			return false, stop
		}
		s.header = append(s.header, line...)
		return false, goOn
	case folded && ends != lfEnds:
		line = bytes.TrimLeft(line, " \t\x00")
	}
	if v := s.flush(add); v != goOn {
		return false, v
	}
	if s.pos < len(s.b) && !folds(s.b[s.pos]) {
		if !add(line) {
			return false, stop
		}
		return false, goOn
	}
	s.header, s.folding = append(s.header[:0], line...), true
	return false, goOn
}

// folds reports whether a line that begins with c continues the one before.
func folds(c byte) bool { return c == ' ' || c == '\t' || c == 0 }

// lineEnd passes over the odd ends that lines of responses may have, and reports whether the line is the empty one.
func (s *httpSide) lineEnd(line []byte, response bool) (last bool) {
	n := len(line)
	if !response || n == 0 {
		return empty(line)
	}
	at := func(i int, c byte) bool { return s.pos+i < len(s.b) && s.b[s.pos+i] == c }
	swapped := s.swapped
	s.swapped = false
	switch {
	case n >= 2 && line[n-2] == '\r' && line[n-1] == '\n':
		if swapped && n == 2 && at(0, '\r') {
			s.pos++
			if at(0, '\n') {
				s.pos++
			}
		}
	case line[n-1] == '\n' && at(0, '\r'):
		s.pos++
		s.swapped = true
		return false
	}
	if n == 2 && (line[0] == ' ' || line[0] == '\t') && line[1] == '\n' {
		return s.pos < len(s.b) && s.b[s.pos] != '\n'
	}
	return empty(line)
}

// flush adds the header that waited for continuations.
func (s *httpSide) flush(add func(b []byte) bool) verdict {
	if s.folding {
		s.folding = false
		ok := add(s.header)
		s.header = s.header[:0]
		if !ok {
			return stop
		}
	}
	return goOn
}

// chunkLine reads the length of a chunk, and how many bytes its line has: -1 if there is none, -2 if the line is empty.
func (s *httpSide) chunkLine() (n int64, line []byte, v verdict) {
	if s.status == httpClosed {
		return 0, nil, needMore
	}
	line, v = s.readLine(lfEnds)
	if v != goOn {
		return 0, nil, v
	}
	return parseChunk(line), line, goOn
}

// junk returns how many bytes there are up to the first that cannot begin the length of a chunk; 0 if there is none.
func (s *httpSide) junk() int {
	for i, c := range s.b[s.pos:] {
		if len(s.line) > 0 {
			break
		}
		if space(c) {
			continue
		}
		if l := lower(c); (l < '0' || l > '9') && (l < 'a' || l > 'f') {
			return i + 1
		}
		break
	}
	return 0
}

// parseChunk reads a hexadecimal number, with white space before it; -1 if there is none, -2 if the line is empty.
func parseChunk(b []byte) int64 {
	b = bytes.TrimLeft(b, "\r\n\t \v\f\x00")
	if len(b) == 0 {
		return -2
	}
	n, digits := int64(0), 0
	for ; digits < len(b); digits++ {
		c := lower(b[digits])
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		default:
			goto end
		}
		if n > 1<<31 {
			return -1
		}
	}
end:
	if digits == 0 {
		return -1
	}
	return n
}
