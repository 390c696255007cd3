// Package parts is what tests of all packages share: waiting, logs, certificates, a redis-server, the program itself. It imports
// the standard library only.
package parts

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Deadline is how long a test waits for what must come: the machine may be slow.
const Deadline = 60 * time.Second

// Until waits until ok says so, Deadline at most. what is what is waited for.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Deadline); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", Deadline, what)
		}
	}
}

// Skip skips a test that this machine cannot run; with CI=true that is a failure.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Needs skips the test, naming the program, where one that it uses is missing.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Skip(t, "%s is missing", program)
		}
	}
}

// ShortDir is a directory of the test whose path leaves room for the name of a unix socket, 107 bytes with it.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "df")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FreePort is a TCP port of 127.0.0.1 that nobody listens on, and that stays the test's until it ends: no other test of any process
// is given it, and no outgoing connection, be it one that tries to reach a server which is away, has it by chance, as it is below
// those that the kernel hands out (32768 and up). 10000 above it, where a Redis cluster's bus is, there is a port too.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 200 {
		port := 10000 + rand.IntN(12000)
		mine, err := net.Listen("unix", fmt.Sprintf("@dragonfly-test-port-%d", port)) // abstract: goes with the process
		if err != nil {
			continue
		}
		if listens(port) && listens(port+10000) {
			t.Cleanup(func() { mine.Close() })
			return strconv.Itoa(port)
		}
		mine.Close()
	}
	t.Fatal("no free port")
	return ""
}

// listens reports whether a port can be listened on.
func listens(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Main builds the program, sets path to it and runs the tests: the body of a TestMain, whose exit status it returns.
func Main(m *testing.M, path *string) int {
	dir, err := os.MkdirTemp("", "dragonfly-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	*path = filepath.Join(dir, "dragonfly")
	cmd := exec.Command("go", "build", "-o", *path, "dragonfly/cmd/dragonfly")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s", err, text)
		return 1
	}
	return m.Run()
}
