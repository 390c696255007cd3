package luabind

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	lua "github.com/yuin/gopher-lua"
)

func openOS(L *lua.LState) {
	t := libTable(L, "os")
	setFuncs(L, t, map[string]lua.LGFunction{
		"date": luaDate,
		"time": luaTime,
		"clock": func(L *lua.LState) int {
			var u syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &u)
			L.Push(lua.LNumber(float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9))
			return 1
		},
		"remove": func(L *lua.LState) int { return done(L, str(L, 1), os.Remove(str(L, 1))) },
		"rename": func(L *lua.LState) int { return done(L, str(L, 1), os.Rename(str(L, 1), str(L, 2))) },
		"setlocale": func(L *lua.LState) int { // there is only C's
			switch L.OptString(1, "C") {
			case "", "C", "POSIX":
				L.Push(lua.LString("C"))
			default:
				L.Push(lua.LNil)
			}
			return 1
		},
		"exit": func(L *lua.LState) int {
			u := L.NewUserData()
			u.Value = exitError{L.OptInt(1, 0)}
			L.Error(u, 1)
			return 0
		},
	})
}

// done returns true, or nil, a message as C words it and its number.
func done(L *lua.LState, name string, err error) int {
	if err == nil {
		L.Push(lua.LTrue)
		return 1
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	L.Push(lua.LNil)
	L.Push(lua.LString(name + ": " + errnoText(errno, err)))
	L.Push(lua.LNumber(errno))
	return 3
}

// luaDate is os.date: all conversions of C's strftime in the C locale, "*t" and "!".
func luaDate(L *lua.LState) int {
	format := L.OptString(1, "%c")
	at := time.Now()
	if L.Get(2) != lua.LNil {
		at = time.Unix(int64(num(L, 2)), 0)
	}
	if rest, ok := strings.CutPrefix(format, "!"); ok {
		format, at = rest, at.UTC()
	} else {
		at = at.Local()
	}
	if strings.HasPrefix(format, "*t") {
		t := L.CreateTable(0, 9)
		for k, v := range map[string]int{"year": at.Year(), "month": int(at.Month()), "day": at.Day(), "hour": at.Hour(), "min": at.Minute(),
			"sec": at.Second(), "wday": int(at.Weekday()) + 1, "yday": at.YearDay()} {
			t.RawSetString(k, lua.LNumber(v))
		}
		t.RawSetString("isdst", lua.LBool(at.IsDST()))
		L.Push(t)
		return 1
	}
	L.Push(lua.LString(strftime(nil, format, at)))
	return 1
}

func strftime(out []byte, format string, t time.Time) []byte {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out = append(out, format[i])
			continue
		}
		i++
		if (format[i] == 'E' || format[i] == 'O') && i+1 < len(format) {
			i++
		}
		out = conversion(out, format[i], t)
	}
	return out
}

func conversion(out []byte, c byte, t time.Time) []byte {
	number := func(n, width int) []byte {
		s := strconv.Itoa(n)
		for range width - len(s) {
			out = append(out, '0')
		}
		return append(out, s...)
	}
	year, week := t.ISOWeek()
	hour12 := (t.Hour()+11)%12 + 1
	switch c {
	case 'a':
		return t.AppendFormat(out, "Mon")
	case 'A':
		return t.AppendFormat(out, "Monday")
	case 'b', 'h':
		return t.AppendFormat(out, "Jan")
	case 'B':
		return t.AppendFormat(out, "January")
	case 'c':
		return strftime(out, "%a %b %e %H:%M:%S %Y", t)
	case 'C':
		return number(t.Year()/100, 2)
	case 'd':
		return number(t.Day(), 2)
	case 'D', 'x':
		return strftime(out, "%m/%d/%y", t)
	case 'e':
		return t.AppendFormat(out, "_2")
	case 'F':
		return strftime(out, "%Y-%m-%d", t)
	case 'g':
		return number(year%100, 2)
	case 'G':
		return number(year, 4)
	case 'H':
		return number(t.Hour(), 2)
	case 'I':
		return number(hour12, 2)
	case 'j':
		return number(t.YearDay(), 3)
	case 'k':
		return append(out, fmt.Sprintf("%2d", t.Hour())...)
	case 'l':
		return append(out, fmt.Sprintf("%2d", hour12)...)
	case 'm':
		return number(int(t.Month()), 2)
	case 'M':
		return number(t.Minute(), 2)
	case 'n':
		return append(out, '\n')
	case 'p':
		return t.AppendFormat(out, "PM")
	case 'P':
		return t.AppendFormat(out, "pm")
	case 'r':
		return strftime(out, "%I:%M:%S %p", t)
	case 'R':
		return strftime(out, "%H:%M", t)
	case 's':
		return strconv.AppendInt(out, t.Unix(), 10)
	case 'S':
		return number(t.Second(), 2)
	case 't':
		return append(out, '\t')
	case 'T', 'X':
		return strftime(out, "%H:%M:%S", t)
	case 'u':
		return number((int(t.Weekday())+6)%7+1, 1)
	case 'U':
		return number((t.YearDay()+6-int(t.Weekday()))/7, 2)
	case 'V':
		return number(week, 2)
	case 'w':
		return number(int(t.Weekday()), 1)
	case 'W':
		return number((t.YearDay()+6-(int(t.Weekday())+6)%7)/7, 2)
	case 'y':
		return number(t.Year()%100, 2)
	case 'Y':
		return number(t.Year(), 1)
	case 'z':
		return t.AppendFormat(out, "-0700")
	case 'Z':
		return t.AppendFormat(out, "MST")
	case '%':
		return append(out, '%')
	}
	return append(out, '%', c)
}

