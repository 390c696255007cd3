package flow

// ending is why a flow has ended.
type ending uint8

const (
	endIdle    ending = iota // no packet for the timeout
	endActive                // it lasted for Config.Active; it goes on as another flow
	endClosed                // its addresses and ports began another connection
	endEvicted               // to make room
	endClose                 // of the meter
	endings
)

// reasons are as in EVE; "active" is ours.
var reasons = [endings]string{"timeout", "active", "timeout", "forced", "shutdown"}

// rfc5102 returns the flowEndReason: 1 idle, 2 active timeout, 3 end of the flow was seen, 4 forced, 5 lack of resources.
func (why ending) rfc5102(e *entry) uint8 {
	if why == endIdle && e.state == stateClosed {
		return 3
	}
	return [endings]uint8{1, 2, 3, 5, 4}[why]
}

// Stats are the counts of a meter since it was made. Packets is the sum of OtherProtocol, ICMPErrors and the packets of all
// flows, reported (Reported) or not. Flows is the sum of the Ended counts and Active.
type Stats struct {
	Packets       uint64 // that Packet was called with
	OtherProtocol uint64 // not metered: neither TCP, UDP, SCTP, ICMP, ICMPv6 nor ESP
	ICMPErrors    uint64 // not metered: errors that do not tell about a packet of a flow that is known
	Reported      uint64 // packets of the flows that ended

	Flows        uint64 // made; one that goes on after an active timeout is another
	EndedIdle    uint64
	EndedActive  uint64 // after Config.Active
	EndedReused  uint64 // its addresses and ports began another connection
	EndedEvicted uint64
	EndedClosed  uint64 // by Close

	EvictedNew, EvictedEstablished, EvictedClosed uint64 // by the state they had; the sum is EndedEvicted

	Active int // flows now
	Bytes  int // of memory for the table, without the application layers
}

// counts are Stats as they are counted.
type counts struct {
	packets, otherProtocol, icmpErrors, reported, flows uint64

	ended   [endings]uint64
	evicted [states]uint64
}

// Stats returns the counts so far.
func (m *Meter) Stats() Stats {
	c := &m.counts
	return Stats{
		Packets: c.packets, OtherProtocol: c.otherProtocol, ICMPErrors: c.icmpErrors, Reported: c.reported, Flows: c.flows,
		EndedIdle: c.ended[endIdle], EndedActive: c.ended[endActive], EndedReused: c.ended[endClosed],
		EndedEvicted: c.ended[endEvicted], EndedClosed: c.ended[endClose],
		EvictedNew: c.evicted[stateNew], EvictedEstablished: c.evicted[stateEstablished], EvictedClosed: c.evicted[stateClosed],
		Active: m.table.count,
		Bytes:  len(m.table.slabs)*slabSize*entryBytes + 4*(len(m.table.buckets)+len(m.table.old)),
	}
}
