// Command fuzz runs the fuzz targets of the packages named by its arguments, one after the other, and prints a line for
// each. It ends with status 1 if one found something, or could not be built.
//
//	go run ./test/fuzz [-time 60s] [-only regexp] [packages, default ./...]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// grace is what a run may take beyond its time: to build, to run the seeds, to make a finding small. Longer is a hang.
const grace = 3 * time.Minute

func main() {
	limit := flag.Duration("time", time.Minute, "how long each target runs")
	only := flag.String("only", "", "run the targets whose package and name, as engine/model.FuzzLoad, match this `regexp`")
	flag.Parse()
	choice, err := regexp.Compile(*only)
	if err != nil || *limit <= 0 {
		fmt.Fprintln(os.Stderr, "fuzz: -time wants more than 0, -only a regular expression:", err)
		os.Exit(2)
	}
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *limit, choice, packages); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, limit time.Duration, choice *regexp.Regexp, packages []string) error {
	targets, err := list(ctx, packages)
	if err != nil {
		return err
	}
	ran, found := 0, 0
	for _, t := range targets {
		if !choice.MatchString(t.String()) {
			continue
		}
		r := t.run(ctx, limit)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted in %s; %d targets ran, %d found something", t, ran, found)
		}
		ran++
		if r.failed() {
			found++
		}
		fmt.Println(r.line(t))
	}
	switch {
	case ran == 0:
		return fmt.Errorf("no target matches %q; there are %d in %v", choice, len(targets), packages)
	case found > 0:
		return fmt.Errorf("%d of %d targets found something", found, ran)
	}
	return nil
}
