package wire

import "testing"

func TestHoldsLogin(t *testing.T) {
	for address, want := range map[string]bool{"h:1/p": false, "h/eve@sensor": false, "h:6379/eve@sensor": false, "[::1]/a@b": false, "[::1]:4222,h:1/a@b": false, "/run/redis.sock": false,
		"u@h": true, "u:p@h/x": true, ":p@h": true, ":pa/ss@h/x": true, "h:1,u:p/q@h": true, "": false} {
		if got := HoldsLogin(address); got != want {
			t.Errorf("%q: got %v", address, got)
		}
	}
}
