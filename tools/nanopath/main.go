// Command nanopath unpacks the embedded nano model, where that has not happened yet, and prints
// the file's name. The native tests get their model from it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/daguerre-go/daguerre/models/nano"
)

func main() {
	path, err := nano.Path(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "nanopath:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}
