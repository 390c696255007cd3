package feature

import (
	"testing"

	"dragonfly/engine/packet"
)

// at makes a TCP packet with payload, ms after the flow's start.
func at(ms int64, payload uint32, flags uint8, window uint16) packet.Packet {
	return packet.Packet{Time: 1_700_000_000e9 + ms*1e6, Proto: packet.TCP, PayloadLen: payload, Bytes: 54 + payload, TCPFlags: flags, Window: window}
}

// wantFeatures computes the cic vector of packets; back has one letter per packet, > for Fwd and < for Bwd.
func wantFeatures(t *testing.T, back string, want map[string]float64, packets ...packet.Packet) {
	t.Helper()
	dirs := make([]bool, len(back))
	for i := range back {
		dirs[i] = back[i] == '<'
	}
	got, _ := vector(t, CIC, packets, dirs)
	for name, x := range want {
		compare(t, name, got[name], x)
	}
}

// The errors that users of CICFlowMeter reported, one test each; the numbers are those of its issues.

func TestFINOfBothDirectionsCounts(t *testing.T) { // #167: the counter of one direction was that of the other
	wantFeatures(t, "><<", map[string]float64{"fin_flag_count": 2, "rst_flag_count": 1, "ack_flag_count": 3},
		at(0, 0, packet.ACK, 1), at(1, 0, packet.FIN|packet.ACK, 1), at(2, 0, packet.FIN|packet.RST|packet.ACK, 1))
}

func TestPacketsAfterFINBelongToTheFlow(t *testing.T) { // #40, #174: a FIN cut the flow, what followed was another
	wantFeatures(t, "><>>", map[string]float64{"total_fwd_packet": 3, "total_bwd_packets": 1, "flow_duration": 200e6},
		at(0, 0, packet.SYN, 1), at(1, 0, packet.FIN|packet.ACK, 1), at(2, 0, packet.FIN|packet.ACK, 1), at(200e3, 0, packet.ACK, 1))
}

func TestBulksAreOfTheirDirection(t *testing.T) { // #124: references were compared, so all was backward
	wantFeatures(t, ">>>>><<", map[string]float64{"fwd_bytes_bulk_avg": 500, "fwd_packet_bulk_avg": 5, "fwd_bulk_rate_avg": 500 / 0.04,
		"bwd_bytes_bulk_avg": 0, "bwd_packet_bulk_avg": 0, "bwd_bulk_rate_avg": 0},
		at(0, 100, packet.ACK, 1), at(10, 100, packet.ACK, 1), at(20, 100, packet.ACK, 1), at(30, 100, packet.ACK, 1), at(40, 100, packet.ACK, 1),
		at(50, 100, packet.ACK, 1), at(60, 100, packet.ACK, 1))
}

func TestBareACKsDoNotEndABulk(t *testing.T) {
	wantFeatures(t, "><><><>", map[string]float64{"fwd_packet_bulk_avg": 4},
		at(0, 100, 0, 1), at(1, 0, packet.ACK, 1), at(2, 100, 0, 1), at(3, 0, packet.ACK, 1), at(4, 100, 0, 1), at(5, 0, packet.ACK, 1), at(6, 100, 0, 1))
	wantFeatures(t, "><><><>", map[string]float64{"fwd_packet_bulk_avg": 0},
		at(0, 100, 0, 1), at(1, 1, packet.ACK, 1), at(2, 100, 0, 1), at(3, 1, packet.ACK, 1), at(4, 100, 0, 1), at(5, 1, packet.ACK, 1), at(6, 100, 0, 1))
}

func TestSubflowsBeginAfterASecond(t *testing.T) { // #111: a parenthesis made every packet begin one
	wantFeatures(t, "><>>", map[string]float64{"subflow_fwd_packets": 1.5, "subflow_bwd_packets": 0.5, "subflow_fwd_bytes": 15, "subflow_bwd_bytes": 3.5},
		at(0, 10, 0, 1), at(900, 7, 0, 1), at(1900, 10, 0, 1), at(2901, 10, 0, 1))
	wantFeatures(t, "><", map[string]float64{"subflow_fwd_packets": 1, "subflow_bwd_packets": 1}, at(0, 10, 0, 1), at(1, 7, 0, 1))
}

func TestEveryPacketCountsOnce(t *testing.T) { // #45: one too few forward, one too many backward; the first length counted twice
	wantFeatures(t, ">><", map[string]float64{"total_fwd_packet": 2, "total_bwd_packets": 1, "fwd_packet_length_mean": 150, "bwd_packet_length_mean": 30,
		"packet_length_mean": 110, "average_packet_size": 110, "fwd_act_data_pkts": 2, "total_length_of_fwd_packet": 300},
		at(0, 100, 0, 1), at(1, 200, 0, 1), at(2, 30, 0, 1))
}

func TestRatiosAreFractions(t *testing.T) { // GintsEngelen #12: integers were divided
	wantFeatures(t, ">><", map[string]float64{"down_up_ratio": 0.5, "flow_packets_s": 3 / 0.007, "subflow_fwd_bytes": 2},
		at(0, 1, 0, 1), at(3, 1, 0, 1), at(7, 0, 0, 1))
	wantFeatures(t, "<", map[string]float64{"down_up_ratio": 0, "flow_packets_s": 0, "flow_bytes_s": 0}, at(0, 1, 0, 1))
}

func TestInitialWindowsAreTheFirst(t *testing.T) { // GintsEngelen #14: backward it was the last one
	wantFeatures(t, "><><", map[string]float64{"fwd_init_win_bytes": 64240, "bwd_init_win_bytes": 65160},
		at(0, 0, packet.SYN, 64240), at(1, 0, packet.SYN|packet.ACK, 65160), at(2, 0, packet.ACK, 502), at(3, 0, packet.RST, 0))
	wantFeatures(t, ">", map[string]float64{"fwd_init_win_bytes": 0, "bwd_init_win_bytes": -1}, at(0, 0, packet.SYN, 0))
}

func TestActiveAndIdleTimes(t *testing.T) {
	wantFeatures(t, ">>>>>", map[string]float64{"active_min": 1e6, "active_max": 2e6, "active_mean": 1.5e6, "idle_min": 5001e3, "idle_max": 6e6},
		at(0, 0, 0, 1), at(2000, 0, 0, 1), at(7001, 0, 0, 1), at(8001, 0, 0, 1), at(14001, 0, 0, 1))
	wantFeatures(t, ">>", map[string]float64{"active_mean": 5e6, "idle_mean": 0}, at(0, 0, 0, 1), at(5000, 0, 0, 1))
}
