package http

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"dragonfly/engine"
)

// secret is what clients must show.
type secret struct {
	kind   string
	header string
	sum    [sha256.Size]byte // of the token: comparing takes the same time for all
}

// newSecret checks the row; nil lets everybody in.
func newSecret(v engine.Values) (*secret, error) {
	kind, token := v.String("auth"), v.String("auth_token")
	switch {
	case (kind == "none" || kind == "") && token == "":
		return nil, nil
	case kind == "none" || kind == "":
		return nil, &engine.ConfigError{Key: "auth", Msg: "is missing beside auth_token, want basic, bearer or header"}
	case token == "":
		return nil, &engine.ConfigError{Key: "auth_token", Msg: "is missing or empty"}
	case kind == "basic" && !strings.Contains(token, ":"):
		return nil, &engine.ConfigError{Key: "auth_token", Msg: "has no \":\", want \"user:password\" for auth = \"basic\""}
	case kind == "header" && v.String("auth_header") == "":
		return nil, &engine.ConfigError{Key: "auth_header", Msg: "is empty"}
	}
	return &secret{kind, v.String("auth_header"), sha256.Sum256([]byte(token))}, nil
}

// shown reports whether a client shows the secret.
func (s *secret) shown(r *http.Request) bool {
	text := ""
	switch s.kind {
	case "basic":
		user, password, ok := r.BasicAuth()
		if !ok {
			return false
		}
		text = user + ":" + password
	case "bearer":
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return false
		}
		text = strings.TrimSpace(token)
	case "header":
		text = r.Header.Get(s.header)
	}
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], s.sum[:]) == 1
}

// challenge is the header WWW-Authenticate of 401.
func (s *secret) challenge() string {
	if s.kind == "basic" {
		return `Basic realm="dragonfly", charset="UTF-8"`
	}
	return "Bearer"
}
