package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dragonfly/luabind"
)

// testScripts runs the examples in the headers of scripts. ROOT is -r, or the nearest directory above the first script
// that has scripts/ or analyzers/ (filter/ or analyzer/).
func testScripts(f flags, stdout, stderr io.Writer) int {
	if len(f.args) == 0 {
		fmt.Fprintf(stderr, "dragonfly: test wants the names of scripts\n%s", usage)
		return exitUsage
	}
	root := f.root
	if root == defaultRoot {
		root = rootOf(f.args[0])
	}
	loader, err := luabind.NewLoader(root, luabind.Options{Stdout: io.Discard})
	if err != nil {
		return report(stderr, err)
	}
	defer loader.Close()
	code := exitOK
	for _, name := range f.args {
		if filepath.Base(name) == "config.lua" { // `test scripts/*.lua` names it too
			fmt.Fprintf(stdout, "-     %s is for `dragonfly check`\n", name)
			continue
		}
		path, err := filepath.Abs(name)
		if err != nil {
			return report(stderr, err)
		}
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
		findings, err := loader.RunExample(path)
		if err != nil {
			findings = append(findings, err.Error())
		}
		if len(findings) == 0 {
			fmt.Fprintf(stdout, "ok    %s\n", name)
			continue
		}
		code = exitFailure
		fmt.Fprintf(stdout, "FAIL  %s\n", name)
		for _, s := range findings {
			fmt.Fprintf(stdout, "  %s\n", s)
		}
	}
	return code
}

func rootOf(script string) string {
	path, err := filepath.Abs(script)
	if err != nil {
		return "."
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		switch filepath.Base(dir) {
		case "scripts", "analyzers", "filter", "analyzer":
			return filepath.Dir(dir)
		}
		if dir == filepath.Dir(dir) {
			return filepath.Dir(path)
		}
	}
}

// reference returns the reference as Markdown.
func reference() string {
	return luabind.Reference(luabind.Kinds{Inputs: inputs, Outputs: outputs, Exists: func(string) bool { return false }, Getenv: os.LookupEnv})
}
