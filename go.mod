module dragonfly

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1
	github.com/klauspost/compress v1.20.3
	github.com/yuin/gopher-lua v1.1.2
	golang.org/x/sys v0.48.0
)
