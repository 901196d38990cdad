package request

import (
	"fmt"
	"slices"
)

const (
	maxIPAdapters = 16
	maxIPPictures = 16 // of one adapter
)

// IPAdapter is one IP-Adapter of a job, with the pictures that it is shown: an [[ip_adapter]] table.
type IPAdapter struct {
	Model        string    `key:"model"`
	ImageEncoder string    `key:"image_encoder" default:"model.image_encoder"`
	Images       []Picture `key:"images" alias:"image"`
	Embeds       Array     `key:"embeds"` // instead of Images
	Faces        Array     `key:"faces"`  // of FaceID
	SaveEmbeds   string    `key:"save_embeds"`

	Weight       *float64       `key:"weight" default:"1.0"`
	BlockWeights map[string]any `key:"block_weights"`
	Start        float64        `key:"start" default:"0.0"`
	End          float64        `key:"end" default:"1.0"`
	Masks        []Picture      `key:"masks" alias:"mask"`
	Shortcut     *float64       `key:"shortcut" default:"1.0 where the file's name has plusv2, else 0"`
}

func (a IPAdapter) validate(c checker) {
	if a.Model == "" {
		c.lacks("model", "is missing; give the adapter's file or name")
	}
	given := len(a.Images) > 0
	switch {
	case given && !a.Embeds.IsZero():
		c.fail("embeds", "are given beside images; leave one of them out")
	case !given && a.Embeds.IsZero() && a.Faces.IsZero():
		c.lacks("images", "are missing; give the pictures that are shown, or embeds that were saved before")
	case len(a.Images) > maxIPPictures:
		c.fail("images", "has %d entries; at most %d are possible", len(a.Images), maxIPPictures)
	case given && len(a.Masks) > 0 && len(a.Masks) != len(a.Images) && len(a.Masks) != 1:
		c.fail("masks", "there are %d for %d images; give one for each image, or one for all", len(a.Masks), len(a.Images))
	}
	if a.SaveEmbeds != "" && !given {
		c.fail("save_embeds", "there are no images whose embeddings could be saved; give images")
	}
	if a.End != 0 && a.Start >= a.End {
		c.fail("start", "is %v, not before end, which is %v: the adapter would never act", a.Start, a.End)
	}
	checkBlocks(c, "block_weights", a.BlockWeights, 0)
}

// checkBlocks checks the form of diffusers' dictionary for set_ip_adapter_scale. Which blocks there are is the model's.
func checkBlocks(c checker, path string, table map[string]any, depth int) {
	for _, key := range sortedKeys(table) {
		at := path + "." + key
		if depth == 0 && !slices.Contains([]string{"down", "mid", "up"}, key) {
			c.fail(at, "is no part of a UNet; there are down, mid and up")
			continue
		}
		checkBlock(c, at, table[key], depth)
	}
}

func checkBlock(c checker, at string, value any, depth int) {
	inner, isTable := value.(map[string]any)
	list, isList := value.([]any)
	switch x, isNumber := number(value); {
	case isTable && depth == 0:
		checkBlocks(c, at, inner, depth+1)
	case isList && len(list) > 0:
		for i, v := range list {
			if _, ok := number(v); !ok {
				c.fail(fmt.Sprintf("%s[%d]", at, i), "is %s; expected a number", kindOf(v))
			}
		}
	case !isNumber:
		c.fail(at, "is %s; expected a number, a list of numbers or a table of blocks", kindOf(value))
	case x < -10 || x > 10:
		c.fail(at, "is %v; it must be between -10 and 10", x)
	}
}

// Inputs calls the functions for each input of the request that is a file, given or not, with its key. They may change it. The lists that
// hold it belong to this request alone afterwards.
func (r *Request) Inputs(picture func(key string, p *Picture), array func(key string, a *Array)) {
	picture("init_image", &r.InitImage)
	picture("mask_image", &r.MaskImage)
	r.ControlNets = slices.Clone(r.ControlNets)
	for i := range r.ControlNets {
		picture(fmt.Sprintf("controlnet[%d].image", i), &r.ControlNets[i].Image)
	}
	r.Regions = slices.Clone(r.Regions)
	for i := range r.Regions {
		picture(fmt.Sprintf("region[%d].mask", i), &r.Regions[i].Mask)
	}
	r.Details = slices.Clone(r.Details)
	for i := range r.Details {
		picture(fmt.Sprintf("detail[%d].mask", i), &r.Details[i].Mask)
	}
	array("noise", &r.Noise)
	array("latents", &r.Latents)
	r.IPAdapters = slices.Clone(r.IPAdapters)
	for i := range r.IPAdapters {
		a := &r.IPAdapters[i]
		for _, list := range []struct {
			key string
			of  *[]Picture
		}{{"images", &a.Images}, {"masks", &a.Masks}} {
			*list.of = slices.Clone(*list.of)
			for k := range *list.of {
				picture(fmt.Sprintf("ip_adapter[%d].%s[%d]", i, list.key, k), &(*list.of)[k])
			}
		}
		array(fmt.Sprintf("ip_adapter[%d].embeds", i), &a.Embeds)
		array(fmt.Sprintf("ip_adapter[%d].faces", i), &a.Faces)
	}
}
