package main

import (
	"encoding/json"
	"math"
	"strconv"

	"dragonfly/engine/domain"
)

// logistic is a logistic regression on standardized features.
type logistic struct {
	intercept                 float64
	coefficients, mean, scale []float64
}

// ridge is the weight of the squared coefficients.
const ridge = 1e-4

// trainLogistic fits by Newton's method: it has one optimum, which does not depend on chance.
func trainLogistic(s *set) *logistic {
	n := len(s.x[0])
	m := &logistic{coefficients: make([]float64, n), mean: make([]float64, n), scale: make([]float64, n)}
	for j := range n {
		for i, x := range s.x {
			m.mean[j] += s.weight[i] * x[j]
		}
		for i, x := range s.x {
			m.scale[j] += s.weight[i] * (x[j] - m.mean[j]) * (x[j] - m.mean[j])
		}
		m.mean[j], m.scale[j] = round(m.mean[j], 5), round(math.Sqrt(m.scale[j]), 5)
		if m.scale[j] == 0 {
			m.scale[j] = 1
		}
	}
	z := make([]float64, n+1)
	beta := make([]float64, n+1)
	for range 30 {
		gradient := make([]float64, n+1)
		hessian := make([][]float64, n+1)
		for j := range hessian {
			hessian[j] = make([]float64, n+1)
			if j < n {
				hessian[j][j] = ridge
				gradient[j] = ridge * beta[j]
			}
		}
		for i, x := range s.x {
			t := beta[n]
			for j := range n {
				z[j] = (x[j] - m.mean[j]) / m.scale[j]
				t += beta[j] * z[j]
			}
			z[n] = 1
			p := 1 / (1 + math.Exp(-t))
			e, h := p*s.weight[i], p*(1-p)*s.weight[i]
			if s.y[i] {
				e -= s.weight[i]
			}
			for j := range z {
				gradient[j] += e * z[j]
				for k := range j + 1 {
					hessian[j][k] += h * z[j] * z[k]
				}
			}
		}
		step, size := solve(hessian, gradient), 0.0
		for j := range beta {
			beta[j] -= step[j]
			size = max(size, math.Abs(step[j]))
		}
		if size < 1e-9 {
			break
		}
	}
	for j := range n {
		m.coefficients[j] = round(beta[j], 5)
	}
	m.intercept = round(beta[n], 5)
	return m
}

// solve solves a x = b for a symmetric, positive definite a of which the lower half is given (Cholesky).
func solve(a [][]float64, b []float64) []float64 {
	n := len(b)
	x := append([]float64(nil), b...)
	for i := range n {
		for j := range i + 1 {
			for k := range j {
				a[i][j] -= a[i][k] * a[j][k]
			}
			if i == j {
				a[i][i] = math.Sqrt(max(a[i][i], 1e-12))
			} else {
				a[i][j] /= a[j][j]
			}
		}
	}
	for i := range n {
		for k := range i {
			x[i] -= a[i][k] * x[k]
		}
		x[i] /= a[i][i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			x[i] -= a[k][i] * x[k]
		}
		x[i] /= a[i][i]
	}
	return x
}

func (m *logistic) predict(x []float64) float64 {
	t := m.intercept
	for j, c := range m.coefficients {
		t += c * (x[j] - m.mean[j]) / m.scale[j]
	}
	return 1 / (1 + math.Exp(-t))
}

func (m *logistic) json(provenance string) []byte {
	b, err := json.MarshalIndent(struct {
		Model        string    `json:"model"`
		Features     []string  `json:"features"`
		Classes      []int     `json:"classes"`
		Intercept    float64   `json:"intercept"`
		Coefficients []float64 `json:"coefficients"`
		Mean         []float64 `json:"mean"`
		Scale        []float64 `json:"scale"`
		Provenance   string    `json:"provenance"`
	}{"logistic", domain.FeatureNames, []int{0, 1}, m.intercept, m.coefficients, m.mean, m.scale, provenance}, "", " ")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(b, '\n')
}

// round keeps a number of significant digits.
func round(x float64, digits int) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return y
}
