package luabind

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// needs skips the test, by name of the part, where a program that it uses is missing.
func needs(t *testing.T, program string) {
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", program)
		}
		t.Skipf("%s is missing", program)
	}
}

// runLua runs a file in our interpreter and returns what it prints; io.write counts as printing.
func runLua(t *testing.T, file string) string {
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer L.Close()
	defer openLibs(L, &limits{}, &out).close()
	newViews(L).open()
	libTable(L, "io").RawSetString("write", L.NewFunction(func(L *lua.LState) int {
		for i := 1; i <= L.GetTop(); i++ {
			out.WriteString(str(L, i))
		}
		return 0
	}))
	c, err := compileScript(file, string(source))
	if err != nil {
		t.Fatal(err)
	}
	L.Push(c.function(L))
	if err := L.PCall(0, 0, nil); err != nil {
		t.Fatal(out.String()[max(0, out.Len()-300):], err)
	}
	return out.String()
}

// TestAgreesWithLuaJIT compares what files print, line by line. Deliberate differences are kept out of the files.
func TestAgreesWithLuaJIT(t *testing.T) {
	for _, file := range []string{"parity.lua", "faults.lua", "source.lua", "logic.lua", "next.lua"} {
		t.Run(file, func(t *testing.T) { compareWithLuaJIT(t, "testdata/"+file) })
	}
}

// TestScriptsAgreeWithLuaJIT compares what files print as scripts, with require and all modules.
func TestScriptsAgreeWithLuaJIT(t *testing.T) {
	for _, file := range []string{"probes.lua", "buffer.lua"} {
		t.Run(file, func(t *testing.T) {
			compareOutput(t, "testdata/"+file, func(t *testing.T, file string) string {
				var out strings.Builder
				l, err := NewLoader("testdata", Options{Stdout: &out})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				p, err := l.Program(filepath.Base(file))
				if err != nil {
					t.Fatal(err)
				}
				s, err := p.Load(engine.ScriptEnv{Stage: "test", Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &engine.Results{})
				if err != nil {
					t.Fatal(out.String()[max(0, out.Len()-300):], err)
				}
				s.Close()
				return out.String()
			})
		})
	}
}

func compareWithLuaJIT(t *testing.T, file string) { compareOutput(t, file, runLua) }

func compareOutput(t *testing.T, file string, run func(t *testing.T, file string) string) {
	needs(t, "luajit")
	got := strings.Split(run(t, file), "\n")
	text, err := exec.Command("luajit", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want := strings.Split(string(text), "\n")
	if len(got) != len(want) {
		t.Errorf("got %d lines, want %d", len(got), len(want))
	}
	bad := 0
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			if bad++; bad <= 40 {
				t.Errorf("line %d:\ngot  %s\nwant %s", i+1, got[i], want[i])
			}
		}
	}
	t.Logf("%d of %d lines differ", bad, len(want))
}
