// Command summary reads the output of `go test -json`, prints what failed in full and what was skipped by name, and ends
// with one line: N passed, N failed, N skipped. With CI=true a skipped test counts as failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	ci := os.Getenv("CI") == "true"
	output := map[string][]string{}
	passed, failed, skipped := 0, 0, 0
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Print(line)
				continue
			}
			key := e.Package + " " + e.Test
			switch e.Action {
			case "output", "build-output":
				output[key] = append(output[key], e.Output)
			case "pass":
				if e.Test != "" {
					passed++
				} else {
					fmt.Printf("ok    %s (%.1f s)\n", e.Package, e.Elapsed)
				}
				delete(output, key)
			case "skip":
				if e.Test != "" {
					skipped++
					fmt.Printf("SKIP  %s: %s\n", key, reason(output[key]))
					if ci {
						failed++
					}
				}
				delete(output, key)
			case "fail", "build-fail":
				if e.Test != "" || e.Action == "build-fail" || len(output[key]) > 0 {
					failed++
				}
				fmt.Printf("FAIL  %s\n%s", key, strings.Join(output[key], ""))
				delete(output, key)
				if e.Test == "" { // the process died, or was killed: what runs then has no end of its own
					for key, lines := range output {
						if strings.HasPrefix(key, e.Package+" ") {
							fmt.Printf("UNFINISHED  %s\n%s", key, strings.Join(lines, ""))
							delete(output, key)
						}
					}
				}
			}
		}
		if err != nil {
			break
		}
	}
	if ci && skipped > 0 {
		fmt.Println("CI=true: what is skipped counts as failed")
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func reason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" && !strings.HasPrefix(l, "---") && !strings.HasPrefix(l, "===") {
			return l
		}
	}
	return "no reason given"
}
