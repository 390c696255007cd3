// Package test holds checks of the tree as a whole.
package test

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// allowed says what a package of ours may import besides the standard library: prefixes of import paths. The longest
// matching directory counts.
var allowed = map[string][]string{
	"engine":              {"dragonfly/engine/lazyjson", "dragonfly/engine/durable", "dragonfly/engine/deadletter", "dragonfly/engine/spool"},
	"engine/spool":        {"dragonfly/engine/durable"},
	"engine/lazyjson":     {},
	"engine/domain":       {"golang.org/x/net/publicsuffix"},
	"engine/packet":       {"dragonfly/engine/packet", "github.com/gopacket/", "github.com/klauspost/compress/"},
	"engine/wire":         {"dragonfly/engine", "dragonfly/engine/wire", "github.com/"},
	"engine/app":          {"dragonfly/engine/packet", "dragonfly/engine/lazyjson", "golang.org/x/crypto/", "golang.org/x/net/http2/hpack"},
	"engine/flow":         {"dragonfly/engine/packet", "dragonfly/engine/app", "dragonfly/engine/flow/", "dragonfly/engine/communityid", "golang.org/x/sys/unix"},
	"engine/input":        {"dragonfly/engine", "dragonfly/engine/lazyjson", "dragonfly/engine/input/lines", "dragonfly/engine/input/internal/", "dragonfly/engine/wire", "dragonfly/engine/packet", "dragonfly/engine/packet/", "dragonfly/engine/flow", "dragonfly/engine/app", "github.com/", "golang.org/", "modernc.org/", "dragonfly/engine/wire/"},
	"engine/output":       {"dragonfly/engine", "dragonfly/engine/lazyjson", "dragonfly/engine/output/internal/", "dragonfly/engine/wire", "github.com/", "golang.org/", "modernc.org/", "dragonfly/engine/wire/"},
	"engine/sketch":       {},
	"engine/durable":      {},
	"engine/model":        {},
	"engine/store":        {"dragonfly/engine/durable", "dragonfly/engine/sketch", "dragonfly/engine/store", "github.com/redis/"},
	"luabind":             {"dragonfly/engine", "dragonfly/engine/lazyjson", "dragonfly/engine/sketch", "dragonfly/engine/domain", "dragonfly/engine/model", "dragonfly/engine/store", "github.com/", "golang.org/", "dragonfly/engine/communityid"},
	"cmd":                 {"dragonfly/", "golang.org/", "github.com/landlock-lsm/"},
	"test":                {"dragonfly/", "github.com/", "golang.org/", "modernc.org/"},
	"engine/communityid":  {},
	"engine/wire/redis":   {"dragonfly/engine", "dragonfly/engine/wire", "dragonfly/engine/store/remote", "github.com/redis/"},
	"engine/wire/nats":    {"dragonfly/engine", "dragonfly/engine/wire", "github.com/nats-io/"},
	"engine/input/redis":  {"dragonfly/engine", "dragonfly/engine/input/lines", "dragonfly/engine/wire/redis", "github.com/redis/"},
	"engine/input/nats":   {"dragonfly/engine", "dragonfly/engine/input/lines", "dragonfly/engine/wire/nats", "github.com/nats-io/"},
	"engine/output/redis": {"dragonfly/engine", "dragonfly/engine/wire", "dragonfly/engine/wire/template", "dragonfly/engine/wire/redis", "github.com/redis/"},
	"engine/output/nats":  {"dragonfly/engine", "dragonfly/engine/wire", "dragonfly/engine/wire/template", "dragonfly/engine/wire/nats", "github.com/nats-io/"},

	"engine/wire/template": {"dragonfly/engine", "dragonfly/engine/lazyjson"},

	// helpers of tests
	"engine/wire/kafka/kafkatest":     {"dragonfly/engine", "dragonfly/test/", "github.com/"},
	"engine/output/internal/sinktest": {"dragonfly/engine", "dragonfly/test/", "github.com/"},
}

func TestImportTable(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		rel, _ := filepath.Rel("..", path)
		dir := filepath.Dir(rel)
		rule := dir
		for allowed[rule] == nil && rule != "." {
			rule = filepath.Dir(rule)
		}
		if allowed[rule] == nil {
			t.Errorf("%s: no rule for this directory", rel)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") && first != "dragonfly" {
				continue // standard library
			}
			if strings.Contains(name, "gopher-lua") && !strings.HasPrefix(dir, "luabind") {
				t.Errorf("%s imports %s: only luabind may", rel, name)
			}
			if !permits(allowed[rule], name) {
				t.Errorf("%s imports %s: not in the import table", rel, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func permits(rules []string, name string) bool {
	for _, r := range rules {
		if name == r || strings.HasSuffix(r, "/") && strings.HasPrefix(name, r) {
			return true
		}
	}
	return false
}

func TestReferenceInReadmeIsCurrent(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(readme), "<!-- reference:begin -->\n")
	got, _, ok2 := strings.Cut(rest, "<!-- reference:end -->")
	if !ok1 || !ok2 {
		t.Fatal("README.md lacks the markers of the reference")
	}
	want, err := exec.Command("go", "run", "dragonfly/cmd/dragonfly", "reference").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(got) != strings.TrimSpace(string(want)) {
		t.Error("the reference in README.md is not what the program prints: run `make reference`")
	}
}

func TestModuleIsTidy(t *testing.T) {
	if out, err := exec.Command("go", "mod", "verify").CombinedOutput(); err != nil {
		t.Skipf("modules cannot be verified: %s", out)
	}
	out, err := exec.Command("go", "mod", "tidy", "-diff").CombinedOutput()
	if err != nil && strings.Contains(string(out), "diff ") {
		t.Errorf("go mod tidy changes something:\n%s", out)
	}
}
