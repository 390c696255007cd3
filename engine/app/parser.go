package app

// at is where in the capture some bytes came from. Bytes of a stream count as come when they are acknowledged, as in Suricata: at
// is then the packet with the acknowledgement.
type at struct {
	time   int64 // nanoseconds since 1970
	packet uint64
	dir    Dir // of that packet
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

// skipper is a parser that knows when it does not need what comes next, only how much it is: the Conn then keeps none of it.
type skipper interface {
	// skip returns how many of the next bytes of dir need not be kept.
	skip(dir Dir) int64
	// skipped stands for a call of stream with n bytes that skip allowed to drop.
	skipped(dir Dir, n int, at at, found func(*Event)) (more bool)
}

// closer is a parser to which the end of one direction of a stream matters.
type closer interface {
	// close says that nothing follows in dir; final, that the packet ended the whole session.
	close(dir Dir, at at, found func(*Event))
	// cut says that what follows in dir is beyond Config.Depth.
	cut(dir Dir, at at, found func(*Event))
}

// changer is a parser whose protocol can give way to another in mid-stream.
type changer interface {
	// change reports whether the next bytes are of another protocol, on which port it would live (0: that of the flow) and which
	// it should be (unknown: any). The Conn asks after each call of stream.
	change() (port uint16, want protocol, ok bool)
}

// quitter is a parser that can find that its protocol is not spoken properly: nothing of the flow is looked at any longer then.
type quitter interface {
	broken() bool
}

// failer is a parser that may go on although what it was given last made no sense to it.
type failer interface {
	senseless() bool
}

// waiter is a parser that knows whether it has something to report at the end of the flow. Of others it is assumed.
type waiter interface {
	waiting() bool
}