// luaTime is os.time: of now, or of a table whose fields may lie outside their ranges.
func luaTime(L *lua.LState) int {
	if L.Get(1) == lua.LNil {
		L.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}
	t := L.CheckTable(1)
	field := func(name string, otherwise int) int {
		v := t.RawGetString(name)
		switch v := v.(type) {
		case lua.LNumber:
			return int(v)
		case lua.LString:
			if n, ok := parseNumber(string(v)); ok {
				return int(n)
			}
		}
		if otherwise == math.MinInt {
			L.RaiseError("field '%s' missing in date table", name)
		}
		return otherwise
	}
	sec, minute, hour := field("sec", 0), field("min", 0), field("hour", 12)
	day, month, year := field("day", math.MinInt), field("month", math.MinInt), field("year", math.MinInt)
	at := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.Local)
	L.Push(lua.LNumber(at.Unix()))
	return 1
}

// openIO replaces io.open and io.lines: gopher-lua's files drop "\r". They exist until setup() has run.
func openIO(L *lua.LState, lim *limits) {
	t := libTable(L, "io")
	opened := &openedFiles{}
	L.G.Registry.RawSetString(filesKey, &lua.LUserData{Value: opened})
	meta := L.NewTable()
	methods := L.NewTable()
	meta.RawSetString("__index", methods)
	meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		u := L.CheckUserData(1)
		if f, ok := u.Value.(*luaFile); ok && f.file == nil {
			L.Push(lua.LString("file (closed)"))
		} else {
			L.Push(lua.LString(fmt.Sprintf("file (%p)", u)))
		}
		return 1
	}))
	setFuncs(L, methods, map[string]lua.LGFunction{
		"read": func(L *lua.LState) int { return fileArg(L).read(L, 2) },
		"lines": func(L *lua.LState) int {
			L.Push(lineReader(L, fileArg(L), false))
			return 1
		},
		"write": func(L *lua.LState) int {
			f := fileArg(L)
			for i := 2; i <= L.GetTop(); i++ {
				if _, err := f.file.WriteString(str(L, i)); err != nil {
					return failed(L, err)
				}
			}
			L.Push(L.Get(1))
			return 1
		},
		"seek": func(L *lua.LState) int {
			f := fileArg(L)
			whence := map[string]int{"set": io.SeekStart, "cur": io.SeekCurrent, "end": io.SeekEnd}[L.OptString(2, "cur")]
			offset := int64(optInteger(L, 3, 0))
			if whence == io.SeekCurrent {
				offset -= int64(f.r.Buffered())
			}
			n, err := f.file.Seek(offset, whence)
			if err != nil {
				return failed(L, err)
			}
			f.r.Reset(f.file)
			L.Push(lua.LNumber(n))
			return 1
		},
		"close":   closeFile,
		"flush":   func(L *lua.LState) int { L.Push(lua.LTrue); return 1 },
		"setvbuf": func(L *lua.LState) int { L.Push(lua.LTrue); return 1 },
	})
	open := func(L *lua.LState, name, mode string) (*lua.LUserData, error) {
		flags, ok := map[string]int{"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREATE | os.O_TRUNC, "a": os.O_WRONLY | os.O_CREATE | os.O_APPEND,
			"r+": os.O_RDWR, "w+": os.O_RDWR | os.O_CREATE | os.O_TRUNC, "a+": os.O_RDWR | os.O_CREATE | os.O_APPEND}[strings.Replace(mode, "b", "", 1)]
		if !ok {
			return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EINVAL}
		}
		if lim.opened != nil {
			lim.opened(name, access(flags))
		}
		f, err := os.OpenFile(name, flags, 0o644)
		if err != nil {
			return nil, err
		}
		u := L.NewUserData()
		file := &luaFile{f, bufio.NewReader(f)}
		opened.files = append(opened.files, file)
		u.Value = file
		u.Metatable = meta
		return u, nil
	}
	// The standard streams are gopher-lua's.
	gopherType, gopherClose := hostFunction(t, "type"), hostFunction(t, "close")
	setFuncs(L, t, map[string]lua.LGFunction{
		"open": func(L *lua.LState) int {
			name := str(L, 1)
			u, err := open(L, name, L.OptString(2, "r"))
			if err != nil {
				return done(L, name, err)
			}
			L.Push(u)
			return 1
		},
		"lines": func(L *lua.LState) int {
			name := str(L, 1)
			u, err := open(L, name, "r")
			if err != nil {
				var errno syscall.Errno
				errors.As(err, &errno)
				L.ArgError(1, name+": "+errnoText(errno, err))
			}
			L.Push(lineReader(L, u.Value.(*luaFile), true))
			return 1
		},
		"type": func(L *lua.LState) int {
			u, _ := L.CheckAny(1).(*lua.LUserData)
			if u == nil {
				L.Push(lua.LNil)
				return 1
			}
			switch f := u.Value.(type) {
			case *luaFile:
				if f.file == nil {
					L.Push(lua.LString("closed file"))
				} else {
					L.Push(lua.LString("file"))
				}
				return 1
			}
			return gopherType(L)
		},
		"close": func(L *lua.LState) int {
			if u, ok := L.Get(1).(*lua.LUserData); ok {
				if _, ok := u.Value.(*luaFile); ok {
					return closeFile(L)
				}
			}
			return gopherClose(L)
		},
	})
}

