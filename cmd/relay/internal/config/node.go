package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// nodeAt returns where a node begins.
func nodeAt(n ast.Node) position {
	if n == nil {
		return position{1, 1}
	}
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return nodeAt(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return nodeAt(m.Key)
	case *ast.LiteralNode:
		return tokenAt(m.Start)
	}
	return tokenAt(n.GetToken())
}

// scalarText returns the text of a scalar as YAML reads it, and whether n is one.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return strings.TrimSpace(n.GetToken().Value), true
	}
	return "", false
}

// keyName returns the text of a mapping's key.
func keyName(k ast.MapKeyNode) string {
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value
	case *ast.MappingKeyNode:
		return strings.TrimSpace(k.String())
	}
	return strings.TrimSpace(k.GetToken().Value)
}

// describe says in words what stands where something else was expected.
func describe(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "a section of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "nothing"
	}
	return "a single value"
}
