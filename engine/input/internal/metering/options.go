// Package metering is what the inputs that meter packets have in common (pcap://, flow://): the options of their rows, and
// the way of a meter's events into batches of records.
package metering

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/app"
	"dragonfly/engine/flow"
	"dragonfly/engine/packet/filter"
)

// events are the event types that a row can choose.
var events = []string{"flow", "dns", "http", "tls", "quic", "ssh"}

// pending bounds what waits, per direction of a stream, for a segment that is missing.
const pending = 64 << 10 // bytes

// Options are the keys of a row that meters packets. The timeouts are Suricata's.
var Options = append(timeouts(),
	engine.Option{Key: "active_timeout", Type: engine.Duration, Default: time.Duration(0), Max: 86400 * 365, Doc: "A flow that lasts longer is reported and begins anew; 0 is never, as in Suricata."},
	engine.Option{Key: "vlan", Type: engine.Bool, Default: true, Doc: "VLAN ids are part of the flow key: equal addresses and ports in two VLANs are two flows."},
	engine.Option{Key: "flow_memory", Type: engine.Bytes, Default: int64(256 << 20), Min: 1 << 20, Max: 1 << 40, Doc: fmt.Sprintf("Memory of the flow table in bytes: a flow needs %d, %d more while its application is looked at, and %d more with features. When it is full, the flow that is worth least is reported and goes: unanswered before closed before established ones, the oldest first.", flow.FlowBytes, flow.AppBytes, flow.FeatureBytes("cic"))},
	engine.Option{Key: "max_flows", Type: engine.Int, Default: int64(0), Max: 1 << 31, Doc: "How many flows the table holds at most, as far as flow_memory has room for them; 0: only flow_memory counts."},
	engine.Option{Key: "meters", Type: engine.Int, Default: int64(1), Min: 1, Max: 256, Doc: "Flow tables that work side by side, each on a core of its own. Packets between the same two addresses come to the same one; the limits above are shared among them."},
	engine.Option{Key: "events", Type: engine.Strings, Default: slices.Clone(events), Doc: "Event types to make: of " + strings.Join(events, ", ") + ". Without those of applications the protocol of a flow is recognised all the same."},
	engine.Option{Key: "app", Type: engine.Bool, Default: true, Doc: "Payloads are looked at. false: flow events only, without app_proto, at half the cost."},
	engine.Option{Key: "filter", Type: engine.String, Doc: "Which packets to meter, in the language of tcpdump (pcap-filter): `tcp port 443 and not net 10.0.0.0/8`; \"\" is all. Packets with a VLAN tag want the word vlan (`vlan and port 53`); not so live, where the kernel has taken the outermost tag off when it filters: there, without that word, they count as untagged."},
	engine.Option{Key: "dns_version", Type: engine.Int, Default: int64(2), Min: 2, Max: 3, Doc: "Shape of dns events: 2 as Suricata 5 to 7 writes them (an event for each question), 3 as Suricata 8 does."},
	engine.Option{Key: "ja3", Type: engine.Bool, Default: true, Doc: "JA3 and JA3S in tls and quic events."},
	engine.Option{Key: "ja4", Type: engine.Bool, Default: true, Doc: "JA4 in tls and quic events."},
	engine.Option{Key: "ja_like", Type: engine.String, Default: "suricata", Enum: []string{"suricata", "specification"}, Doc: "Where the two differ (clients without signature algorithms or extensions, a second hello, QUIC's GREASE), JA3 and JA4 are what Suricata 7 writes, so that they can be joined with its events, or what their specifications say."},
	engine.Option{Key: "app_depth", Type: engine.Bytes, Default: int64(1 << 20), Max: 1 << 40, Doc: "Bytes of each direction of a stream that are looked at for events of applications; 0 is no limit."},
	engine.Option{Key: "app_memory", Type: engine.Bytes, Default: int64(64 << 20), Min: 1 << 20, Max: 1 << 40, Doc: "Memory in bytes for what of streams waits for segments or acknowledgements, and for hellos that are not complete, of all flows together. A flow that needs more when it is used up gives no more events of its application, and is counted."},
	engine.Option{Key: "community_id_seed", Type: engine.Int, Default: int64(0), Max: 65535, Doc: "Seed of community_id; equal in all tools whose ids are to be joined."},
	engine.Option{Key: "features", Type: engine.String, Default: "", Enum: []string{"", "nfstream", "cic"}, Doc: "Statistical features in flow events, for models: as NFStream names them, or as CICFlowMeter does."},
)

