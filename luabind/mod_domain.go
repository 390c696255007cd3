package luabind

import (
	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/domain"
)

// domainModule is engine/domain for scripts. Its buffer belongs to the interpreter's worker.
func domainModule() module {
	var buf []float64
	one := func(f func(name string) string) lua.LGFunction {
		return func(L *lua.LState) int { return textOrNil(L, f(str(L, 1))) }
	}
	return module{Name: "domain", Doc: "Domain names: parts by the public suffix list, features of generated names (DGA). Names may have capitals, " +
		"a final dot, a port, letters outside ASCII; results are in lower case, with A-labels (xn--).", Funcs: []hostFunc{
		{"registered", "registered(name) -> domain | nil", "The registered domain, nil for addresses, reverse zones, single labels, public suffixes and what is no name. " +
			"Below a suffix that is not in the list (local, corp) it is the last two labels.",
			`assert(domain.registered("www.Example.co.uk.") == "example.co.uk" and domain.registered("10.0.0.1") == nil)`, one(domain.Registered)},
		{"suffix", "suffix(name) -> suffix, section | nil", "The public suffix, and the section it is from: \"icann\" (com, co.uk), \"private\" (github.io, ddns.net) or \"unlisted\" (local).",
			`local suffix, section = domain.suffix("a.github.io") assert(suffix == "github.io" and section == "private")`, domainSuffix},
		{"chosen", "chosen(name) -> domain, label | nil", "What to judge a name by: the domain that its holder chose, and the label of it. That is the registered domain, " +
			"one level below zones where anyone gets a name (dynamic DNS, free hosting), and the zone's own domain below other private suffixes, whose names machines make: \"cloudfront.net\" of d1a2b3.cloudfront.net.",
			`local d, label = domain.chosen("d1a2b3.cloudfront.net") assert(d == "cloudfront.net" and label == "cloudfront")`, domainChosen},
		{"split", "split(name) -> table", "{kind, host, suffix, section, registered, label, sub, address}; what is not there is nil. kind is \"host\", \"address\", \"reverse\" " +
			"(below in-addr.arpa or ip6.arpa; then address is what the whole name stands for) or \"invalid\".",
			`local d = domain.split("mail.shop.example.co.uk") assert(d.sub == "mail.shop" and d.label == "example" and d.suffix == "co.uk" and d.kind == "host")`, domainSplit},
		{"normal", "normal(name) -> name", "Lower case, A-labels, no final dot, port or brackets: equal names become equal strings.",
			`assert(domain.normal("Bücher.Example.") == "xn--bcher-kva.example")`, one(domain.Normal)},
		{"unicode", "unicode(name) -> name", "A-labels decoded, for people to read. Letters may look like others: compare normal names.",
			`assert(domain.unicode("xn--bcher-kva.example") == "bücher.example")`, one(domain.ToUnicode)},
		{"features", "features(name) -> array", "The numbers that the models in analyzers/models take, in the order of feature_names: of the label that chosen returns.",
			`local f = domain.features("www.example.com") assert(#f == #domain.feature_names() and f[1] == 7)`, func(L *lua.LState) int {
				buf = domain.Features(str(L, 1), buf)
				t := L.CreateTable(len(buf), 0)
				for i, x := range buf {
					t.RawSetInt(i+1, lua.LNumber(x))
				}
				L.Push(t)
				return 1
			}},
		{"feature_names", "feature_names() -> array", "The names of the features, in the order of features.", `assert(domain.feature_names()[1] == "length")`, func(L *lua.LState) int {
			t := L.CreateTable(len(domain.FeatureNames), 0)
			for i, name := range domain.FeatureNames {
				t.RawSetInt(i+1, lua.LString(name))
			}
			L.Push(t)
			return 1
		}},
	}}
}

// textOrNil pushes s, nil for "".
func textOrNil(L *lua.LState, s string) int {
	if s == "" {
		L.Push(lua.LNil)
	} else {
		L.Push(lua.LString(s))
	}
	return 1
}

func domainSuffix(L *lua.LState) int {
	suffix, section := domain.Suffix(str(L, 1))
	if suffix == "" {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LString(suffix))
	L.Push(lua.LString(section.String()))
	return 2
}

func domainChosen(L *lua.LState) int {
	d, label := domain.Chosen(str(L, 1))
	if d == "" {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LString(d))
	L.Push(lua.LString(label))
	return 2
}

func domainSplit(L *lua.LState) int {
	name := str(L, 1)
	n := domain.Split(name)
	t := L.CreateTable(0, 8)
	set := func(key, value string) {
		if value != "" {
			t.RawSetString(key, lua.LString(value))
		}
	}
	set("kind", n.Kind.String())
	set("host", n.Host)
	set("suffix", n.Suffix)
	if n.Suffix != "" {
		set("section", n.Section.String())
	}
	set("registered", n.Registered)
	set("label", n.Label)
	set("sub", n.Sub)
	switch n.Kind {
	case domain.Address:
		set("address", n.Host)
	case domain.Reverse:
		if addr, ok := domain.ReverseAddress(name); ok {
			set("address", addr.String())
		}
	}
	L.Push(t)
	return 1
}
