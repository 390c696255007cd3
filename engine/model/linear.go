package model

import (
	"fmt"
	"math"
)

// linear is one weighted sum of the features, or one for each class:
// margin = intercept + sum of weight * (x - mean).
type linear struct {
	intercept []float64   // by output
	weights   [][]float64 // by output and feature, divided by the feature's scale
	mean      []float64   // by feature
	missing   []float64   // by feature: what stands in for NaN
}

// newLinear checks the shapes. mean, scale and missing may be nil: 0, 1 and the mean.
func newLinear(features int, intercept []float64, weights [][]float64, mean, scale, missing []float64) (*linear, error) {
	if len(intercept) != len(weights) {
		return nil, fmt.Errorf("intercept: %d numbers for %d rows of coefficients", len(intercept), len(weights))
	}
	if !finite(intercept...) {
		return nil, fmt.Errorf("intercept: not a finite number")
	}
	mean, scale, missing, err := standard(features, mean, scale, missing)
	if err != nil {
		return nil, err
	}
	l := &linear{intercept: intercept, mean: mean, missing: missing, weights: make([][]float64, len(weights))}
	for i, row := range weights {
		if len(row) != features {
			return nil, fmt.Errorf("coefficients: row %d has %d numbers for %d features", i, len(row), features)
		}
		w := make([]float64, features)
		for j, c := range row {
			if w[j] = c / scale[j]; !finite(w[j]) {
				return nil, fmt.Errorf("coefficients: number %d of row %d divided by its scale is not finite", j, i)
			}
		}
		l.weights[i] = w
	}
	return l, nil
}

// standard checks the optional numbers of a standardisation and fills in their defaults.
func standard(features int, mean, scale, missing []float64) (m, s, fill []float64, err error) {
	for _, v := range []struct {
		name string
		list []float64
	}{{"mean", mean}, {"scale", scale}, {"missing", missing}} {
		if v.list != nil && len(v.list) != features {
			return nil, nil, nil, fmt.Errorf("%s: %d numbers for %d features", v.name, len(v.list), features)
		}
		if !finite(v.list...) {
			return nil, nil, nil, fmt.Errorf("%s: not a finite number", v.name)
		}
	}
	if mean == nil {
		mean = make([]float64, features)
	}
	if missing == nil {
		missing = mean
	}
	if scale == nil {
		scale = make([]float64, features)
		for i := range scale {
			scale[i] = 1
		}
	}
	for i, v := range scale {
		if v <= 0 {
			return nil, nil, nil, fmt.Errorf("scale: number %d is %v, want a positive number (1 for a constant feature)", i, v)
		}
	}
	return mean, scale, missing, nil
}

// term returns what feature i adds to an output's margin.
func (l *linear) term(x []float64, output, i int) float64 {
	v := x[i]
	if math.IsNaN(v) {
		v = l.missing[i]
	}
	return l.weights[output][i] * (v - l.mean[i])
}

func (l *linear) margin(x []float64, output int) float64 {
	w := l.weights[output]
	x, mean := x[:len(w)], l.mean[:len(w)]
	sum := l.intercept[output]
	for i, c := range w {
		sum += c * (x[i] - mean[i])
	}
	if !math.IsNaN(sum) {
		return sum
	}
	sum = l.intercept[output]
	for i := range w {
		sum += l.term(x, output, i)
	}
	return sum
}
