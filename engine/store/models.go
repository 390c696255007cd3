package store

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The commands of redis-ml, a Redis module that is no longer made, with its argument forms and replies
// (https://oss.redis.com/redisml). They differ from it where it read memory that nobody had set: a number of features other
// than the model's, and a feature that is not a number, are errors here.

// modelKind tells the models apart.
type modelKind byte

const (
	regression modelKind = 'r' // linear and logistic: the command says which
	kmeans     modelKind = 'k'
	matrix     modelKind = 'm'
	forest     modelKind = 'f'
)

// model is a trained model.
type model struct {
	kind       modelKind
	rows, cols int       // of a matrix; centers and dimensions of kmeans
	values     []float64 // intercept and coefficients; centers; entries, row by row
	trees      []tree
	features   []string       // of a forest, by number
	number     map[string]int // of a feature
}

var modelTypes = map[modelKind]string{regression: "RLML_RGRS", kmeans: "RLML_KMNS", matrix: "RLML_MTRX", forest: "RLML_FRST"}

func (m *model) typeName() string { return modelTypes[m.kind] }

func (m *model) bytes() int64 {
	n := int64(160 + 8*len(m.values))
	for _, t := range m.trees {
		n += int64(len(t) * 96)
	}
	for _, f := range m.features {
		n += int64(len(f) + 64)
	}
	return n
}

// modelAt returns the model of that kind at key; as in redis-ml a missing one is an error of the wrong type.
func (c *call) modelAt(key string, kind modelKind) (*model, *entry, *Reply) {
	m, e, bad := typed[*model](c, key)
	if bad != nil || e == nil || m.kind != kind {
		return nil, nil, &wrongType
	}
	return m, e, nil
}

// modelFor returns what the SET of a model may overwrite: nothing, or a model of the same kind.
func (c *call) modelFor(key string, kind modelKind) (*model, *entry, *Reply) {
	m, e, bad := typed[*model](c, key)
	if bad != nil || (e != nil && m.kind != kind) {
		return nil, nil, &wrongType
	}
	return m, e, nil
}

// floats reads numbers; what names them in the error.
func floats(args []string, what string) ([]float64, *Reply) {
	list := make([]float64, len(args))
	for i, a := range args {
		f, err := strconv.ParseFloat(strings.TrimSpace(a), 64)
		if err != nil && !isRange(err) {
			r := Err(fmt.Sprintf("ERR %s %d is not a number: '%s'", what, i+1, clip(a, 64)))
			return nil, &r
		}
		list[i] = f
	}
	return list, nil
}

