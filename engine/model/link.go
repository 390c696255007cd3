package model

import "math"

// link turns margins into what a model answers.
type link struct {
	kind  linkKind
	scale float64 // linkSigmoid, linkEachSigmoid: the slope; linkIsolation: the offset
}

type linkKind uint8

const (
	linkIdentity    linkKind = iota
	linkSigmoid              // 1/(1+exp(-scale*x))
	linkSoftmax              // exp(x)/sum
	linkEachSigmoid          // sigmoid of each
	linkShares               // sigmoid of each, divided by their sum: scikit-learn's one-versus-rest
	linkExp                  // exp(x)
	linkSquare               // x*|x|: LightGBM's reg_sqrt
	linkSoftplus             // log(1+exp(x)): LightGBM's cross_entropy_lambda
	linkStep                 // 1 if x > 0: XGBoost's hinge
	linkLogit                // identity, though the margin is a log-odds: XGBoost's binary:logitraw
	linkIsolation            // 2^x
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// one is the link of a model with one margin.
func (l link) one(x float64) float64 {
	switch l.kind {
	case linkSigmoid:
		return sigmoid(l.scale * x)
	case linkExp:
		return math.Exp(x)
	case linkSquare:
		return x * math.Abs(x)
	case linkSoftplus:
		if x > 40 {
			return x
		}
		return math.Log1p(math.Exp(x))
	case linkStep:
		if x > 0 {
			return 1
		}
		return 0
	case linkIsolation:
		return math.Exp2(x)
	}
	return x
}

// positive reports whether a margin of a Binary model stands for its second class: a probability above one half.
func (l link) positive(x float64) bool {
	if l.kind == linkIdentity { // the margin is the probability
		return x > 0.5
	}
	return x > 0
}

// all replaces margins by probabilities.
func (l link) all(p []float64) {
	switch l.kind {
	case linkSoftmax:
		top, sum := p[argmax(p)], 0.0
		for i, v := range p {
			p[i] = math.Exp(v - top)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
	case linkEachSigmoid:
		for i, v := range p {
			p[i] = sigmoid(l.scale * v)
		}
	case linkShares:
		sum := 0.0
		for i, v := range p {
			p[i] = sigmoid(v)
			sum += p[i]
		}
		for i := range p {
			if sum > 0 {
				p[i] /= sum
			} else {
				p[i] = 1 / float64(len(p))
			}
		}
	}
}
