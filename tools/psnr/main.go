// Command psnr compares two pictures of the same size: psnr A.png B.png [MINIMUM]. It prints the peak signal-to-noise ratio in dB over all
// colour channels, "inf" for equal pictures, and exits 1 if it is below MINIMUM.
package main

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

func main() {
	tool.Exit("psnr", run(os.Args[1:]))
}

func run(args []string) error {
	if len(args) != 2 && len(args) != 3 {
		return fmt.Errorf("%d arguments; wanted A.png B.png [MINIMUM]", len(args))
	}
	minimum := math.Inf(-1)
	if len(args) == 3 {
		var err error
		if minimum, err = strconv.ParseFloat(args[2], 64); err != nil {
			return fmt.Errorf("minimum: %w", err)
		}
	}
	a, err := picture.Load(args[0])
	if err != nil {
		return err
	}
	b, err := picture.Load(args[1])
	if err != nil {
		return err
	}
	value, _, err := picture.Difference(a, b)
	if err != nil {
		return err
	}
	if math.IsInf(value, 1) {
		fmt.Println("inf")
	} else {
		fmt.Printf("%.1f\n", value)
	}
	if value < minimum {
		return fmt.Errorf("%.1f dB between %s and %s, wanted at least %g", value, args[0], args[1], minimum)
	}
	return nil
}
