// Package feature computes a vector of numbers per flow, from its packets, for models: under the names that NFStream or
// CICFlowMeter use for them. What exporters call by one name they compute in different ways, so this is what we compute.
//
// # Both kinds
//
// Directions: src2dst and Fwd are from the client, the sender of the flow's first packet, to the server; dst2src and Bwd the
// other way. The first packet counts as every other.
//
// Time: of the capture, in nanoseconds; a packet that is older than the one before counts as of the same time, so that no gap
// is negative and the gaps add up to the duration. Outputs have fractions: milliseconds (nfstream) or microseconds (cic) to
// the nanosecond.
//
// Statistics: sums and sums of squares are exact integers (128 bits), so a deviation does not suffer from large means. The
// deviation and the variance are those of a sample (divided by n - 1), as both originals have them; with fewer than two
// values they are 0. Minimum, maximum and mean of no value are 0: no number is ever NaN or infinite, and rates over a
// duration of 0 are 0.
//
// Size: a flow needs NFStreamBytes or CICBytes, whatever its length.
//
// What closes a flow is the flow table's part: a flow has one vector from its first to its last packet, FIN and RST included,
// and it is not cut into pieces (unless active_timeout says so).
//
// # nfstream
//
// The names and units of NFStream 6 (https://www.nfstream.org/docs/api), with statistical_analysis and splt_analysis = 20:
//
//	{bidirectional,src2dst,dst2src}_first_seen_ms, _last_seen_ms  milliseconds since 1970, whole; 0 where no packet was
//	..._duration_ms             from the first to the last packet
//	..._packets, ..._bytes
//	..._{min,mean,stddev,max}_ps       size of packets in bytes
//	..._{min,mean,stddev,max}_piat_ms  gaps between packets; of a direction, between its own packets
//	..._{syn,cwr,ece,urg,ack,psh,rst,fin}_packets  packets with this flag
//	splt_direction, splt_ps, splt_piat_ms  of the first 20 packets: 0 src2dst, 1 dst2src; size; gap to the packet
//	                            before, 0 for the first. Lists of 20 numbers, filled up with -1
//
// The size of a packet is that of flow.bytes_toserver in EVE: with the link layer, as in NFStream's accounting_mode 0.
// NFStream cuts times to whole milliseconds before it computes gaps; we do not.
//
// # cic
//
// The 76 columns of CICFlowMeter 4 from "Flow Duration" to "Idle Min". A name is the column's in lower case, with _
// for what is neither letter nor digit: "Flow Bytes/s" is flow_bytes_s. All times are microseconds.
//
//	Packet Length ..., Segment Size ..., Total Length ..., Flow Bytes/s, Average Packet Size, Subflow ... Bytes, bulks
//	                       count the payload of the transport, as the headers state it: 0 for a bare ACK
//	Header Length, Fwd Seg Size Min  transport header, of TCP with its options; 8 for UDP, ICMP, ESP
//	IAT                    gaps between packets of the flow, or of one direction
//	Flag Count             packets with this flag, both directions; Fwd/Bwd PSH/URG Flags: of one
//	Down/Up Ratio          Bwd packets / Fwd packets, a fraction
//	Act Data Pkts          Fwd packets with payload
//	Init Win Bytes         the window of the direction's first TCP packet, not scaled; -1 without one
//	Active, Idle           a gap of more than 5 s is idle; what lies between two such gaps (or the flow's ends) is active, for
//	                       the time from its first to its last packet. Active times of one packet do not count
//	Subflow                a gap of more than 1 s begins a new subflow: totals / number of subflows, fractions
//	Bulk                   at least 4 packets with payload in one direction, at most 1 s apart, without payload of the other
//	                       direction between them; averages per bulk, and bytes per second from its first to its last packet
//
// Where CICFlowMeter errs we do not follow: it counts the first packet's length twice (and not as active data), compares
// references where it looks for a packet's direction in bulks, begins subflows at every packet because of a misplaced
// parenthesis, divides integers, and gives the last backward window as the initial one.
package feature
