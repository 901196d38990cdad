// Command nanopath unpacks the embedded nano model, where that has not happened yet, and prints
// the file's name. The native tests get their model from it.
package main

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func main() {
	path, err := nano.Path(context.Background())
	if err == nil {
		fmt.Println(path)
	}
	tool.Exit("nanopath", err)
}
