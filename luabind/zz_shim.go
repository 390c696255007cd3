package luabind

import (
	"io"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"dragonfly/engine"
)

type code struct {
	proto    *lua.FunctionProto
	mayLoop  bool
	requires []string
	name     string
}

func compileScript(name, source string) (*code, error) {
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, &engine.ScriptError{Script: name, Msg: err.Error()}
	}
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		return nil, err
	}
	return &code{proto: proto, name: name}, nil
}

func (c *code) function(L *lua.LState, env *lua.LTable) *lua.LFunction {
	return L.NewFunctionFromProto(c.proto)
}

func openLibs(L *lua.LState, lim *limits, stdout io.Writer) { L.OpenLibs() }
func sealSandbox(L *lua.LState)                             {}
func libModules() []module                                  { return nil }
func friendlyError(s string) string                         { return s }
func jsonModule(vs *views) module                           { return module{Name: "json"} }
func marshalModule(vs *views) module                        { return module{Name: "marshal"} }
