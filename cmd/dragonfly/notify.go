package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells systemd what the process does (sd_notify). The zero value tells nobody.
type notifier struct {
	conn  *net.UnixConn // connected before a chroot hides the socket
	every time.Duration // of the watchdog; 0 has none
	log   *slog.Logger
}

// newNotifier connects to the socket that the service manager named. The variables are removed: nobody else shall speak for us.
func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log}
	path, micros, pid := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	if path == "" {
		return n
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // "@name" is abstract, for Go too
	if err != nil {
		log.Error("systemd is not told what happens: its socket cannot be reached", "err", err)
		return n
	}
	n.conn = conn
	if us, err := strconv.ParseInt(micros, 10, 64); err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.every = time.Duration(us) * time.Microsecond / 3
	}
	return n
}

// tell sends a state, such as "READY=1".
func (n *notifier) tell(state string) {
	if n == nil || n.conn == nil {
		return
	}
	n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := n.conn.Write([]byte(state)); err != nil {
		n.log.Debug("systemd was not told", "state", state, "err", err)
	}
}

// reloading is what systemd wants to hear before a reload: with the time by which it knows its own signal.
func (n *notifier) reloading() {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=reloading", now.Nano()/1000))
}

// watch tells the watchdog that the process lives, until done is closed. alive blocks when it does not.
func (n *notifier) watch(done <-chan struct{}, alive func()) {
	if n.conn == nil || n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		alive()
		n.tell("WATCHDOG=1")
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// systemdPlaces takes the directories that systemd made for the service (StateDirectory= and so on) instead of the usual ones.
func systemdPlaces(p place) place {
	for name, dir := range map[string]*string{"STATE_DIRECTORY": &p.stateDir, "LOGS_DIRECTORY": &p.logDir, "RUNTIME_DIRECTORY": &p.runDir} {
		if first, _, _ := strings.Cut(os.Getenv(name), ":"); filepath.IsAbs(first) {
			*dir = first
		}
	}
	return p
}
