package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Load reads a model. name stands in errors. The format is found by the content: native JSON, LightGBM text or JSON,
// XGBoost JSON. Everything is checked: a Model that Load returns answers every row. data is not kept.
func Load(name string, data []byte) (*Model, error) {
	m, err := load(data)
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func load(data []byte) (*Model, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%d bytes, a model has at most %d", len(data), maxBytes)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	text := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(text) == 0:
		return nil, errors.New("the file is empty")
	case bytes.HasPrefix(text, []byte("tree\n")), bytes.HasPrefix(text, []byte("tree\r\n")):
		return loadLightGBM(string(text))
	case bytes.HasPrefix(text, []byte("binf")), bytes.HasPrefix(text, []byte("{L")), bytes.HasPrefix(text, []byte("{l")), bytes.HasPrefix(text, []byte("{i")), bytes.HasPrefix(text, []byte("{U")):
		return nil, errors.New(`this is a binary XGBoost model; save it as JSON: booster.save_model("model.json")`)
	case text[0] == 0x80, bytes.HasPrefix(text, []byte("PK")):
		return nil, errors.New("this is a pickled or zipped model; write JSON with test/models/export.py")
	case text[0] != '{':
		return nil, errors.New("unknown format: want native JSON, LightGBM (save_model or dump_model), or XGBoost JSON")
	}
	var keys map[string]json.RawMessage
	if err := decode(data, &keys); err != nil {
		return nil, err
	}
	switch {
	case keys["model"] != nil:
		return loadNative(data)
	case keys["learner"] != nil:
		return loadXGBoost(data)
	case keys["tree_info"] != nil:
		return loadLightGBMJSON(data)
	}
	return nil, fmt.Errorf(`unknown format: JSON without "model" (native), "learner" (XGBoost) or "tree_info" (LightGBM)`)
}

// decode decodes one JSON value that fills data; errors have a place.
func decode(data []byte, v any) error { return decodeWith(data, v, false) }

// decodeStrict is decode that refuses unknown keys.
func decodeStrict(data []byte, v any) error { return decodeWith(data, v, true) }

func decodeWith(data []byte, v any, strict bool) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return placed(data, err)
	}
	if _, err := d.Token(); err != io.EOF {
		line, col := position(data, d.InputOffset())
		return fmt.Errorf("line %d, column %d: something follows the model", line, col)
	}
	return nil
}

// placed says where in data err is, and what is wrong without Go's words.
func placed(data []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		line, col := position(data, int64(len(data)))
		return fmt.Errorf("line %d, column %d: the file ends within the JSON text", line, col)
	case errors.As(err, &syntax):
		line, col := position(data, syntax.Offset)
		return fmt.Errorf("line %d, column %d: %s", line, col, syntax.Error())
	case errors.As(err, &kind):
		line, col := position(data, kind.Offset)
		return fmt.Errorf("line %d, column %d: %s is a %s, want a %s", line, col, kind.Field, kind.Value, jsonKind(kind.Type.String()))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// jsonKind names a Go type as JSON would.
func jsonKind(t string) string {
	switch {
	case strings.HasPrefix(t, "[]"):
		return "list"
	case strings.HasPrefix(t, "float"):
		return "number"
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"):
		return "whole number"
	case t == "string", t == "bool":
		return t
	}
	return "object"
}

// position returns line and column, both from 1, of a byte.
func position(data []byte, offset int64) (line, col int) {
	before := data[:min(max(offset-1, 0), int64(len(data)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
