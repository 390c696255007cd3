package engine

import "testing"

func TestShownURI(t *testing.T) {
	for uri, want := range map[string]string{
		"http://h:80/a/b": "http://h:80/a/b",
		"https://discord.com/api/webhooks/1234567890/AbCdEfGh12345678_-x": "https://discord.com/api/webhooks/1234567890/…",
		"https://h/T0000/a%41b2c3d4e5f6g7h8i9?wait=true&x":                "https://h/T0000/…?wait=…&x",
		"http://user:pa:ss@h/x":                                           "http://user:…@h/x",
		"http://user@h/x":                                                 "http://user@h/x",
		"redis://:pa/ss@h":                                                "redis://:pa/ss@h", // a "/" ends the host: it is refused by the row
		"http://h?token=abc":                                              "http://h?token=…",
		"kafka://a,b/topic?group=g":                                       "kafka://a,b/topic?group=g",
		"sqlite:///data/eve.db?table=events":                              "sqlite:///data/eve.db?table=events",
		"tail:///var/log/eve?.json":                                       "tail:///var/log/eve?.json",
		"tail:///var/log/suricata20261121a/eve.json<":                     "tail:///var/log/suricata20261121a/eve.json<",
		"file://events.json":                                              "file://events.json",
		"no uri":                                                          "no uri",
		"https://h/suricata-events-of-sensors/2026":                       "https://h/suricata-events-of-sensors/2026",
	} {
		if got := ShownURI(uri); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
}
