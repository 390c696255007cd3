package remote

import (
	"errors"
	"strconv"

	"dragonfly/engine/store"
)

// errReply is what a reply that is not RESP2 fails with.
var errReply = errors.New("the server's reply is not RESP2")

// parse reads one reply in RESP2 and returns what follows it.
func parse(b []byte, depth int) (r store.Reply, rest []byte, err error) {
	i := 0
	for i+1 < len(b) && (b[i] != '\r' || b[i+1] != '\n') {
		i++
	}
	if i+1 >= len(b) || i == 0 || depth > 128 {
		return r, nil, errReply
	}
	line, rest := string(b[1:i]), b[i+2:]
	switch b[0] {
	case '+':
		return store.Reply{Kind: store.Status, Str: line}, rest, nil
	case '-':
		return store.Reply{Kind: store.Error, Str: line}, rest, nil
	case ':':
		n, err := strconv.ParseInt(line, 10, 64)
		return store.Reply{Kind: store.Int, Int: n}, rest, err
	case '$':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 {
			return store.Reply{}, rest, missing(n, err)
		}
		if n > len(rest)-2 || rest[n] != '\r' || rest[n+1] != '\n' {
			return r, nil, errReply
		}
		return store.Reply{Kind: store.Bulk, Str: string(rest[:n])}, rest[n+2:], nil
	case '*':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 {
			return store.Reply{}, rest, missing(n, err)
		}
		r = store.Reply{Kind: store.Array, Elems: make([]store.Reply, 0, min(n, 1024))}
		for range n {
			var e store.Reply
			if e, rest, err = parse(rest, depth+1); err != nil {
				return r, nil, err
			}
			r.Elems = append(r.Elems, e)
		}
		return r, rest, nil
	}
	return r, nil, errReply
}

// missing returns nil for the length -1 of what is not there.
func missing(n int, err error) error {
	if err == nil && n != -1 {
		err = errReply
	}
	return err
}
