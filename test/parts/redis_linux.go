package parts

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Redis is a redis-server of one test, on a unix socket; it ends with the test.
type Redis struct {
	Dir string    // of its socket, s, and its files
	Cmd *exec.Cmd // of the last Start

	t    testing.TB
	args []string
	done chan struct{}
}

// NewRedis starts a redis-server that saves nothing, with further arguments.
func NewRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	dir := ShortDir(t)
	return StartRedis(t, dir, append([]string{"--port", "0", "--unixsocket", dir + "/s", "--unixsocketperm", "700", "--dir", dir, "--save", "", "--daemonize", "no"}, args...)...)
}

// StartRedis starts a redis-server with these arguments, among which is the socket s in dir.
func StartRedis(t testing.TB, dir string, args ...string) *Redis {
	t.Helper()
	Needs(t, "redis-server", "redis-cli")
	s := &Redis{Dir: dir, t: t, args: args}
	s.Start()
	return s
}

// Socket is the path of its socket.
func (s *Redis) Socket() string { return filepath.Join(s.Dir, "s") }

// Start starts it, again after Kill, and waits until its own socket answers.
func (s *Redis) Start(more ...string) {
	s.t.Helper()
	os.Remove(s.Socket())
	var out Log
	cmd := exec.Command("redis-server", append(s.args[:len(s.args):len(s.args)], more...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	s.Cmd, s.done = cmd, done
	s.t.Cleanup(func() { cmd.Process.Kill(); <-done })
	Until(s.t, "redis-server answers", func() bool {
		select {
		case <-done:
			s.t.Fatalf("redis-server ended: %s", out.String())
		default:
		}
		c, err := net.Dial("unix", s.Socket())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Kill ends it at once.
func (s *Redis) Kill() {
	s.Cmd.Process.Kill()
	<-s.done
}

// Signal sends it a signal.
func (s *Redis) Signal(sig syscall.Signal) { s.Cmd.Process.Signal(sig) }

// CLI carries out a command through a connection of its own. When the connection breaks (Sentinel ends those of a server whose
// part it changes), the command is tried again.
func (s *Redis) CLI(args ...string) string {
	s.t.Helper()
	for try := 0; ; try++ {
		out, err := exec.Command("redis-cli", append([]string{"-s", s.Socket()}, args...)...).CombinedOutput()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
		broken := strings.Contains(err.Error(), "broken pipe") || strings.Contains(string(out), "Server closed the connection") || strings.Contains(string(out), "reset by peer")
		if !broken || try == 20 {
			s.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Feed carries out commands, one a line, as fast as redis-cli can.
func (s *Redis) Feed(commands string) {
	s.t.Helper()
	cmd := exec.Command("redis-cli", "-s", s.Socket())
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "ERR") {
		s.t.Fatalf("%v: %.500s", err, out)
	}
}
