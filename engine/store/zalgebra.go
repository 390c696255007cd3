package store

import (
	"math"
	"slices"
	"strings"
)

// scored is an operand of ZUNION and the like: a sorted set, or a set whose members have score 1.
type scored struct {
	z      *zset
	s      *members
	weight float64
}

func (o *scored) len() int {
	switch {
	case o.z != nil:
		return o.z.len()
	case o.s != nil:
		return o.s.len()
	}
	return 0
}

func (o *scored) score(m string) (float64, bool) {
	switch {
	case o.z != nil:
		if n := o.z.byMember[m]; n != nil {
			return o.weigh(n.score), true
		}
	case o.s.has(m):
		return o.weigh(1), true
	}
	return 0, false
}

func (o *scored) weigh(score float64) float64 {
	if score *= o.weight; score == score {
		return score
	}
	return 0
}

func (o *scored) all(yield func(string, float64) bool) {
	switch {
	case o.z != nil:
		for m, score := range o.z.all {
			if !yield(m, o.weigh(score)) {
				return
			}
		}
	case o.s != nil:
		for m := range o.s.dict.all {
			if !yield(m, o.weigh(1)) {
				return
			}
		}
	}
}

// zalgebra is ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD; at is the place of the number of keys.
func (c *call) zalgebra(op algebra, at int, dest string) Reply {
	name := strings.ToLower(c.args[0])
	isCard, isStore := name == "zintercard", strings.HasSuffix(name, "store")
	n, good := parseInt(c.args[at])
	if !good {
		return errInt
	}
	if n < 1 {
		return Err("ERR at least 1 input key is needed for '" + name + "' command")
	}
	if n > int64(len(c.args)-at-1) {
		return errSyntax
	}
	rest := c.args[at+1+int(n):]
	operands := make([]scored, n)
	for i, key := range c.args[at+1 : at+1+int(n)] {
		operands[i].weight = 1
		if e := c.find(key); e != nil {
			switch v := e.val.(type) {
			case *zset:
				operands[i].z = v
			case *members:
				operands[i].s = v
			default:
				return wrongType
			}
		}
	}
	withScores, limit := false, int64(0)
	aggregate := "sum"
	for i := 0; i < len(rest); i++ {
		switch a := rest[i]; {
		case !isCard && op != diff && is(a, "weights") && len(rest)-i > int(n):
			for k := range operands {
				i++
				w, good := parseFloat(rest[i])
				if !good {
					return Err("ERR weight value is not a float")
				}
				operands[k].weight = w
			}
		case !isCard && op != diff && is(a, "aggregate") && i+1 < len(rest):
			i++
			if aggregate = strings.ToLower(rest[i]); aggregate != "sum" && aggregate != "min" && aggregate != "max" {
				return errSyntax
			}
		case !isCard && !isStore && is(a, "withscores"):
			withScores = true
		case isCard && is(a, "limit") && i+1 < len(rest):
			i++
			if limit, good = parseInt(rest[i]); !good || limit < 0 {
				return Err("ERR LIMIT can't be negative")
			}
		default:
			return errSyntax
		}
	}
	join := func(a, b float64) float64 {
		switch aggregate {
		case "min":
			if b < a {
				return b
			}
			return a
		case "max":
			if b > a {
				return b
			}
			return a
		}
		if sum := a + b; sum == sum {
			return sum
		}
		return 0
	}
	result := newZset()
	result.large = true
	if op != diff { // the order in which scores are added, which shows in their last digit
		slices.SortStableFunc(operands, func(a, b scored) int { return a.len() - b.len() })
	}
	switch op {
	case inter:
		least := &operands[0]
		count := int64(0)
	next:
		for m := range least.all {
			score := math.NaN()
			for i := range operands {
				s, has := operands[i].score(m)
				if !has {
					continue next
				}
				if i == 0 {
					score = s
				} else {
					score = join(score, s)
				}
			}
			if isCard {
				if count++; count == limit {
					break
				}
				continue
			}
			result.set(m, score)
		}
		if isCard {
			return integer(count)
		}
	case union:
		for i := range operands {
			for m, score := range operands[i].all {
				if old := result.byMember[m]; old != nil {
					score = join(old.score, score)
				}
				result.set(m, score)
			}
		}
	case diff:
	members:
		for m, score := range operands[0].all {
			for i := range operands[1:] {
				if _, has := operands[1+i].score(m); has {
					continue members
				}
			}
			result.set(m, score)
		}
	}
	if !isStore {
		return array(znodes(result.slice(0, result.len(), false), withScores))
	}
	result.settle()
	c.del(dest)
	if result.len() > 0 {
		c.put(dest, result)
	}
	return integer(int64(result.len()))
}
