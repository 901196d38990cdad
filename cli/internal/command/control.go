package command

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func listPreprocessors(c *cli.Context, env Env) error {
	if !c.Bool("all") {
		rows := [][]string{{"PREPROCESSOR", "WHAT IT DOES"}}
		for _, p := range controlnet.Preprocessors {
			rows = append(rows, []string{p.Name, p.Doc})
		}
		return printList(env, c.Bool("json"), controlnet.Preprocessors, rows)
	}
	rows := [][]string{{"PREPROCESSOR", "OPTION", "DEFAULT", "RANGE", "WHAT IT DOES"}}
	for _, p := range controlnet.Preprocessors {
		names := p.Name
		if len(p.Aliases) > 0 {
			names += " (" + strings.Join(p.Aliases, ", ") + ")"
		}
		rows = append(rows, []string{names, "", "", "", p.Doc})
		for _, o := range p.Options {
			value, limits := fmt.Sprint(o.Default), fmt.Sprintf("%v to %v", o.Min, o.Max)
			if o.Switch {
				value, limits = strconv.FormatBool(o.Default != 0), "false, true"
			}
			rows = append(rows, []string{"", o.Name, value, limits, o.Doc})
		}
	}
	return printList(env, c.Bool("json"), controlnet.Preprocessors, rows)
}

// preprocessOptions is what control preprocess is asked to do.
type preprocessOptions struct {
	file          pictureFile
	net           controlnet.Net
	width, height int
	json          bool
}

// preprocessOptionsOf reads the flags; it reads no file.
func preprocessOptionsOf(c *cli.Context) (preprocessOptions, error) {
	o := preprocessOptions{width: c.Int("width"), height: c.Int("height"), json: c.Bool("json"),
		net: controlnet.Net{Preprocessor: c.String("preprocessor"), Resize: controlnet.ResizeMode(c.String("resize")), End: 1}}
	var err error
	if o.file, err = pictureFileOf(c); err != nil {
		return o, err
	}
	command := c.Command.HelpName
	if o.net.Preprocessor == "" {
		return o, usagef(command, "--preprocessor is missing; `daguerre control list` shows the names")
	}
	if _, err := controlnet.Find(o.net.Preprocessor); err != nil {
		return o, usagef(command, "--preprocessor: %v", err)
	}
	for _, flag := range []string{"width", "height"} {
		if err := inRange(c, flag, c.Int(flag), 1, request.MaxSide); err != nil && c.IsSet(flag) {
			return o, err
		}
	}
	o.net.Options, err = numbersOf(command, c.StringSlice("option"))
	return o, err
}

// numbersOf reads NAME=NUMBER pairs; false and true are values too.
func numbersOf(command string, pairs []string) (map[string]any, error) {
	out := map[string]any{}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef(command, "--option %s: write it as NAME=NUMBER", words.Clip(pair))
		}
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			out[name] = x
		} else if out[name] = text == "true"; text != "true" && text != "false" {
			return nil, usagef(command, "--option %s: %q is no number", name, words.Clip(text))
		}
	}
	return out, nil
}

func (o preprocessOptions) execute(_ context.Context, env Env) error {
	img, err := o.file.read(func(text string) { fmt.Fprintln(env.Stderr, "warning: "+strings.Map(printable, text)) })
	if err != nil {
		return err
	}
	o.net.Image = img
	if err := o.net.Validate(); err != nil {
		return &usageError{message: err.Error()}
	}
	size := img.Bounds().Size()
	size.X, size.Y = cmp.Or(o.width, size.X), cmp.Or(o.height, size.Y)
	out, err := o.net.Map(size.X, size.Y)
	if err != nil {
		return err
	}
	path, bytes, err := o.file.write(out)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(env.Stdout, writtenPicture{Path: path, Width: size.X, Height: size.Y, Bytes: bytes})
	}
	return printTo(env.Stdout, "%s  %d x %d\n", path, size.X, size.Y)
}
