package luabind

import (
	"slices"
	"strings"
	"testing"

	"dragonfly/engine"
)

func TestListsOfStrings(t *testing.T) {
	kinds := Kinds{Inputs: map[string]engine.InputKind{"dummy": {}}, Exists: func(string) bool { return true },
		Outputs: map[string]engine.OutputKind{"x": {Options: []engine.Option{{Key: "index", Type: engine.Strings, Default: []string{"a", "b"}}}}}}
	load := func(row string) (*engine.Config, error) {
		return LoadConfig("config.lua", []byte(`inputs = {{tag = "in", uri = "dummy://", script = "f.lua"}} dead_letter = "x://" outputs = {{tag = "o", uri = "x://", `+row+`}}`), "/root", kinds)
	}
	for row, want := range map[string][]string{"": {"a", "b"}, "index = {}": {}, `index = "c"`: {"c"}, `index = {"c", "d"}`: {"c", "d"}} {
		cfg, err := load(row)
		if err != nil {
			t.Errorf("%s: %v", row, err)
		} else if got := cfg.Outputs[0].Options.Strings("index"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", row, got, want)
		}
	}
	for _, row := range []string{"index = {c = true}", "index = {1}", "index = 1", `index = {"c", {}}`} {
		if _, err := load(row); err == nil || !strings.Contains(err.Error(), "a list of strings") {
			t.Errorf("%s: %v", row, err)
		}
	}
}
