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

// tree is the nodes of a decision tree; the root is the first.
type tree []treeNode

type treeNode struct {
	set         bool // a node was given for this path
	leaf        bool
	feature     int32
	left, right int32     // places in the tree; 0 is none
	threshold   float64   // numeric: left when the value is not more
	categories  []string  // categorical: left when the value is one of them
	value       float64   // of a leaf
	votes       []float64 // of a leaf, by class, in sum 1
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

// maxDepth bounds the path of a tree's node.
const maxDepth = 1000

// addTree is ML.FOREST.ADD key tree path (NUMERIC attr val | CATEGORIC attr v:v | LEAF val [STATS n:n]) ...
func addTree(c *call) Reply {
	old, e, bad := c.modelFor(c.args[1], forest)
	if bad != nil {
		return *bad
	}
	f := &model{kind: forest, number: map[string]int{}}
	if e != nil {
		f = old
	}
	id, good := parseFloat(c.args[2])
	if !good || id < 0 || id > float64(len(f.trees)) || id != math.Trunc(id) {
		return Err(fmt.Sprintf("ERR the tree's number '%s' must be from 0 to %d, the number of trees", clip(c.args[2], 32), len(f.trees)))
	}
	var t tree
	if int(id) < len(f.trees) {
		t = slices.Clone(f.trees[int(id)])
	}
	features := slices.Clone(f.features)
	number := f.number
	if e != nil {
		number = make(map[string]int, len(features))
		for i, name := range features {
			number[name] = i
		}
	}
	args := make([]string, 0, len(c.args)) // a model file read whole ends with a line feed
	for _, a := range c.args {
		if a = strings.TrimSpace(a); a != "" || len(args) < 3 {
			args = append(args, a)
		}
	}
	next := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	for i := 3; i < len(args); {
		path, kind := args[i], strings.ToUpper(next(i+1))
		if path == "" || len(path) > maxDepth || strings.Trim(strings.ToLower(path[1:]), "lr") != "" {
			return Err("Tree node path containes wrong characters, should be 'r' or 'l'")
		}
		n := treeNode{set: true}
		need := 4
		if kind == "LEAF" {
			need = 3
		}
		if i+need > len(args) {
			return Err(fmt.Sprintf("ERR the node %s is not complete", clip(path, 64)))
		}
		i += 2
		switch kind {
		case "NUMERIC", "CATEGORIC":
			name := featureName(args[i])
			at, known := number[name]
			if !known {
				at = len(features)
				name = strings.Clone(name)
				number[name] = at
				features = append(features, name)
			}
			n.feature = int32(at)
			if kind == "NUMERIC" {
				v, bad := floats(args[i+1:i+2], "split value")
				if bad != nil {
					return *bad
				}
				n.threshold = v[0]
			} else {
				n.categories = strings.Split(strings.Clone(args[i+1]), ":")
			}
			i += 2
		case "LEAF":
			v, bad := floats(args[i:i+1], "leaf value")
			if bad != nil {
				return *bad
			}
			n.leaf, n.value = true, v[0]
			i++
			if is(next(i), "stats") && i+1 < len(args) {
				if n.votes, bad = votes(args[i+1]); bad != nil {
					return *bad
				}
				i += 2
			} else if v[0] >= 0 && v[0] < maxClasses {
				n.votes = make([]float64, int(v[0])+1)
				n.votes[int(v[0])] = 1
			}
		default:
			return Err("Wrong node type , should be 'NUMERIC', 'CATEGORIC' or 'LEAF'")
		}
		if !t.add(strings.ToLower(path[1:]), n) {
			return Err(fmt.Sprintf("ERR the node %s has no parent", clip(path, 64)))
		}
	}
	for i := range t {
		if n := &t[i]; n.set && !n.leaf && (n.left == 0 || n.right == 0) {
			return Err("Tree contains null nodes")
		}
	}
	f.features, f.number = features, number
	if int(id) == len(f.trees) {
		f.trees = append(f.trees, t)
	} else {
		f.trees[int(id)] = t
	}
	if e == nil {
		c.put(c.args[1], f)
	} else {
		c.changed(e)
	}
	return ok
}

// maxClasses bounds the classes of a forest.
const maxClasses = 1024

// votes reads "3:1:0", the training samples of each class in a leaf.
func votes(s string) ([]float64, *Reply) {
	list, bad := floats(strings.Split(s, ":"), "count in STATS")
	if bad != nil {
		return nil, bad
	}
	total := 0.0
	for _, n := range list {
		total += n
	}
	if total <= 0 || len(list) > maxClasses {
		r := Err(fmt.Sprintf("ERR STATS '%s' must be 1 to %d counts that are not all 0", clip(s, 64), maxClasses))
		return nil, &r
	}
	for i := range list {
		list[i] /= total
	}
	return list, nil
}

// featureName makes names of equal numbers equal: "1", "1.0".
func featureName(s string) string {
	if len(s) == 1 || s == "" || (s[0] != '-' && (s[0] < '0' || s[0] > '9')) {
		return s
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatInt(int64(f), 10)
	}
	return s
}

// add puts n at the path of l and r below the root; false if its parent is missing.
func (t *tree) add(path string, n treeNode) bool {
	if path == "" {
		if len(*t) == 0 {
			*t = append(*t, n)
			return true
		}
		n.left, n.right = (*t)[0].left, (*t)[0].right
		(*t)[0] = n
		return true
	}
	if len(*t) == 0 {
		return false
	}
	at := int32(0)
	for i := range len(path) {
		p := &(*t)[at]
		if p.leaf {
			return false
		}
		child := &p.left
		if path[i] == 'r' {
			child = &p.right
		}
		if *child == 0 {
			if i < len(path)-1 {
				return false
			}
			*child = int32(len(*t))
			*t = append(*t, n)
			return true
		}
		at = *child
	}
	n.left, n.right = (*t)[at].left, (*t)[at].right
	(*t)[at] = n
	return true
}

// leaf returns where a sample ends. Features that the sample does not name are 0.
func (t tree) at(x []float64, text []string) *treeNode {
	n := &t[0]
	for !n.leaf {
		left := false
		if n.categories == nil {
			left = x[n.feature] <= n.threshold
		} else {
			for _, c := range n.categories {
				if left = sameValue(c, text[n.feature]); left {
					break
				}
			}
		}
		if left {
			n = &t[n.left]
		} else {
			n = &t[n.right]
		}
	}
	return n
}

// sameValue compares categories: as numbers if both are, else as texts.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && x == y
}

