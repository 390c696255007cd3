package app

// at is where in the capture some bytes came from.
type at struct {
	time   int64 // nanoseconds since 1970
	packet uint64
}

// parser reads one protocol of one flow. The Conn has put the bytes in order and recognised the protocol.
type parser interface {
	// stream takes the next bytes of one direction of a TCP stream, from where the last call stopped, and returns how many it
	// is done with: the rest comes again, with more behind it. The Conn bounds how much can wait. more is false when nothing
	// of this flow is of interest any longer.
	stream(dir Dir, b []byte, at at, found func(*Event)) (n int, more bool)
	// gap says that n bytes of dir, after those of the last call, were not captured; it reports whether reading on makes sense.
	gap(dir Dir, n int) (more bool)
	// datagram takes the payload of one UDP packet.
	datagram(dir Dir, b []byte, at at, found func(*Event)) (more bool)
	// end says that the flow has ended.
	end(time int64, found func(*Event))
}
