package httpsink

import (
	"slices"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Options returns the keys of a row: own, those of every client, and those of TLS.
func Options(own ...engine.Option) []engine.Option {
	return slices.Concat(own, []engine.Option{
		{Key: "timeout", Type: engine.Duration, Default: 30 * time.Second, Min: 0.1, Max: 3600, Doc: "Limit of one request: to connect, send, and read the answer."},
		{Key: "headers", Type: engine.JSON, Doc: "Further headers of the requests: `{[\"X-Sensor\"] = \"one\"}`."},
		{Key: "gzip", Type: engine.Bool, Default: false, Doc: "Compresses the requests."},
		{Key: "proxy", Type: engine.String, Secret: true, Doc: "HTTP or SOCKS5 proxy (`http://HOST:PORT`, `socks5://HOST:PORT`); \"environment\" takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Without it none is used, whatever the environment says."},
		{Key: "retry_after_max", Type: engine.Duration, Default: 5 * time.Minute, Min: 0.001, Max: 86400, Doc: "Longest pause that a server may ask for (Retry-After); then it is tried again."},
	}, wire.ClientOptions)
}

// Auth are the keys of a row that says who it is.
var Auth = []engine.Option{
	{Key: "auth", Type: engine.String, Default: "none", Enum: []string{"none", "basic", "bearer", "api_key", "header"}, Doc: "How it says who it is: with `Authorization: Basic`, `Bearer` or `ApiKey`, or with the header auth_header."},
	{Key: "auth_token", Type: engine.String, Secret: true, Doc: "The secret for auth; `user:password` for \"basic\". `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "auth_header", Type: engine.String, Default: "X-API-Key", Doc: "Name of the header for auth = \"header\"."},
}
