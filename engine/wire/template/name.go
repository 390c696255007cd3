package template

// maxName is how many bytes of a field go into a name.
const maxName = 256

// Name reads the pattern of a Redis key or a NATS subject, "eve.{event_type}": `{{` stands for `{`, a `}` for itself, "unknown" for
// a field that is missing. Bytes of a value for which allowed is false become "_"; nil allows all. Values are cut to 256 bytes.
func Name(pattern string, allowed func(byte) bool) (*Namer, error) {
	t, err := Syntax{Missing: "unknown", Clean: func(dst []byte, value string) []byte {
		for i := range min(len(value), maxName) {
			if c := value[i]; allowed == nil || allowed(c) {
				dst = append(dst, c)
				continue
			}
			dst = append(dst, '_')
		}
		return dst
	}}.Parse(pattern)
	if err != nil {
		return nil, err
	}
	return t.Namer(), nil
}