var modelCommands = []command{
	write1("ml.linreg.set", 4, -1, setRegression),
	write1("ml.logreg.set", 4, -1, setRegression),
	read1("ml.linreg.predict", 3, -1, func(c *call) Reply {
		f, bad := c.regress()
		if bad != nil {
			return *bad
		}
		return double(f)
	}),
	read1("ml.logreg.predict", 3, -1, func(c *call) Reply {
		f, bad := c.regress()
		if bad != nil {
			return *bad
		}
		return double(1 / (1 + math.Exp(-f)))
	}),
	write1("ml.kmeans.set", 4, -1, func(c *call) Reply {
		k, dim, bad := dimensions(c.args)
		if bad != nil {
			return *bad
		}
		if k*dim != len(c.args)-4 {
			return Err(fmt.Sprintf("ERR %d centers of %d dimensions are %d numbers, not %d", k, dim, k*dim, len(c.args)-4))
		}
		values, bad := floats(c.args[4:], "center value")
		if bad != nil {
			return *bad
		}
		return c.putModel(&model{kind: kmeans, rows: k, cols: dim, values: values})
	}),
	read1("ml.kmeans.predict", 3, -1, func(c *call) Reply {
		m, _, bad := c.modelAt(c.args[1], kmeans)
		if bad != nil {
			return *bad
		}
		x, bad := floats(c.args[2:], "feature")
		if bad != nil {
			return *bad
		}
		if len(x) != m.cols {
			return Err(fmt.Sprintf("ERR the model has %d dimensions, the call %d features", m.cols, len(x)))
		}
		best, nearest := math.Inf(1), 0
		for i := range m.rows {
			d := 0.0
			for j, v := range m.values[i*m.cols : (i+1)*m.cols] {
				d += (x[j] - v) * (x[j] - v)
			}
			if d < best {
				best, nearest = d, i
			}
		}
		return integer(int64(nearest))
	}),
	write1("ml.matrix.set", 4, -1, func(c *call) Reply {
		rows, cols, bad := dimensions(c.args)
		if bad != nil {
			return *bad
		}
		if rows*cols != len(c.args)-4 {
			return Err(fmt.Sprintf("ERR a matrix of %d x %d has %d entries, not %d", rows, cols, rows*cols, len(c.args)-4))
		}
		values, bad := floats(c.args[4:], "entry")
		if bad != nil {
			return *bad
		}
		return c.putModel(&model{kind: matrix, rows: rows, cols: cols, values: values})
	}),
	read1("ml.matrix.get", 2, 2, func(c *call) Reply {
		m, _, bad := c.modelAt(c.args[1], matrix)
		if bad != nil {
			return *bad
		}
		list := []Reply{integer(int64(m.rows)), integer(int64(m.cols))}
		for _, v := range m.values {
			list = append(list, double(v))
		}
		return array(list)
	}),
	{name: "ml.matrix.update", min: 5, max: 5, first: 1, last: 1, write: true, run: func(c *call) Reply {
		m, e, bad := c.modelAt(c.args[1], matrix)
		if bad != nil {
			return *bad
		}
		row, good1 := parseInt(c.args[2])
		col, good2 := parseInt(c.args[3])
		v, bad := floats(c.args[4:], "entry")
		if bad != nil {
			return *bad
		}
		if !good1 || !good2 || row < 0 || col < 0 || row >= int64(m.rows) || col >= int64(m.cols) {
			return Err(fmt.Sprintf("ERR row and column count from 0 and must be below %d and %d", m.rows, m.cols))
		}
		m.values[int(row)*m.cols+int(col)] = v[0]
		c.changed(e)
		return ok
	}},
	writeN("ml.matrix.add", 4, 4, 1, 3, func(c *call) Reply {
		return c.matrices("Added matrices dimentions should be equal", func(a, b *model) *model {
			if a.rows != b.rows || a.cols != b.cols {
				return nil
			}
			sum := &model{kind: matrix, rows: a.rows, cols: a.cols, values: slices.Clone(a.values)}
			for i, v := range b.values {
				sum.values[i] += v
			}
			return sum
		})
	}),
	writeN("ml.matrix.multiply", 4, 4, 1, 3, func(c *call) Reply {
		return c.matrices("Wrong matrix dimentions b:rows should equal a:cols", func(a, b *model) *model {
			if a.cols != b.rows {
				return nil
			}
			p := &model{kind: matrix, rows: a.rows, cols: b.cols, values: make([]float64, a.rows*b.cols)}
			for i := range a.rows {
				for k := range a.cols {
					f := a.values[i*a.cols+k]
					for j := range b.cols {
						p.values[i*b.cols+j] += f * b.values[k*b.cols+j]
					}
				}
			}
			return p
		})
	}),
	write1("ml.matrix.scale", 3, 3, func(c *call) Reply {
		m, e, bad := c.modelAt(c.args[1], matrix)
		if bad != nil {
			return *bad
		}
		by, bad := floats(c.args[2:], "factor")
		if bad != nil {
			return *bad
		}
		for i := range m.values {
			m.values[i] *= by[0]
		}
		c.changed(e)
		return ok
	}),
	read1("ml.matrix.print", 2, 2, func(c *call) Reply {
		if _, _, bad := c.modelAt(c.args[1], matrix); bad != nil {
			return *bad
		}
		return ok
	}),
	write1("ml.forest.add", 6, -1, addTree),
	read1("ml.forest.run", 3, -1, runForest),
}

// putModel makes m the value of the command's key.
func (c *call) putModel(m *model) Reply {
	old, e, bad := c.modelFor(c.args[1], m.kind)
	if bad != nil {
		return *bad
	}
	if e != nil {
		*old = *m
		c.changed(e)
	} else {
		c.put(c.args[1], m)
	}
	return ok
}

func setRegression(c *call) Reply {
	values, bad := floats(c.args[2:], "coefficient")
	if bad != nil {
		return *bad
	}
	return c.putModel(&model{kind: regression, values: values})
}

// regress returns intercept + sum of coefficient * feature.
func (c *call) regress() (float64, *Reply) {
	m, _, bad := c.modelAt(c.args[1], regression)
	if bad != nil {
		return 0, bad
	}
	x := c.args[2:]
	if len(x) != len(m.values)-1 {
		r := Err(fmt.Sprintf("ERR the model has %d coefficients, the call %d features", len(m.values)-1, len(x)))
		return 0, &r
	}
	sum := 0.0
	for i, a := range x {
		f, err := strconv.ParseFloat(a, 64)
		if err != nil && !isRange(err) {
			_, bad := floats(x, "feature")
			return 0, bad
		}
		sum += f * m.values[i+1]
	}
	return sum + m.values[0], nil
}

// dimensions reads args[2] and args[3].
func dimensions(args []string) (a, b int, bad *Reply) {
	x, good1 := parseInt(args[2])
	y, good2 := parseInt(args[3])
	if !good1 || !good2 || x <= 0 || y <= 0 || x > 1<<20 || y > 1<<20 {
		r := Err("Matrix dimentions should be positive")
		return 0, 0, &r
	}
	return int(x), int(y), nil
}

// matrices computes args[3] from the matrices args[1] and args[2].
func (c *call) matrices(misfit string, f func(a, b *model) *model) Reply {
	a, _, bad := c.modelAt(c.args[1], matrix)
	if bad != nil {
		return *bad
	}
	b, _, bad := c.modelAt(c.args[2], matrix)
	if bad != nil {
		return *bad
	}
	old, e, bad := c.modelFor(c.args[3], matrix)
	if bad != nil {
		return *bad
	}
	m := f(a, b)
	if m == nil {
		return Err(misfit)
	}
	if e != nil {
		*old = *m
		c.changed(e)
	} else {
		c.put(c.args[3], m)
	}
	return ok
}
