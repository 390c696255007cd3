package store

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
