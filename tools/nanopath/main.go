// Command nanopath unpacks the embedded nano model, where that has not happened yet, and prints
// the file's name. With -table it writes the model's table of weights, from which the native tests open it
// (native/tests/nano.h says how it reads).
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func main() {
	table := flag.String("table", "", "write the table of weights to this `file`")
	flag.Parse()
	path, err := nano.Path(context.Background())
	if err == nil && *table != "" {
		err = writeTable(path, *table)
	}
	if err == nil {
		fmt.Println(path)
	}
	tool.Exit("nanopath", err)
}

func writeTable(model, to string) error {
	m, err := modelfile.ReadModel(backend.Files{Model: model})
	if err != nil {
		return err
	}
	table, err := m.Table()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, model)
	for _, w := range table.Weights {
		number, _ := modelfile.DType(strings.ToUpper(string(w.Type))).GGML()
		fmt.Fprint(&out, w.Name, " ", w.Stored, " ", number, " ", w.Offset, " ", w.Bytes, " ", len(w.Shape))
		for _, n := range w.Shape {
			fmt.Fprint(&out, " ", n)
		}
		strided := 0
		if w.Strides != nil {
			strided = 1
		}
		fmt.Fprint(&out, " ", strided)
		for _, n := range w.Strides {
			fmt.Fprint(&out, " ", n)
		}
		fmt.Fprintln(&out)
	}
	return os.WriteFile(to, out.Bytes(), 0o644)
}
