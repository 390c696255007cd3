package store

import (
	"slices"
	"strings"
)

// command is a command's name, the number of its arguments with the name, its keys, and what it does.
type command struct {
	name        string
	min, max    int // arguments with the name; max < 0 is any
	first, last int // keys: args[first..last] by step; last < 0 counts from the end; first 0 is none
	step        int
	keys        func(args []string) (keys []string, all bool) // where first..last cannot say
	write       bool                                          // may change keys
	memory      bool                                          // may need memory
	noQueue     bool                                          // MULTI does not queue it
	check       func(args []string) *Reply                    // what is wrong with the arguments, if MULTI looks at more than their number; may be nil
	run         func(c *call) Reply
}

// commands are all commands, by their names in lower and in upper case.
var commands = map[string]*command{}

func init() {
	groups := [][]command{keyCommands, stringCommands, hashCommands, listCommands, setCommands, zsetCommands, hllCommands,
		streamCommands, connCommands, txCommands, scriptCommands, modelCommands}
	for _, g := range groups {
		for i := range g {
			cmd := &g[i]
			if cmd.step == 0 {
				cmd.step = 1
			}
			commands[cmd.name] = cmd
			commands[strings.ToUpper(cmd.name)] = cmd
		}
	}
}

// Commands returns the names of all commands in lower case, in no order.
func Commands() []string {
	var names []string
	for name, cmd := range commands {
		if name == cmd.name {
			names = append(names, name)
		}
	}
	return names
}

// keysOf returns the keys that args name; all is true for commands that touch every key.
func (cmd *command) keysOf(args []string) (keys []string, all bool) {
	if cmd.keys != nil {
		return cmd.keys(args)
	}
	if cmd.first == 0 {
		return nil, false
	}
	last := cmd.last
	if last < 0 {
		last += len(args)
	}
	for i := cmd.first; i <= last && i < len(args); i += cmd.step {
		keys = append(keys, args[i])
	}
	return keys, false
}

// shards returns the shards that cmd touches.
func (cmd *command) shards(s *Store, args []string) shardSet {
	keys, all := cmd.keysOf(args)
	if all {
		return everyShard
	}
	set := make(shardSet, len(keys))
	for i, k := range keys {
		set[i] = s.shardIndex(k)
	}
	return set.sorted()
}

// sorted puts shards in order and drops those that come twice.
func (s shardSet) sorted() shardSet {
	slices.Sort(s)
	return slices.Compact(s)
}

// one, read and write make the commonest forms: a command whose first argument is its only key.
func read1(name string, least, most int, run func(c *call) Reply) command {
	return command{name: name, min: least, max: most, first: 1, last: 1, run: run}
}

// readOf is a read1 of a value of type T; missing answers where there is none.
func readOf[T value](name string, least, most int, missing Reply, f func(c *call, v T) Reply) command {
	return read1(name, least, most, func(c *call) Reply {
		v, e, bad := typed[T](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return missing
		}
		return f(c, v)
	})
}

func write1(name string, least, most int, run func(c *call) Reply) command {
	return command{name: name, min: least, max: most, first: 1, last: 1, write: true, memory: true, run: run}
}

// free1 is a write that frees memory, if anything.
func free1(name string, least, most int, run func(c *call) Reply) command {
	return command{name: name, min: least, max: most, first: 1, last: 1, write: true, run: run}
}

// readN and writeN have keys from first to last.
func readN(name string, least, most, first, last int, run func(c *call) Reply) command {
	return command{name: name, min: least, max: most, first: first, last: last, run: run}
}

func writeN(name string, least, most, first, last int, run func(c *call) Reply) command {
	return command{name: name, min: least, max: most, first: first, last: last, write: true, memory: true, run: run}
}

// everyKey is the keys function of commands that touch all shards.
func everyKey([]string) ([]string, bool) { return nil, true }

// numbered returns the keys of commands that say how many there are at args[at]: "ZUNION 2 a b". more are keys before.
func numbered(at int, before ...int) func(args []string) ([]string, bool) {
	return func(args []string) ([]string, bool) {
		var keys []string
		for _, i := range before {
			if i < len(args) {
				keys = append(keys, args[i])
			}
		}
		if at < len(args) {
			if n, ok := parseInt(args[at]); ok && n > 0 && n <= int64(len(args)-at-1) {
				keys = append(keys, args[at+1:at+1+int(n)]...)
			}
		}
		return keys, false
	}
}

// is compares an option's name without regard to case.
func is(arg, option string) bool { return strings.EqualFold(arg, option) }
