package model

import (
	"fmt"
	"math"
)

// centers are those of k-means, in standardised units.
type centers struct {
	points  [][]float64
	mean    []float64
	scale   []float64
	missing []float64 // what stands in for NaN
}

func newCenters(features int, points [][]float64, mean, scale, missing []float64) (*centers, error) {
	if len(points) == 0 || len(points) > maxClasses {
		return nil, fmt.Errorf("centers: %d, want 1 to %d", len(points), maxClasses)
	}
	mean, scale, missing, err := standard(features, mean, scale, missing)
	if err != nil {
		return nil, err
	}
	for i, p := range points {
		if len(p) != features {
			return nil, fmt.Errorf("centers[%d]: %d numbers for %d features", i, len(p), features)
		}
		if !finite(p...) {
			return nil, fmt.Errorf("centers[%d]: not a finite number", i)
		}
	}
	return &centers{points, mean, scale, missing}, nil
}

// offset returns how far x lies from a center along feature i.
func (c *centers) offset(x, center []float64, i int) float64 {
	v := x[i]
	if math.IsNaN(v) {
		v = c.missing[i]
	}
	return (v-c.mean[i])/c.scale[i] - center[i]
}

func (c *centers) predict(x []float64) Prediction {
	p := Prediction{Margin: math.Inf(1)}
	for k, center := range c.points {
		sum := 0.0
		for i := range center {
			d := c.offset(x, center, i)
			sum += d * d
		}
		if sum < p.Margin {
			p.Class, p.Margin = k, sum
		}
	}
	p.Score = math.Sqrt(p.Margin)
	return p
}
