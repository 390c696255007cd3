package luabind

import (
	"fmt"
	"reflect"

	"github.com/yuin/gopher-lua/ast"
)

// maxNesting is how deep source text may nest: brackets, blocks, operators, elseif. What compiles it calls itself, and a
// million levels would end the process.
const maxNesting = 20_000

// checkNesting returns an error if a parsed text nests deeper. Texts of less than maxNesting bytes cannot.
func checkNesting(source string, chunk []ast.Stmt) error {
	if len(source) < maxNesting {
		return nil
	}
	type node struct {
		v     reflect.Value
		depth int
	}
	todo := []node{{reflect.ValueOf(chunk), 0}}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.depth > maxNesting {
			return fmt.Errorf("the source text nests more than %d levels deep", maxNesting)
		}
		switch n.v.Kind() {
		case reflect.Interface:
			todo = append(todo, node{n.v.Elem(), n.depth})
		case reflect.Pointer:
			todo = append(todo, node{n.v.Elem(), n.depth + 1})
		case reflect.Slice:
			for i := range n.v.Len() {
				todo = append(todo, node{n.v.Index(i), n.depth})
			}
		case reflect.Struct:
			for i := range n.v.NumField() {
				switch n.v.Field(i).Kind() {
				case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Struct:
					todo = append(todo, node{n.v.Field(i), n.depth})
				}
			}
		}
	}
	return nil
}
