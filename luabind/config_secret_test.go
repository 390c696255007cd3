package luabind

import (
	"os"
	"strings"
	"testing"

	"dragonfly/engine"
)

func TestSecretOptions(t *testing.T) {
	kinds := Kinds{Inputs: map[string]engine.InputKind{"dummy": {}}, Outputs: map[string]engine.OutputKind{"x": {Options: []engine.Option{
		{Key: "token", Type: engine.String, Secret: true}, {Key: "plain", Type: engine.String}, {Key: "mode", Type: engine.String, Secret: true, Enum: []string{"a"}}}}},
		Exists: func(string) bool { return true }, Getenv: os.LookupEnv, Read: func(string) ([]byte, error) { return []byte("hush\r\n"), nil }}
	config := func(row string) (*engine.Config, error) {
		return LoadConfig("config.lua", []byte(`inputs = {{tag = "in", uri = "dummy://", script = "f.lua"}} dead_letter = "x://" outputs = {{tag = "o", uri = "x://", `+row+`}}`), "/root", kinds)
	}
	cfg, err := config(`token = "file:secret", plain = "file:secret"`)
	if err != nil {
		t.Fatal(err)
	}
	if o := cfg.Outputs[0].Options; o.String("token") != "hush" || o.String("plain") != "file:secret" {
		t.Errorf("got %v", o)
	}
	for _, row := range []string{`token = 4711`, `mode = "4711"`} {
		if _, err := config(row); err == nil || !strings.Contains(err.Error(), "not shown") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", row, err)
		}
	}
}