// runForest is ML.FOREST.RUN key attr:val,attr:val [CLASSIFICATION|REGRESSION].
func runForest(c *call) Reply {
	if len(c.args) > 4 {
		return errArity("ml.forest.run")
	}
	m, _, bad := c.modelAt(c.args[1], forest)
	if bad != nil {
		return *bad
	}
	classify := len(c.args) == 3 || is(c.args[3], "classification")
	if !classify && !is(c.args[3], "regression") {
		return Err("ERR the last argument must be CLASSIFICATION or REGRESSION")
	}
	x, text := make([]float64, len(m.features)), make([]string, len(m.features))
	for i := range text {
		text[i] = "0"
	}
	for pair := range strings.SplitSeq(c.args[2], ",") {
		name, val, both := strings.Cut(pair, ":")
		if !both || name == "" || val == "" {
			return Err("Feature vector parsing failed. Format should be : 'key:val,key:val'...")
		}
		if at, known := m.number[featureName(name)]; known {
			text[at] = val
			x[at], _ = strconv.ParseFloat(val, 64) // a text is 0 where a tree compares numbers
		}
	}
	if !classify {
		sum := 0.0
		for _, t := range m.trees {
			sum += t.at(x, text).value
		}
		return double(sum / float64(len(m.trees)))
	}
	var sums [maxClasses]float64
	best := 0
	for _, t := range m.trees {
		for class, share := range t.at(x, text).votes {
			sums[class] += share
		}
	}
	for class, sum := range sums {
		if sum > sums[best] {
			best = class
		}
	}
	return integerText(best)
}

func integerText(n int) Reply { return bulk(strconv.Itoa(n)) }

// encode is the form of a model in the snapshot.
func (m *model) encode() string {
	var e encoder
	e.b = append(e.b, byte(m.kind))
	e.num(m.rows)
	e.num(m.cols)
	e.num(len(m.values))
	for _, v := range m.values {
		e.float(v)
	}
	e.num(len(m.features))
	for _, f := range m.features {
		e.str(f)
	}
	e.num(len(m.trees))
	for _, t := range m.trees {
		e.num(len(t))
		for i := range t {
			n := &t[i]
			e.b = append(e.b, byte(b2i(n.leaf)|b2i(n.categories != nil)<<1))
			e.num(int(n.feature))
			e.num(int(n.left))
			e.num(int(n.right))
			e.float(n.threshold)
			e.float(n.value)
			e.num(len(n.categories))
			for _, c := range n.categories {
				e.str(c)
			}
			e.num(len(n.votes))
			for _, v := range n.votes {
				e.float(v)
			}
		}
	}
	return string(e.b)
}

func decodeModel(s string) (*model, error) {
	d := &decoder{s: s}
	kind := d.take(1)
	m := &model{rows: int(d.uvarint()), cols: int(d.uvarint())}
	if d.err == nil {
		m.kind = modelKind(kind[0])
	}
	numbers := func() (list []float64) {
		for n := d.count(); n > 0 && d.err == nil; n-- {
			list = append(list, d.float())
		}
		return list
	}
	m.values = numbers()
	m.number = map[string]int{}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		f := d.str()
		m.number[f] = len(m.features)
		m.features = append(m.features, f)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		t := make(tree, d.count())
		for i := range t {
			flags := d.take(1)
			if d.err != nil {
				break
			}
			node := treeNode{set: true, leaf: flags[0]&1 != 0}
			node.feature, node.left, node.right = int32(d.uvarint()), int32(d.uvarint()), int32(d.uvarint())
			node.threshold, node.value = d.float(), d.float()
			for k := d.count(); k > 0 && d.err == nil; k-- {
				node.categories = append(node.categories, d.str())
			}
			node.votes = numbers()
			if !node.leaf && (int(node.left) <= i || int(node.right) <= i || int(node.left) >= len(t) || int(node.right) >= len(t) ||
				int(node.feature) >= len(m.features) || node.feature < 0) || len(node.votes) > maxClasses {
				d.err = errShort
			}
			t[i] = node
		}
		m.trees = append(m.trees, t)
	}
	if d.err == nil && (modelTypes[m.kind] == "" || (m.kind == forest && len(m.trees) == 0) || (m.kind == regression && len(m.values) == 0) ||
		((m.kind == matrix || m.kind == kmeans) && (m.rows <= 0 || m.cols <= 0 || m.rows > 1<<20 || m.cols > 1<<20 || m.rows*m.cols != len(m.values)))) {
		d.err = errShort
	}
	return m, d.err
}
