package command

import (
	"image"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// pictureFile is what a command that turns one picture file into another is told about both.
type pictureFile struct {
	input, output string
	quality       int
	overwrite     bool
}

// pictureFileOf reads the flags and the one argument, without touching a file.
func pictureFileOf(c *cli.Context) (pictureFile, error) {
	f := pictureFile{input: c.Args().First(), output: c.String("output"), quality: c.Int("quality"), overwrite: c.Bool("overwrite")}
	switch {
	case c.NArg() != 1:
		return f, usagef(c.Command.HelpName, "give one picture file to read")
	case f.output == "":
		return f, usagef(c.Command.HelpName, "--output is missing; give the file to write with -o")
	}
	err := inRange(c, "quality", f.quality, 1, 100)
	if err == nil {
		_, err = imagefile.FormatOf(f.output)
	}
	return f, err
}

// read decodes the input, and tells warn what is to be said of it.
func (f pictureFile) read(warn func(string)) (image.Image, error) {
	img, err := picture.Read(f.input, request.MaxPixels)
	if err != nil {
		return nil, &inputError{err}
	}
	for _, note := range picture.Notes(img) {
		warn(f.input + ": " + note)
	}
	return img, nil
}

// write encodes a picture and returns the name it got and its size.
func (f pictureFile) write(img image.Image) (path string, size int, err error) {
	format, err := imagefile.FormatOf(f.output)
	if err != nil {
		return "", 0, err
	}
	data, err := imagefile.Encode(img, format, imagefile.EncodeOptions{JPEGQuality: f.quality})
	if err != nil {
		return "", 0, err
	}
	w := output.Writer{Overwrite: f.overwrite}
	if path, err = w.Write(f.output, data); err != nil {
		return "", 0, &outputError{err}
	}
	return path, len(data), nil
}

// writtenPicture is what --json prints of a picture that was written.
type writtenPicture struct {
	Path   string `json:"path"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Bytes  int    `json:"bytes"`
}
