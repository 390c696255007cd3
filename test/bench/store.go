package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The part of the benchmark about Redis and the embedded store, and about analyzers whose heavy step is a host function.

const (
	perEvent = 100 // commands in one call of loop
	// what dragonfly-mle does on two cores with redis-server and redis-ml on loopback, measured by this project
	originalDGA = 7000.0
	originalIP  = 8300.0
)

// commandRun is a loop of commands in one call of loop().
type commandRun struct {
	name  string
	setup string
	body  string // of loop(e); "" is the empty loop
	redis bool   // a real server
	calls int    // events
}

// storeBench appends its tables to report.
func storeBench(report *strings.Builder, dir, bin string) error {
	server, stop, err := startRedis(dir)
	if err != nil {
		fmt.Fprintf(report, "\n## Redis and the embedded store\n\nNot measured: %v\n", err)
		return nil
	}
	defer stop()
	loop := func(body string) string {
		return fmt.Sprintf("for i = 1, %d do %s end", perEvent, body)
	}
	key := `local k = keys[i]`
	setup := fmt.Sprintf("keys = {} for i = 1, %d do keys[i] = 'count:10.0.0.' .. i end c = hiredis.connect()", perEvent)
	zset := setup + " for i = 1, 100000 do c:command('ZADD', 'z', (i * 7919) % 1000003, 'm' .. i) end for i = 1, " + fmt.Sprint(perEvent) + " do keys[i] = 'm' .. i * 997 end"
	runs := []commandRun{
		{"the loop alone", setup, loop(key), false, 30000},
		{"INCR, embedded: `conn:command`", setup, loop(key + ` c:command("INCR", k)`), false, 30000},
		{"INCR, embedded: `conn:command_line`", setup, loop(key + ` c:command_line("INCR " .. k)`), false, 30000},
		{"INCR, embedded: `redis.command`", setup, loop(key + ` redis.command("INCR", k)`), false, 30000},
		{"HINCRBY, embedded", setup, loop(key + ` c:command("HINCRBY", "h", k, 1)`), false, 30000},
		{"PFADD, embedded", setup, loop(key + ` c:command("PFADD", "p", k)`), false, 30000},
		{"ZINCRBY, embedded, 100 members", setup, loop(key + ` c:command("ZINCRBY", "zz", 1, k)`), false, 30000},
		{"ZRANK, embedded, 100,000 members", zset, loop(key + ` c:command("ZRANK", "z", k)`), false, 10000},
		{"INCR, redis-server, one by one", setup, loop(key + ` c:command("INCR", k)`), true, 400},
		{"INCR, redis-server, append_command by 100", setup, loop(key+` c:append_command("INCR", k)`) + " " + loop(`c:get_reply()`), true, 6000},
	}
	type result struct{ cpu, wall []float64 } // us per command
	results := make([]result, len(runs))
	var jit result
	for range *rounds {
		for i, r := range runs {
			f, err := commands(dir, bin, server, r, 1)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			n := float64(r.calls * perEvent)
			results[i].cpu = append(results[i].cpu, f.cpu.Seconds()*1e6/n)
			results[i].wall = append(results[i].wall, f.wall.Seconds()*1e6/n)
		}
		if f, n, err := luajitRedis(dir, server); err == nil {
			jit.cpu, jit.wall = append(jit.cpu, f.cpu.Seconds()*1e6/n), append(jit.wall, f.wall.Seconds()*1e6/n)
		}
	}
	mid := func(v []float64) float64 {
		if len(v) == 0 {
			return 0
		}
		v = slices.Clone(v)
		slices.Sort(v)
		return v[len(v)/2]
	}
	fmt.Fprintf(report, "\n## Redis and the embedded store: commands from a script\n\n"+
		"%d commands in each call of loop(); redis-server through a unix socket. Embedded: CPU of the whole process less that of the loop alone; redis-server: time, server and program on the same cores.\n\n", perEvent)
	report.WriteString("| command | us per command | against |\n|---|---|---|\n")
	empty := mid(results[0].cpu)
	sync := mid(results[8].wall)
	for i, r := range runs[1:] {
		i++
		if !r.redis {
			us := mid(results[i].cpu) - empty
			fmt.Fprintf(report, "| %s | %.2f CPU | %.0fx faster than one by one to redis-server |\n", r.name, us, sync/us)
			continue
		}
		against := ""
		if len(jit.wall) > 0 {
			against = fmt.Sprintf("**%.2fx** LuaJIT with hiredis (%.1f us)", mid(jit.wall)/mid(results[i].wall), mid(jit.wall))
		}
		fmt.Fprintf(report, "| %s | %.2f | %s |\n", r.name, mid(results[i].wall), against)
	}
	// two workers on a shared store
	incr := runs[1]
	incr.calls = 60000
	var one, two []float64
	for range *rounds {
		for _, w := range []struct {
			workers int
			list    *[]float64
		}{{1, &one}, {2, &two}} {
			f, err := commands(dir, bin, server, incr, w.workers)
			if err != nil {
				return err
			}
			*w.list = append(*w.list, f.wall.Seconds())
		}
	}
	fmt.Fprintf(report, "\nINCR with two workers against one on the same keys: **%.2fx** the throughput.\n", mid(one)/mid(two))
	return analyzerBench(report, dir, bin)
}

