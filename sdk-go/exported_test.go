// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestEveryExportedVerbHasAnExampleAndADocumentation reads the sources: a function or method that is exported is used in
// example_test.go, and says what it does. Those that an interface of the standard library asks for need no example.
func TestEveryExportedVerbHasAnExampleAndADocumentation(t *testing.T) {
	standard := map[string]bool{"Error": true, "Unwrap": true, "Is": true, "MarshalJSON": true, "MessageType": true}
	files := token.NewFileSet()
	examples, err := parser.ParseFile(files, "example_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	ast.Inspect(examples, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			used[selector.Sel.Name] = true
		}
		return true
	})
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	verbs := 0
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, entry.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			verb, ok := declaration.(*ast.FuncDecl)
			if !ok || !verb.Name.IsExported() || !onExported(verb) {
				continue
			}
			verbs++
			if verb.Doc == nil {
				t.Errorf("%s: %s has no documentation", entry.Name(), verb.Name)
			}
			if !used[verb.Name.Name] && !standard[verb.Name.Name] {
				t.Errorf("%s: %s has no example", entry.Name(), verb.Name)
			}
		}
	}
	if verbs < 50 {
		t.Fatalf("only %d verbs are seen", verbs)
	}
}

// onExported tells whether a function is one of the package or of an exported type.
func onExported(verb *ast.FuncDecl) bool {
	if verb.Recv == nil {
		return true
	}
	kind := verb.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return false
		}
	}
}
