package main

import "testing"

func TestParseFlags(t *testing.T) {
	f := func(want flags, args ...string) {
		t.Helper()
		if want.root == "" {
			want.root = defaultRoot
		}
		got, err := parseFlags(args)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		got.args, want.args = nil, nil
		if got.root != want.root || got.chroot != want.chroot || got.logDir != want.logDir || got.drop != want.drop ||
			got.verbose != want.verbose || got.exit != want.exit || got.version != want.version || got.verb != want.verb {
			t.Errorf("%v: got %+v, want %+v", args, got, want)
		}
	}
	f(flags{})
	f(flags{root: "/r", chroot: "/c"}, "-r", "/r", "-c", "/c")
	f(flags{root: "/r", chroot: "/r", drop: true}, "-r", "/r", "-c", "-p")
	f(flags{root: "/r", chroot: "/r"}, "-c", "-r", "/r")
	f(flags{root: "/r", chroot: "/r"}, "-r", "/r", "-c")
	f(flags{root: "/r", drop: true, verbose: true, exit: true}, "-pvx", "-r/r")
	f(flags{logDir: "/l", verb: "check"}, "check", "-l", "/l")
	f(flags{root: "/r", chroot: "/r", verb: "check"}, "-r", "/r", "-c", "check")
	f(flags{root: defaultRoot, version: true}, "-r", "", "-V")
	for _, bad := range [][]string{{"-z"}, {"-r"}, {"-l"}, {"nonsense"}, {"--nonsense"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}
