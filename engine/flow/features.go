package flow

import (
	"dragonfly/engine/app"
	"dragonfly/engine/flow/feature"
	"dragonfly/engine/packet"
)

// Features are what is computed of the packets of one flow. Package feature has them.
type Features interface {
	Add(p *packet.Packet, toClient bool) // called once per packet of the flow, in their order
	Append(b []byte) []byte              // the member of the flow event, without a comma: `"features":{...}`
}

// Features may have more abilities than that.
type (
	// resetter can be emptied for another flow.
	resetter interface{ Reset() }
	// turner swaps the directions of what was added: the sender of the first packet was the server.
	turner interface{ Turn() }
)

var (
	_ resetter = (*feature.Features)(nil)
	_ turner   = (*feature.Features)(nil)
)

// featureKinds make them, by Config.Features.
var featureKinds = map[string]func() Features{
	"nfstream": func() Features { return feature.New(feature.NFStream) },
	"cic":      func() Features { return feature.New(feature.CIC) },
}

// FeatureBytes is what the features of one flow need, in bytes; kind is one of Config.Features.
func FeatureBytes(kind string) int64 {
	switch kind {
	case "nfstream":
		return feature.NFStreamBytes
	case "cic":
		return feature.CICBytes
	}
	return 0
}

// measure shows a packet to the features of its flow.
func (m *Meter) measure(e *entry, p *packet.Packet, dir app.Dir) {
	s := m.side(e)
	if s.features == nil {
		if n := len(m.spareFeatures); n > 0 {
			s.features, m.spareFeatures = m.spareFeatures[n-1], m.spareFeatures[:n-1]
		} else {
			s.features = m.newFeatures()
		}
	}
	s.features.Add(p, dir == app.ToClient)
}

// maxSpareFeatures bounds what is kept for the next flows.
const maxSpareFeatures = 4096

// recycle takes the features of a flow that was reported.
func (m *Meter) recycle(s *side) {
	if s.features == nil {
		return
	}
	if r, ok := s.features.(resetter); ok && len(m.spareFeatures) < maxSpareFeatures {
		r.Reset()
		m.spareFeatures = append(m.spareFeatures, s.features)
	}
	s.features = nil
}

func (m *Meter) appendFeatures(b []byte, e *entry) []byte {
	if e.side == 0 || m.sides[e.side].features == nil {
		return b
	}
	return m.sides[e.side].features.Append(append(b, ','))
}
