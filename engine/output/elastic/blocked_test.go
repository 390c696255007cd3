package elastic

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// TestBlockedIndex: a server whose disk is full blocks writing with the status 403, which is no matter of passwords.
func TestBlockedIndex(t *testing.T) {
	s := sinktest.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"errors":true,"items":[{"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"index [eve] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];"}}}]}`)
	})
	out := sinktest.New(t, Kind, "elasticsearch://"+s.Address(), nil, nil)
	n, err := out.Write(t.Context(), sinktest.Events(t, `{"n":1}`))
	var rejected *engine.RejectError
	if n != 0 || err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "free disk space") {
		t.Errorf("got %d, %v", n, err)
	}
}
