package hub

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
	"github.com/daguerre-go/daguerre/internal/words"
)

// choose finds the files of a revision that the name means.
func (p *puller) choose(tree hubcache.Tree) ([]string, error) {
	switch p.name.File {
	case "":
		return p.only(tree)
	case modelname.Whole:
		return p.folder(tree)
	}
	if _, ok := tree.Files[p.name.File]; !ok {
		names := slices.Collect(maps.Keys(tree.Files))
		slices.Sort(names)
		return nil, failed(ErrUnavailable, "%s: the repository has no such file%s; it has %s", p.name, words.DidYouMean(p.name.File, names),
			strings.Join(weightsOf(tree), ", "))
	}
	return []string{p.name.File}, p.notPickle(p.name.File, safeOnes(tree, p.name.File))
}

// weightsOf lists the files of weights.
func weightsOf(tree hubcache.Tree) (out []string) {
	for name := range tree.Files {
		if modelname.IsWeights(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// safeOnes lists the files that are like a pickle, and are none.
func safeOnes(tree hubcache.Tree, pickle string) (out []string) {
	for _, name := range weightsOf(tree) {
		if path.Dir(name) == path.Dir(pickle) && !modelname.IsPickle(name) {
			out = append(out, name)
		}
	}
	return out
}

// componentWeights are the names of the weights of diffusers' components, in their folders, with a variant and the number of a part.
var componentWeights = regexp.MustCompile(
	`^(?:diffusion_pytorch_model|model|pytorch_model)(?:\.([A-Za-z0-9_]+))?(?:-\d{5}-of-\d{5})?\.(safetensors|bin)$`)

// only finds the one model of a repository.
func (p *puller) only(tree hubcache.Tree) ([]string, error) {
	weights := weightsOf(tree)
	_, index := tree.Files["model_index.json"]
	_, config := tree.Files["config.json"]
	inFolder := func(name string) bool {
		return index && strings.Contains(name, "/") || config && !strings.Contains(name, "/") && componentWeights.MatchString(name)
	}
	folder := index || config && slices.ContainsFunc(weights, inFolder)
	single := slices.DeleteFunc(slices.Clone(weights), func(name string) bool {
		return folder && inFolder(name) || modelname.IsPickle(name) && hasSafe(tree, name)
	})
	if safe := slices.DeleteFunc(slices.Clone(single), modelname.IsPickle); len(safe) > 0 || folder {
		single = safe
	}
	switch {
	case folder && len(single) == 0:
		return p.folder(tree)
	case !folder && len(single) == 1:
		return single, p.notPickle(single[0], nil)
	case !folder && len(single) == 0:
		return nil, failed(ErrUnavailable, "%s: the repository has no file of weights (%s)", p.name,
			strings.Join(modelname.WeightExtensions, ", "))
	}
	var choices []string
	for _, name := range single {
		choices = append(choices, fmt.Sprintf("--file %s (%s)", name, words.Bytes(tree.Files[name].Size)))
	}
	if folder {
		for _, variant := range variants(tree) {
			flag := "--variant " + variant
			if variant == "" {
				flag = "--file ."
			}
			q := *p
			q.name.Variant = variant
			names, err := q.folder(tree)
			if err != nil {
				continue
			}
			size := int64(0)
			for _, name := range names {
				size += tree.Files[name].Size
			}
			choices = append(choices, fmt.Sprintf("%s for the diffusers folder (%s)", flag, words.Bytes(size)))
		}
	}
	return nil, &library.Error{Kind: ErrAmbiguous, Name: p.name.String(), Candidates: single,
		Message: "the repository has several models; choose one: " + strings.Join(choices, ", ")}
}

// hasSafe reports whether there is a safetensors file of a pickle's name.
func hasSafe(tree hubcache.Tree, pickle string) bool {
	_, ok := tree.Files[strings.TrimSuffix(pickle, path.Ext(pickle))+".safetensors"]
	return ok
}

// components are the folders of a pipeline whose weights are computed with. Their place in a lone component's repository is "".
var components = []string{"unet", "vae", "text_encoder", "text_encoder_2", ""}

// variants lists the variants of a folder's weights; "" is the one without a name.
func variants(tree hubcache.Tree) (out []string) {
	for _, name := range weightsOf(tree) {
		m := componentWeights.FindStringSubmatch(path.Base(name))
		if m != nil && slices.Contains(components, strings.Trim(path.Dir(name), ".")) && m[2] == "safetensors" && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return out
}

// folder lists the files of a diffusers folder: one variant of each component's weights, and all that is small and belongs to it.
func (p *puller) folder(tree hubcache.Tree) ([]string, error) {
	_, index := tree.Files["model_index.json"]
	if _, config := tree.Files["config.json"]; !index && !config {
		return nil, failed(ErrUnavailable, "%s: the repository is no diffusers folder: it has neither model_index.json nor config.json", p.name)
	}
	names := map[string]bool{}
	found := false
	for _, dir := range components {
		if index == (dir == "") {
			continue
		}
		weights, err := p.component(tree, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range weights {
			names[name], found = true, true
		}
	}
	if !found {
		return nil, failed(ErrUnavailable, "%s: the folder has no weights of SDXL's components", p.name)
	}
	for name, f := range tree.Files {
		ext := path.Ext(name)
		small := (ext == ".json" || ext == ".txt") && f.Size < 32<<20 && strings.Count(name, "/") <= 1
		if small && !strings.Contains(name, ".index.") {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// component lists the weights of a component, and the index of their parts.
func (p *puller) component(tree hubcache.Tree, dir string) ([]string, error) {
	byVariant := map[string][]string{}
	var pickles []string
	for _, name := range weightsOf(tree) {
		m := componentWeights.FindStringSubmatch(path.Base(name))
		if m == nil || strings.Trim(path.Dir(name), ".") != dir {
			continue
		}
		if m[2] == "bin" {
			pickles = append(pickles, name)
			if !p.pickles() || hasSafe(tree, name) {
				continue
			}
		}
		byVariant[m[1]] = append(byVariant[m[1]], name)
	}
	if len(byVariant) == 0 {
		if len(pickles) > 0 {
			return nil, p.notPickle(pickles[0], nil)
		}
		return nil, nil
	}
	variant := p.name.Variant
	list, ok := byVariant[variant]
	if !ok {
		have := slices.Sorted(maps.Keys(byVariant))
		if _, plain := byVariant[""]; plain && dir != "unet" && dir != "" {
			p.note("%s has no %s variant; the weights without one are taken, as diffusers does", dir, variant)
			list, variant = byVariant[""], ""
		} else {
			return nil, failed(ErrUnavailable, "%s: %s has no %s weights; there is %s", p.name, dirName(dir), variantName(variant),
				strings.Join(mapped(have, variantName), ", "))
		}
	}
	for name := range tree.Files {
		if strings.Trim(path.Dir(name), ".") == dir && strings.HasSuffix(name, ".json") && isIndexOf(path.Base(name), variant) && len(list) > 1 {
			list = append(list, name)
		}
	}
	return list, nil
}

// isIndexOf reports whether a file is the index of the parts of a variant's weights.
func isIndexOf(base, variant string) bool {
	middle := ""
	if variant != "" {
		middle = "." + variant
	}
	return strings.HasSuffix(base, ".safetensors.index"+middle+".json") ||
		variant != "" && strings.HasSuffix(base, middle+".safetensors.index.json")
}

func dirName(dir string) string {
	if dir == "" {
		return "the folder"
	}
	return dir
}

func variantName(v string) string {
	if v == "" {
		return "plain"
	}
	return v
}

func mapped(list []string, f func(string) string) (out []string) {
	for _, s := range list {
		out = append(out, f(s))
	}
	return out
}
