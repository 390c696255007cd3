package luabind

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dragonfly/engine"
)

// Reference returns the reference of config.lua and of the Lua modules as Markdown, made from the tables that the program
// itself works with.
func Reference(kinds Kinds) string {
	var b strings.Builder
	b.WriteString("### config.lua: settings\n\n")
	optionTable(&b, GlobalOptions)
	b.WriteString("\n### config.lua: rows of `analyzers`, and of `inputs` for their filter\n\n")
	optionTable(&b, StageOptions)
	b.WriteString("\n### Inputs: `uri` and further keys of a row\n\n")
	for _, name := range sortedKeys(kinds.Inputs) {
		k := kinds.Inputs[name]
		fmt.Fprintf(&b, "**%s** — %s\n\n", name, k.Doc)
		optionTable(&b, k.Options)
	}
	b.WriteString("\n### config.lua: rows of `outputs`\n\n")
	optionTable(&b, OutputOptions)
	b.WriteString("\n### Outputs: `uri` and further keys of a row\n\n")
	for _, name := range sortedKeys(kinds.Outputs) {
		k := kinds.Outputs[name]
		fmt.Fprintf(&b, "**%s** — %s\n\n", name, k.Doc)
		optionTable(&b, k.Options)
	}
	b.WriteString("\n### Lua modules\n\nAll are globals; `require` finds them too.\n")
	s := referenceScript()
	defer s.Close()
	for _, m := range s.modules() {
		fmt.Fprintf(&b, "\n#### %s\n\n%s\n\n", m.Name, m.Doc)
		for _, f := range m.Funcs {
			fmt.Fprintf(&b, "- `%s.%s` — %s\n", m.Name, f.Sig, f.Doc)
		}
		for _, f := range m.Methods {
			class, _, _ := strings.Cut(f.Name, ":")
			fmt.Fprintf(&b, "- `%s:%s` — %s\n", class, f.Sig, f.Doc)
		}
	}
	return b.String()
}

// referenceScript is an interpreter without a script, to ask for its modules.
func referenceScript() *script {
	l := &Loader{stdout: io.Discard, dog: newWatchdog(), codes: map[string]*code{}}
	return newScript(&program{loader: l, code: &code{name: "reference"}}, engine.ScriptEnv{Log: slog.New(slog.DiscardHandler),
		Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}})
}

func optionTable(b *strings.Builder, options []engine.Option) {
	if len(options) == 0 {
		return
	}
	b.WriteString("| key | type | default | range | meaning |\n|---|---|---|---|---|\n")
	for _, o := range options {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", o.Key, typeText(o), defaultText(o), rangeText(o), strings.ReplaceAll(o.Doc, "|", "\\|"))
	}
	b.WriteByte('\n')
}

func typeText(o engine.Option) string {
	if o.Key == "workers" {
		return "number or \"auto\""
	}
	return [...]string{"string", "whole number", "number", "boolean", "bytes", "seconds", "string or list", "value"}[o.Type]
}

func defaultText(o engine.Option) string {
	switch d := o.Default.(type) {
	case nil:
		return ""
	case string:
		if o.Type == engine.JSON || d == "" {
			return d
		}
		return "`\"" + d + "\"`"
	case time.Duration:
		return d.String()
	case int64:
		return quantityText(o.Type, float64(d))
	}
	return fmt.Sprint(o.Default)
}

func rangeText(o engine.Option) string {
	if len(o.Enum) > 0 {
		list := slices.Clone(o.Enum)
		return strings.Join(list, ", ")
	}
	if o.Min == 0 && o.Max == 0 {
		return ""
	}
	return quantityText(o.Type, o.Min) + " to " + quantityText(o.Type, o.Max)
}