// commands runs one commandRun.
func commands(dir, bin, server string, r commandRun, workers int) (figures, error) {
	root := filepath.Join(dir, "commands")
	os.RemoveAll(root)
	redis := ""
	if r.redis {
		redis = fmt.Sprintf("redis = %q\n", server)
	}
	files := map[string]string{
		"scripts/filter.lua": fmt.Sprintf("function setup() %s end\nfunction loop(e) %s end\n", r.setup, r.body),
		"scripts/config.lua": fmt.Sprintf("%slisten = \"\"\nmax_in_flight = 100000\ninputs = { {tag = \"in\", uri = \"file://in.json\", script = \"filter.lua\", workers = %d} }\noutputs = {}\n", redis, workers),
		"log/in.json":        strings.Repeat("{\"n\":1}\n", r.calls),
	}
	if err := writeAll(root, files); err != nil {
		return figures{}, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command(bin, "-r", root, "-x")
	cmd.Stderr = &stderr
	f, err := timed(cmd)
	if err != nil || !strings.Contains(stderr.String(), "dead-lettered 0 + in flight 0") {
		return f, fmt.Errorf("%v: %s", err, stderr.String())
	}
	return f, nil
}

func writeAll(root string, files map[string]string) error {
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts a redis-server of our own on a unix socket.
func startRedis(dir string) (socket string, stop func(), err error) {
	socket = filepath.Join(dir, "redis.sock")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { cmd.Process.Kill(); cmd.Wait() }
	for range 100 {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket, stop, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("redis-server does not answer at %s", socket)
}

// luajitRedis does INCR one by one from LuaJIT with the C library hiredis, through the FFI: the best that it can.
func luajitRedis(dir, socket string) (figures, float64, error) {
	const n = 40000
	script := filepath.Join(dir, "hiredis.lua")
	text := `local ffi = require 'ffi'
ffi.cdef[[
typedef struct redisReply { int type; long long integer; } redisReply;
void *redisConnectUnix(const char *path);
void *redisCommandArgv(void *c, int argc, const char **argv, const size_t *lens);
void freeReplyObject(void *r);
]]
local lib
for _, name in ipairs{'libhiredis.so.0.14', 'libhiredis.so.1.1.0', 'libhiredis.so'} do
  local ok, l = pcall(ffi.load, name)
  if ok then lib = l break end
end
local c = lib.redisConnectUnix(arg[1])
local argv, lens = ffi.new('const char*[2]'), ffi.new('size_t[2]')
local keys = {}
for i = 1, 100 do keys[i] = 'count:10.0.0.' .. i end
local sum = 0
for i = 1, tonumber(arg[2]) do
  local k = keys[i % 100 + 1]
  argv[0], argv[1], lens[0], lens[1] = 'INCR', k, 4, #k
  local r = ffi.cast('redisReply*', lib.redisCommandArgv(c, 2, argv, lens))
  sum = sum + tonumber(r.integer)
  lib.freeReplyObject(r)
end
assert(sum > 0)
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		return figures{}, 0, err
	}
	f, err := timed(exec.Command("luajit", script, socket, fmt.Sprint(n)))
	return f, n, err
}

// analyzerBench measures shipped analyzers against dragonfly-mle's of the same purpose.
func analyzerBench(report *strings.Builder, dir, bin string) error {
	type job struct {
		name, script, kind, corpus string
		original                   float64
		what                       string
	}
	jobs := []job{
		{"dga.lua (random forest), DNS events only", "dga.lua", "dns", "eve-dnsv1.json", originalDGA, "dga-lr-mle.lua with redis-ml on DNS events"},
		{"internal-ip.lua, all events", "internal-ip.lua", "", "eve-mixed.json", originalIP, "its chain time-anomaly, internal-ip, write-to-log"},
	}
	source := func(name string) string {
		if p := "../shared/data/reference/eve/" + name; exists(p) {
			return p
		}
		return "test/data/eve.json"
	}
	report.WriteString("\n## Analyzers with host functions, against dragonfly-mle's\n\nEmbedded store, file to file, one worker. dragonfly-mle's figures were measured on two cores with redis-server and redis-ml on loopback, on events of the same kind.\n\n| analyzer | events/s | CPU us/event | dragonfly-mle events/s | ratio |\n|---|---|---|---|---|\n")
	for _, j := range jobs {
		if !exists(filepath.Join("analyzers", j.script)) {
			continue
		}
		input := filepath.Join(dir, "part.json")
		n, err := repeatEvents(source(j.corpus), input, j.kind, 200_000)
		if err != nil {
			return err
		}
		var list []figures
		for range *rounds {
			root := filepath.Join(dir, "analyzer")
			os.RemoveAll(root)
			err := writeAll(root, map[string]string{
				"scripts/filter.lua": "function setup() end\nfunction loop(e) " + pass + " end\n",
				"scripts/config.lua": fmt.Sprintf("listen = \"\"\ninputs = { {tag = \"in\", uri = \"file://%s\", script = \"filter.lua\", default_analyzer = \"a\"} }\n"+
					"analyzers = { {tag = \"a\", script = %q, default_analyzer = \"w\", default_output = \"found\"}, {tag = \"w\", script = \"w.lua\", default_output = \"out\"} }\n"+
					"outputs = { {tag = \"out\", uri = \"file://out.json\"}, {tag = \"found\", uri = \"file://found.json\"} }\n", input, j.script),
				"analyzers/w.lua": "function setup() end\nfunction loop(e) dragonfly.output_event(default_output, e) end\n",
				"log/.keep":       "",
			})
			if err == nil {
				err = exec.Command("cp", "-r", "analyzers/.", filepath.Join(root, "analyzers")).Run()
			}
			if err == nil {
				err = exec.Command("cp", "-r", "scripts/lib", filepath.Join(root, "scripts")).Run()
			}
			if err != nil {
				return err
			}
			var stderr bytes.Buffer
			cmd := exec.Command(bin, "-r", root, "-x")
			cmd.Stderr = &stderr
			f, err := timed(cmd)
			if err != nil || !strings.Contains(stderr.String(), "dead-lettered 0 + in flight 0") {
				return fmt.Errorf("%s: %v: %s", j.script, err, stderr.String())
			}
			list = append(list, f)
		}
		rate := float64(n) / median(list, func(f figures) float64 { return f.wall.Seconds() })
		fmt.Fprintf(report, "| %s | %.0f | %.2f | %.0f (%s) | **%.1fx** |\n", j.name, rate, median(list, func(f figures) float64 { return f.cpu.Seconds() * 1e6 / float64(n) }), j.original, j.what, rate/j.original)
	}
	return nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// repeatEvents writes n events of a type ("" is all) from a corpus, again and again, and returns n.
func repeatEvents(corpus, path, kind string, n int) (int, error) {
	text, err := os.ReadFile(corpus)
	if err != nil {
		return 0, err
	}
	var list []string
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSpace(l); l != "" && (kind == "" || strings.Contains(l, `"event_type":"`+kind+`"`)) {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return 0, fmt.Errorf("%s has no %s events", corpus, kind)
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		w.WriteString(list[i%len(list)])
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return n, f.Close()
}