// timeouts returns the options of idle times.
func timeouts() (list []engine.Option) {
	option := func(key, what string, idle time.Duration) {
		list = append(list, engine.Option{Key: key, Type: engine.Duration, Default: idle, Min: 1, Max: 86400 * 30,
			Doc: strings.ToUpper(what[:1]) + what[1:] + " without packets for so long has ended; whole seconds, rounded up."})
	}
	option("tcp_new", "a TCP connection that is not established", time.Minute)
	option("tcp_established", "a TCP connection", 10*time.Minute)
	option("tcp_closed", "a TCP connection that was closed or reset", time.Minute)
	option("udp_new", "a UDP flow that was not answered", 30*time.Second)
	option("udp_established", "a UDP flow that was answered", 5*time.Minute)
	option("icmp_new", "an ICMP flow that was not answered", 30*time.Second)
	option("icmp_established", "an ICMP flow that was answered", 5*time.Minute)
	option("other_new", "a flow of another protocol that was not answered", 30*time.Second)
	option("other_established", "a flow of another protocol that was answered", 5*time.Minute)
	return list
}

// Settings is what the Options of a row say.
type Settings struct {
	Flow   flow.Config // of each meter: its part of the flows
	Flows  bool        // flow events are wanted
	Meters int         // 1 or more
	Filter string      // an expression for filter.Compile, which compiles for Ethernet; "" is all
}

// New reads the options of a row. in is the interface, "" for capture files. Errors are *engine.ConfigError values.
func New(v engine.Values, in string) (Settings, error) {
	s := Settings{Meters: max(1, int(v.Int("meters")))}
	chosen := v.Strings("events")
	for _, name := range chosen {
		if !slices.Contains(events, name) {
			return s, &engine.ConfigError{Key: "events", Msg: fmt.Sprintf("has %q, want some of %s", name, strings.Join(events, ", "))}
		}
	}
	if len(chosen) == 0 {
		return s, &engine.ConfigError{Key: "events", Msg: "is empty, want some of " + strings.Join(events, ", ")}
	}
	s.Filter = strings.TrimSpace(v.String("filter"))
	if _, err := filter.Compile(s.Filter, filter.Ethernet, filter.Kernel); err != nil {
		return s, &engine.ConfigError{Key: "filter", Msg: strings.TrimPrefix(err.Error(), "filter: ")}
	}
	wants := func(name string) bool { return slices.Contains(chosen, name) }
	idle := func(proto string) flow.Timeouts {
		return flow.Timeouts{New: v.Duration(proto + "_new"), Established: v.Duration(proto + "_established"), Closed: v.Duration(proto + "_closed")}
	}
	most := int(v.Int("max_flows"))
	if most > 0 {
		most = max(16, most/s.Meters)
	}
	if s.Flows = wants("flow"); !v.Bool("app") && !s.Flows {
		return s, &engine.ConfigError{Key: "app", Msg: "is false, and events has no flow: nothing would come"}
	}
	s.Flow = flow.Config{
		TCP: idle("tcp"), UDP: idle("udp"), ICMP: idle("icmp"), Other: idle("other"),
		Active: v.Duration("active_timeout"), VLAN: v.Bool("vlan"), MaxFlows: most, Memory: v.Int("flow_memory") / int64(s.Meters),
		Interface: in, Features: v.String("features"), NoApp: !v.Bool("app"), Seed: uint16(v.Int("community_id_seed")),
		App: app.Config{
			DNS: wants("dns"), HTTP: wants("http"), TLS: wants("tls"), QUIC: wants("quic"), SSH: wants("ssh"),
			DNSVersion: int(v.Int("dns_version")), JA3: v.Bool("ja3"), JA4: v.Bool("ja4"), JA4QUIC: v.Bool("ja4"), SuricataJA: v.String("ja_like") != "specification",
			Memory: app.Memory{Limit: v.Int("app_memory") / int64(s.Meters)}, Depth: v.Int("app_depth"), Pending: pending,
		},
	}
	return s, nil
}
