// Package words is how numbers, sizes and names are written in messages, and how a mistyped name is told from the known ones.
package words