// errnoText is strerror as C words it.
func errnoText(errno syscall.Errno, err error) string {
	if errno == 0 {
		return err.Error()
	}
	s := errno.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

// hostFunction returns a function of a library table.
func hostFunction(t *lua.LTable, name string) lua.LGFunction {
	if fn, ok := t.RawGetString(name).(*lua.LFunction); ok && fn.IsG {
		return fn.GFunction
	}
	return func(L *lua.LState) int { L.ArgError(1, "file expected"); return 0 }
}

func closeFile(L *lua.LState) int {
	f := fileArg(L)
	f.file.Close()
	f.file = nil
	L.Push(lua.LTrue)
	return 1
}

// lineReader is the iterator of lines; the arguments behind the first are formats, as of read.
func lineReader(L *lua.LState, f *luaFile, closes bool) *lua.LFunction {
	var formats []lua.LValue
	for i := 2; i <= L.GetTop(); i++ {
		formats = append(formats, L.Get(i))
	}
	return L.NewFunction(func(L *lua.LState) int {
		if f.file == nil {
			L.RaiseError("file is already closed")
		}
		L.SetTop(0)
		for _, v := range formats {
			L.Push(v)
		}
		n := f.read(L, 1)
		if closes && L.Get(-n) == lua.LNil {
			f.file.Close()
			f.file = nil
		}
		return n
	})
}

type luaFile struct {
	file *os.File // nil when closed
	r    *bufio.Reader
}

// openedFiles are the files that a script has opened by io.open and io.lines.
type openedFiles struct{ files []*luaFile }

const filesKey = "dragonfly.files"

// sealFiles closes the files of a script, and takes the methods from those of gopher-lua's (popen, tmpfile) except the
// standard streams.
func sealFiles(L *lua.LState) {
	if u, ok := L.G.Registry.RawGetString(filesKey).(*lua.LUserData); ok {
		opened := u.Value.(*openedFiles)
		for _, f := range opened.files {
			if f.file != nil {
				f.file.Close()
				f.file = nil
			}
		}
		opened.files = nil
	}
	io, _ := L.G.Global.RawGetString("io").(*lua.LTable)
	if io == nil {
		return
	}
	meta, _ := L.GetTypeMetatable("FILE*").(*lua.LTable)
	if meta == nil {
		return
	}
	methods, _ := meta.RawGetString("__index").(*lua.LTable)
	if methods == nil {
		return
	}
	stdout, stderr := io.RawGetString("stdout"), io.RawGetString("stderr")
	methods.ForEach(func(k, v lua.LValue) {
		if fn, ok := v.(*lua.LFunction); ok && fn.IsG {
			old := fn.GFunction
			fn.GFunction = func(L *lua.LState) int {
				if f := L.Get(1); f != stdout && f != stderr {
					L.RaiseError("files are not available after setup()")
				}
				return old(L)
			}
		}
	})
}

func fileArg(L *lua.LState) *luaFile {
	f, ok := L.CheckUserData(1).Value.(*luaFile)
	if !ok {
		L.ArgError(1, "file expected")
	}
	if f.file == nil {
		L.RaiseError("attempt to use a closed file")
	}
	return f
}

func (f *luaFile) read(L *lua.LState, first int) int {
	if L.GetTop() < first {
		return f.readOne(L, "*l")
	}
	n, top := 0, L.GetTop()
	for i := first; i <= top && i < first+100; i++ {
		format := "*l"
		if count, ok := L.Get(i).(lua.LNumber); ok {
			format = strconv.Itoa(int(count))
		} else {
			format = str(L, i)
		}
		n += f.readOne(L, format)
		if L.Get(-1) == lua.LNil {
			break
		}
	}
	return n
}

// readOne pushes what one format reads; nil at the end of the file.
func (f *luaFile) readOne(L *lua.LState, format string) int {
	format = strings.TrimPrefix(format, "*")
	switch {
	case strings.HasPrefix(format, "a"):
		b, err := io.ReadAll(io.LimitReader(f.r, maxString))
		limitsOf(L).room(L, len(b))
		if err != nil {
			return failed(L, err)
		}
		L.Push(lua.LString(b))
	case format == "0":
		if _, err := f.r.Peek(1); err != nil {
			L.Push(lua.LNil)
		} else {
			L.Push(lua.LString(""))
		}
	case strings.HasPrefix(format, "l"), strings.HasPrefix(format, "L"):
		line, err := f.r.ReadString('\n')
		if line == "" && err != nil {
			L.Push(lua.LNil)
			return 1
		}
		if format[0] == 'l' {
			line = strings.TrimSuffix(line, "\n")
		}
		L.Push(lua.LString(line))
	case strings.HasPrefix(format, "n"):
		n, ok := f.number()
		if !ok {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(n))
	default:
		count, err := strconv.Atoi(format)
		if err != nil || count < 0 || count > maxString {
			L.RaiseError("bad argument #1 to 'read' (invalid format)")
		}
		b := make([]byte, count)
		got, _ := io.ReadFull(f.r, b)
		if got == 0 && count > 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LString(b[:got]))
	}
	return 1
}

// number reads white space and the longest text that can be a number.
func (f *luaFile) number() (float64, bool) {
	var text []byte
	for len(text) < 200 {
		c, err := f.r.ReadByte()
		if err != nil {
			break
		}
		if len(text) == 0 && strings.IndexByte(" \t\n\v\f\r", c) >= 0 {
			continue
		}
		before := byte(0)
		if len(text) > 0 {
			before = text[len(text)-1] | 0x20
		}
		hex := len(text) > 1 && strings.ContainsAny(string(text[:min(3, len(text))]), "xX")
		sign := (c == '+' || c == '-') && (len(text) == 0 || before == 'e' && !hex || before == 'p' && hex)
		letter := c|0x20 == 'e' || c|0x20 == 'x' || hex && (c|0x20 >= 'a' && c|0x20 <= 'f' || c|0x20 == 'p')
		if c-'0' > 9 && c != '.' && !sign && !letter {
			f.r.UnreadByte()
			break
		}
		text = append(text, c)
	}
	return parseNumber(string(text))
}
