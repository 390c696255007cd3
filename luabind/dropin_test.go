package luabind

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/store"
	"dragonfly/engine/store/remote"
	"dragonfly/test/parts"
)

// redisServer starts a redis-server on a unix socket of its own and returns a client.
func redisServer(t *testing.T) store.Client {
	t.Helper()
	client, err := remote.New(remote.Options{Addrs: []string{parts.NewRedis(t).Socket()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	models, err := store.Open(store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { models.Close() })
	return store.WithModels(client, models)
}

// tree is a decision tree of numeric splits, made and evaluated here, apart from the store.
type tree struct {
	attr        int
	split, leaf float64
	left, right *tree
}

func newTree(rng *rand.Rand, depth int) *tree {
	if depth == 0 {
		return &tree{leaf: rng.Float64()}
	}
	return &tree{attr: 1 + rng.IntN(20), split: rng.Float64(), left: newTree(rng, depth-1), right: newTree(rng, depth-1)}
}

func (n *tree) write(b *strings.Builder, path string) {
	if n.left == nil {
		fmt.Fprintf(b, " %s LEAF %v", path, n.leaf)
		return
	}
	fmt.Fprintf(b, " %s NUMERIC %d %v", path, n.attr, n.split)
	n.left.write(b, path+"l")
	n.right.write(b, path+"r")
}

func (n *tree) run(x map[int]float64) float64 {
	for n.left != nil {
		if x[n.attr] <= n.split {
			n = n.left
		} else {
			n = n.right
		}
	}
	return n.leaf
}

// dropinRoot makes a root directory in dragonfly-mle's layout with the scripts of testdata/dropin and their data.
func dropinRoot(t *testing.T, trees []*tree) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/dropin")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"ranges.csv": "\"16777216\",\"16777471\",\"US\",\"United States\"\r\n\"16777472\",\"16778239\",\"CH\",\"Switzerland, really\"\r\n" +
			"\"3758096000\",\"3758096383\",\"PL\",\"Poland\"\r\n",
	}
	var codes strings.Builder
	for i := range 249 {
		fmt.Fprintf(&codes, "%c%c\n", 'A'+i/26, 'A'+i%26)
	}
	files["codes.txt"] = codes.String()
	for i, n := range trees {
		var b strings.Builder
		n.write(&b, ".")
		files[fmt.Sprintf("forest-%d.model", i+1)] = strings.TrimSpace(b.String())
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, "analyzer", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestDropIn runs scripts in the style of dragonfly-mle's analyzers on the embedded store and on a Redis.
func TestDropIn(t *testing.T) {
	for name, client := range map[string]func(t *testing.T) store.Client{"embedded": nil, "redis-server": redisServer} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 6))
			trees := []*tree{newTree(rng, 11), newTree(rng, 11)}
			root := dropinRoot(t, trees)
			t.Chdir(root) // as the program does
			l, err := NewLoader(root, Options{Stdout: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			if client != nil {
				l.SetRedis(client(t), nil)
			}
			for _, script := range []string{"countries", "ranges", "lists", "counts", "hours", "logreg", "forest"} {
				t.Run(script, func(t *testing.T) {
					findings, err := l.RunExample("analyzer/" + script + ".lua")
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range findings {
						t.Error(f)
					}
				})
			}
			t.Run("forest agrees with its trees", func(t *testing.T) { runForest(t, l, trees, rng) })
		})
	}
}

func runForest(t *testing.T, l *Loader, trees []*tree, rng *rand.Rand) {
	p, err := l.Program("analyzer/forest.lua")
	if err != nil {
		t.Fatal(err)
	}
	var out engine.Results
	s, err := p.Load(engine.ScriptEnv{Stage: "forest", DefaultAnalyzer: "next", Timeout: 10 * time.Second,
		Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 200 {
		x, want := map[int]float64{}, 0.0
		var features []string
		for attr := 1; attr <= 20; attr++ {
			if rng.IntN(4) > 0 { // what is missing is 0
				x[attr] = rng.Float64()
				features = append(features, fmt.Sprintf("%d:%v", attr, x[attr]))
			}
		}
		for _, n := range trees {
			want += n.run(x) / float64(len(trees))
		}
		if err := handle(t, s, &out, fmt.Sprintf(`{"features":%q,"want":%v}`, strings.Join(features, ","), want)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStoreAnalyzersOnARedis runs the examples of the shipped analyzers on a server instead of the embedded store.
func TestStoreAnalyzersOnARedis(t *testing.T) {
	l, err := NewLoader("..", Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetRedis(redisServer(t), nil)
	for _, name := range inStore {
		findings, err := l.RunExample("analyzers/" + name + ".lua")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			t.Errorf("%s: %s", name, f)
		}
	}
}
