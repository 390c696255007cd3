package http

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// TestSecretsThatAServerRepeats: servers put the URL, and debugging ones the headers, into their answers, which stand in the log and in dead
// letters.
func TestSecretsThatAServerRepeats(t *testing.T) {
	status := 404
	s := sinktest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		quoted, _ := json.Marshal(r.URL.Path)
		fmt.Fprintf(w, "cannot POST %s %s %s %q", r.RequestURI, r.URL.Path, strings.ReplaceAll(string(quoted), "/", `\/`), r.Header)
		io.WriteString(w, " that is all")
	})
	out := sinktest.New(t, Kind, "http://"+s.Address()+"/hook/abcdefgh12345678?sig=query-9x", engine.Values{"path": "/T0K3/in side%2Fx?key=behind-7z",
		"headers": `{"X-Other":"of-headers"}`, "auth": "basic", "auth_token": "user:pass-word"}, nil)
	for status = range map[int]bool{404: true, 400: true, 500: true} {
		n, err := out.Write(t.Context(), sinktest.Events(t, `{}`))
		if n != 0 || err == nil || !strings.Contains(err.Error(), "that is all") || !strings.Contains(err.Error(), "cannot POST /hook/…") {
			t.Errorf("got %d, %v", n, err)
			continue
		}
		for _, secret := range []string{"abcdefgh12345678", "query-9x", "T0K3", "in side", "in%20side", "behind-7z", "of-headers", "pass-word", "dXNlcjpwYXNzLXdvcmQ"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%d: %q is in %v", status, secret, err)
			}
		}
	}
}

// TestPasswordsInURIs are refused, and not repeated.
func TestPasswordsInURIs(t *testing.T) {
	for _, uri := range []string{"http://user:s3cret@h/x", "http://user:s3/cret@h/x", "http://:s3cret@h", "https://s3cret@h"} {
		kind := Kind
		if strings.HasPrefix(uri, "https") {
			kind = SecureKind
		}
		_, err := New(sinktest.Params(kind, uri, nil, nil))
		if err == nil || !strings.Contains(err.Error(), "holds a user or password") || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: got %v", uri, err)
		}
	}
}

// TestEscapesInPath: what is escaped in a path is sent as it is written.
func TestEscapesInPath(t *testing.T) {
	var got string
	s := sinktest.Serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	out := sinktest.New(t, Kind, "http://"+s.Address()+"/a%2Fb", engine.Values{"path": "c%2Fd e?x=%2F"}, nil)
	sinktest.Deliver(t, out, sinktest.Events(t, `{}`))
	if got != "/a%2Fb/c%2Fd%20e?x=%2F" {
		t.Errorf("got %s", got)
	}
}
