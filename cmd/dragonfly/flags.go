package main

import (
	"fmt"
	"strings"
)

const usage = `Usage: dragonfly [-r root] [-c [chroot]] [-l logdir] [-p [user]] [-v] [-x] [-V] [command]

  -r DIR   root directory with scripts/config.lua (or config/config.lua), default /usr/local/dragonfly-mle
  -c [DIR] change the root of the file system to DIR (without DIR: to the root directory) when all is open
  -l DIR   log directory, default ROOT/log if it exists, else /var/log/dragonfly-mle
  -p [USER[:GROUP]]
           drop privileges to USER (without it: nobody) when all is open
  -v       log details
  -x       end when every input that has an end is drained
  -V       print the version and end

Commands:
  check            check config.lua and all scripts, run nothing
  test FILE.lua... run the examples in the headers of scripts
  state [show|json|forget]
                   show the checkpoint file: positions of inputs, states of scripts
  dead-letter ...  list, show, replay or drop events that failed (dead-letter help)
  spool ls | fsck [--repair] [TAG] | cat TAG
                   list, check, repair and print what waits on disk for sinks that were down
  flows [FLAGS] FILE...
                   print the flows of captures, as a table or as EVE events (flows -h)
  reference        print the reference of config.lua and of the Lua functions (Markdown)
  version, help

Signals: TERM, INT drain and end (a second one aborts); HUP reads config.lua and the scripts again; USR1 rotates output files.
Exit status: 0 drained, 1 failure, 2 usage, 78 configuration.
`

// flags is the command line.
type flags struct {
	root    string
	chroot  string // "" is none
	logDir  string
	drop    bool   // privileges
	user    string // of drop: USER or USER:GROUP; "" is nobody
	verbose bool
	exit    bool // -x
	version bool
	help    bool
	verb    string
	args    []string // of the verb
}

const defaultRoot = "/usr/local/dragonfly-mle"

// parseFlags reads the command line as getopt does: flags may be joined ("-pv") and stand before or behind the verb.
func parseFlags(args []string) (flags, error) {
	f := flags{root: defaultRoot}
	chroot := false
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			f.args = append(f.args, args...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			if f.verb == "" {
				if f.verb = arg; arg == deadLetterVerb || arg == flowsVerb { // they have flags of their own
					f.args = args
					break
				}
			} else {
				f.args = append(f.args, arg)
			}
			continue
		}
		if f.verb == "spool" && strings.HasPrefix(arg, "--") && arg != "--help" {
			f.args = append(f.args, arg)
			continue
		}
		if arg == "--help" || arg == "--version" {
			f.help, f.version = f.help || arg == "--help", f.version || arg == "--version"
			continue
		}
		for arg = arg[1:]; arg != ""; {
			c := arg[0]
			arg = arg[1:]
			switch c {
			case 'r', 'l':
				value := arg
				if arg = ""; value == "" {
					if len(args) == 0 {
						return f, fmt.Errorf("-%c wants a directory", c)
					}
					value, args = args[0], args[1:]
				}
				if c == 'r' && value != "" {
					f.root = value
				} else if c == 'l' {
					f.logDir = value
				}
			case 'c': // its directory may be left out
				chroot = true
				if arg != "" && !strings.ContainsRune("pvxV", rune(arg[0])) {
					f.chroot, arg = arg, ""
				} else if arg == "" && len(args) > 0 && !strings.HasPrefix(args[0], "-") && !isVerb(args[0]) {
					f.chroot, args = args[0], args[1:]
				}
			case 'p':
				f.drop = true // its user may be left out
				if arg == "" && len(args) > 0 && !strings.HasPrefix(args[0], "-") && !isVerb(args[0]) {
					f.user, args = args[0], args[1:]
				}
			case 'v':
				f.verbose = true
			case 'x':
				f.exit = true
			case 'V':
				f.version = true
			case 'h':
				f.help = true
			default:
				return f, fmt.Errorf("unknown flag -%c", c)
			}
		}
	}
	if chroot && f.chroot == "" {
		f.chroot = f.root
	}
	if f.verb != "" && !isVerb(f.verb) {
		return f, fmt.Errorf("unknown command %q", f.verb)
	}
	return f, nil
}

func isVerb(s string) bool {
	switch s {
	case "run", "check", "test", "state", deadLetterVerb, flowsVerb, "spool", "reference", "version", "help":
		return true
	}
	return false
}
