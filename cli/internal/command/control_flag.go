package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// controlKey is where another key of a [[controlnet]] begins in the value of --control.
var controlKey = regexp.MustCompile(`,([a-z_]+)=`)

// controlTable reads the value of --control, NET=PICTURE[:WEIGHT][,KEY=VALUE ...], as the table of a run file.
func controlTable(text string) (map[string]any, error) {
	table, err := sideTable(text)
	if err == nil && (table["model"] == "" || table["image"] == "") {
		return nil, errors.New("names no net with its picture; write NET=PICTURE, or NET=PICTURE:0.8 with a weight")
	}
	return table, err
}

// sideTable reads FILE=PICTURE[:WEIGHT][,KEY=VALUE ...] as the keys model, image and weight, and those that are named.
func sideTable(text string) (map[string]any, error) {
	head, table := text, map[string]any{}
	at := controlKey.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		if i == 0 {
			head = text[:m[0]]
		}
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		key := text[m[2]:m[3]]
		if _, twice := table[key]; twice {
			return nil, fmt.Errorf("has %s twice; leave one out", key)
		}
		table[key] = plainValue(text[m[1]:end])
	}
	net, picture := netAndPicture(head)
	if i := strings.LastIndexByte(picture, ':'); i > 0 {
		if point := words.DecimalPoint(picture[i+1:]); point != "" {
			return nil, fmt.Errorf("has a decimal comma; write %s=%s:%s", words.Clip(net), words.Clip(picture[:i]), point)
		}
		if w, err := strconv.ParseFloat(picture[i+1:], 64); err == nil {
			picture, table["weight"] = picture[:i], w
		}
	}
	table["model"], table["image"] = net, picture
	return table, nil
}

// netExtensions are the endings of files of ControlNets.
var netExtensions = append([]string{".gguf"}, adapters.Extensions...)

// netAndPicture parts NET=PICTURE. Both may have a "=" in their names: a net ends where its file name does, and otherwise at the first.
func netAndPicture(text string) (net, picture string) {
	for i, r := range text {
		if r == '=' && slices.Contains(netExtensions, strings.ToLower(filepath.Ext(text[:i]))) {
			return text[:i], text[i+1:]
		}
	}
	net, picture, _ = strings.Cut(text, "=")
	return net, picture
}

// plainValue is a number, a boolean or a text, as TOML would have it.
func plainValue(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return x
	}
	if b, err := strconv.ParseBool(text); err == nil {
		return b
	}
	return text
}

// addControls puts the ControlNets of --control flags behind those of a run file. They go through the decoder of run files. One that the
// file has already, by its name, keeps what the flag does not say. The list given is not changed.
func addControls(list []request.ControlNet, flag string, values []string, errs *request.Errors) []request.ControlNet {
	list = slices.Clone(list)
	fromFile := len(list)
	for _, text := range values {
		job, ok := flagTable("controlnet", flag, text, controlTable, errs)
		if !ok {
			continue
		}
		net := job.ControlNets[0]
		i := slices.IndexFunc(list, func(have request.ControlNet) bool { return have.Model == net.Model })
		if i < 0 || i >= fromFile { // the same net may act with several pictures
			list = append(list, net)
			continue
		}
		mergeControl(&list[i], net)
	}
	return list
}

// mergeControl puts what a flag says over a table of a run file.
func mergeControl(have *request.ControlNet, said request.ControlNet) {
	have.Image = said.Image
	if said.Weight != nil {
		have.Weight = said.Weight
	}
	for _, f := range []struct{ to, from *float64 }{{&have.Start, &said.Start}, {&have.End, &said.End}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *string }{{&have.ControlMode, &said.ControlMode}, {&have.ResizeMode, &said.ResizeMode},
		{&have.Preprocessor, &said.Preprocessor}, {&have.UnionType, &said.UnionType}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	have.UnionJoined = have.UnionJoined || said.UnionJoined
}

// typedControls tells which ControlNets flags have named.
func typedControls(run *request.Run, list []request.ControlNet, flags []string) {
	for i, have := range list {
		for _, text := range flags {
			if strings.HasPrefix(text, have.Model+"=") {
				run.Typed("controlnet["+strconv.Itoa(i)+"]", "--control "+have.Model)
			}
		}
	}
}
