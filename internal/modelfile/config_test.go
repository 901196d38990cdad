package modelfile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withMetadata is a safetensors file without tensors.
func withMetadata(meta map[string]string) []byte {
	text, _ := json.Marshal(meta)
	return stFile(fmt.Sprintf(`{"__metadata__":%s}`, text), 0)
}

func configOf(t *testing.T, meta map[string]string) (Config, error) {
	t.Helper()
	f, err := open("m.safetensors", withMetadata(meta))
	require.NoError(t, err)
	return f.config(locate(newTable(0, f)))
}

const wholeConfig = `{"unet":{"norm_num_groups":4,"block_out_channels":[32,64,128],"attention_head_dim":[1,1,2],
"down_block_types":["DownBlock2D","CrossAttnDownBlock2D","CrossAttnDownBlock2D"],"sample_size":16,"act_fn":"silu"},
"vae":{"norm_num_groups":2,"scaling_factor":0.59,"shift_factor":null,"force_upcast":false,"latents_mean":[0,1],"latents_std":[1,2]},
"scheduler":{"_class_name":"EulerDiscreteScheduler","prediction_type":"v_prediction","rescale_betas_zero_snr":true,"steps_offset":0,"unknown":{"x":[1]}},
"text_encoder":{"hidden_act":"quick_gelu","hidden_size":64,"num_attention_heads":1},"text_encoder_2":{"hidden_act":"gelu"},
"default":{"width":128,"height":96,"num_inference_steps":20,"guidance_scale":0},"force_zeros_for_empty_prompt":true,"something":"else"}`

func TestConfigFromMetadata(t *testing.T) {
	c, err := configOf(t, map[string]string{MetadataKey: wholeConfig})
	require.NoError(t, err)
	assert.Equal(t, UNetConfig{NormNumGroups: 4, HeadDim: 64, SampleSize: 16}, c.UNet)
	assert.Equal(t, 0.59, c.VAE.ScalingFactor)
	assert.Equal(t, []float64{1, 2}, c.VAE.LatentsStd)
	assert.False(t, *c.VAE.ForceUpcast)
	assert.Zero(t, c.VAE.ShiftFactor)
	assert.Equal(t, "v_prediction", c.Scheduler.PredictionType)
	assert.True(t, *c.Scheduler.RescaleBetasZeroSNR)
	assert.Equal(t, 0, *c.Scheduler.StepsOffset)
	assert.Contains(t, c.Scheduler.Raw, "unknown")
	assert.Equal(t, TextEncoderConfig{"quick_gelu", 64}, c.TextEncoder)
	assert.Equal(t, "gelu", c.TextEncoder2.HiddenAct)
	assert.Equal(t, 128, c.Default.Width)
	assert.Equal(t, 0.0, *c.Default.GuidanceScale)
	assert.True(t, *c.ForceZerosForEmptyPrompt)
	assert.Equal(t, []string{"metadata " + MetadataKey}, c.Sources)

	text, err := c.MarshalMetadata()
	require.NoError(t, err)
	back, err := configOf(t, map[string]string{MetadataKey: text})
	require.NoError(t, err)
	back.Scheduler.Raw, c.Scheduler.Raw = nil, nil
	assert.Equal(t, c, back, "what is written is read again")
}

func TestConfigRefuses(t *testing.T) {
	for text, says := range map[string]string{
		`{"unet":3}`:                                                               "unet: found the number",
		`{"unet":{"norm_num_groups":"4"}}`:                                         `unet.norm_num_groups: found the string "4" instead of an integer`,
		`{"unet":{"norm_num_groups":0}}`:                                           "unet.norm_num_groups: 0 is not in 1 to",
		`{"unet":{"norm_num_groups":1.5}}`:                                         "unet.norm_num_groups",
		`{"unet":{"norm_num_groups":1e400}}`:                                       "unet.norm_num_groups",
		`{"vae":{"scaling_factor":true}}`:                                          "vae.scaling_factor: found true instead of a number",
		`{"vae":{"scaling_factor":-1}}`:                                            "vae.scaling_factor: -1 is not positive",
		`{"vae":{"scaling_factor":1e999}}`:                                         "vae.scaling_factor",
		`{"vae":{"force_upcast":"no"}}`:                                            "vae.force_upcast",
		`{"vae":{"latents_mean":[1]}}`:                                             "vae.latents_std: 0 numbers",
		`{"vae":{"latents_mean":[1],"latents_std":[0]}}`:                           "vae.latents_std: 0 is not positive",
		`{"scheduler":{"prediction_type":"magic"}}`:                                "scheduler.prediction_type",
		`{"scheduler":[]}`:                                                         "scheduler: found a list",
		`{"text_encoder":{"hidden_act":"relu"}}`:                                   "text_encoder.hidden_act",
		`{"text_encoder_2":{"hidden_size":10,"num_attention_heads":3}}`:            "text_encoder_2.num_attention_heads",
		`{"default":{"width":4}}`:                                                  "default.width",
		`{"default":{"num_inference_steps":1000000}}`:                              "default.num_inference_steps",
		`{"force_zeros_for_empty_prompt":1}`:                                       "force_zeros_for_empty_prompt",
		`{"unet":{"block_out_channels":[320,640],"attention_head_dim":[5,7]}}`:     "7 heads do not divide 640",
		`{"unet":{"block_out_channels":[320,640],"attention_head_dim":[5,5]}}`:     "heads of 64 and of 128",
		`{"unet":{"block_out_channels":[320,640],"attention_head_dim":[5,10,20]}}`: "3 numbers for 2 levels",
		`[]`:                     "instead of a JSON object",
		`{"unet":`:               "bad JSON",
		`{} x`:                   MetadataKey,
		strings.Repeat("[", 100): "nested deeper",
		"{\"unet\":{\"sample_size\":\"\u00e9\"}}": "sample_size",
	} {
		_, err := configOf(t, map[string]string{MetadataKey: text})
		requireError(t, err, ErrConfig, says, "m.safetensors")
	}
}

func TestConfigMarkers(t *testing.T) {
	f, err := open("m.safetensors", stFile(`{"v_pred":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"ztsnr":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},`+
		`"edm_vpred.sigma_max":{"dtype":"U8","shape":[],"data_offsets":[1,2]},"edm_vpred.sigma_min":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3))
	require.NoError(t, err)
	c, err := f.config(locate(newTable(0, f)))
	require.NoError(t, err)
	assert.Equal(t, "v_prediction", c.Scheduler.PredictionType)
	assert.True(t, *c.Scheduler.RescaleBetasZeroSNR)
	assert.True(t, c.Scheduler.EDM)
	assert.Equal(t, 1.0, *c.Scheduler.SigmaMax)
	assert.Equal(t, 2.0, *c.Scheduler.SigmaMin)

	f, err = open("m.safetensors", stFile(`{"edm_vpred.sigma_max":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2))
	require.NoError(t, err)
	_, err = f.config(locate(newTable(0, f)))
	requireError(t, err, ErrConfig, "sigma_max", "[2]")
}

// markerFile is a safetensors file of marker tensors in F32, in the order given.
func markerFile(t *testing.T, metadata string, values map[string][]float32) *File {
	t.Helper()
	var head strings.Builder
	head.WriteString(`{"__metadata__":{` + metadata + `}`)
	var body []byte
	for _, name := range slices.Sorted(maps.Keys(values)) {
		at := len(body)
		for _, x := range values[name] {
			body = binary.LittleEndian.AppendUint32(body, math.Float32bits(x))
		}
		fmt.Fprintf(&head, `,%q:{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]}`, name, len(values[name]), at, len(body))
	}
	head.WriteByte('}')
	b := stFile(head.String(), 0)
	f, err := open("m.safetensors", append(b, body...))
	require.NoError(t, err)
	return f
}

// Markers of Playground v2.5 and of CosXL say what diffusers' folders of these models say. What the file states comes first, and all of it
// is in the metadata of a file made of it.
func TestConfigOfEDM(t *testing.T) {
	mean, std := []float32{-1.5, 2, 3, 4}, []float32{1, 2, 3, 4}
	for name, c := range map[string]struct {
		metadata string
		markers  map[string][]float32
		want     string
	}{
		"playground": {"", map[string][]float32{"edm_mean": mean, "edm_std": std}, `{"vae":{"scaling_factor":0.5,"latents_mean":[-1.5,2,3,4],
			"latents_std":[1,2,3,4]},"scheduler":{"_class_name":"EDMDPMSolverMultistepScheduler","prediction_type":"epsilon","sigma_data":0.5,
			"sigma_min":0.002,"sigma_max":80,"rho":7}}`},
		"cosxl": {"", map[string][]float32{"edm_vpred.sigma_max": {64}}, `{"scheduler":{"_class_name":"EDMEulerScheduler",
			"prediction_type":"v_prediction","sigma_data":1,"sigma_min":0.002,"sigma_max":64,"sigma_schedule":"exponential"}}`},
		"stated": {`"daguerre.config":"{\"vae\":{\"scaling_factor\":0.25},\"scheduler\":{\"_class_name\":\"EDMEulerScheduler\",\"sigma_data\":2}}"`,
			map[string][]float32{"edm_mean": mean, "edm_std": std}, `{"vae":{"scaling_factor":0.25,"latents_mean":[-1.5,2,3,4],
			"latents_std":[1,2,3,4]},"scheduler":{"_class_name":"EDMEulerScheduler","sigma_data":2}}`},
		"zero": {"", map[string][]float32{"v_pred": nil, "ztsnr": nil},
			`{"scheduler":{"prediction_type":"v_prediction","rescale_betas_zero_snr":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f := markerFile(t, c.metadata, c.markers)
			got, err := f.config(nil)
			require.NoError(t, err)
			text, err := got.MarshalMetadata()
			require.NoError(t, err)
			assert.JSONEq(t, c.want, text)
			again, err := configOf(t, map[string]string{MetadataKey: text})
			require.NoError(t, err)
			second, err := again.MarshalMetadata()
			require.NoError(t, err)
			assert.JSONEq(t, text, second, "and keeps it")
		})
	}
	for says, markers := range map[string]map[string][]float32{
		`tensor "edm_std": missing`:                       {"edm_mean": mean},
		`tensor "edm_mean": missing`:                      {"edm_std": std},
		`tensor "edm_std": 3 numbers, but edm_mean has 4`: {"edm_mean": mean, "edm_std": std[:3]},
		`tensor "edm_std": 0 is not positive`:             {"edm_mean": mean, "edm_std": {1, 0, 1, 1}},
		`tensor "edm_mean": NaN is not finite`:            {"edm_mean": {float32(math.NaN()), 0, 0, 0}, "edm_std": std},
		`tensor "edm_mean": shape [65]`:                   {"edm_mean": make([]float32, 65), "edm_std": std},
		`tensor "edm_vpred.sigma_max": -3 is not`:         {"edm_vpred.sigma_max": {-3}},
	} {
		_, err := markerFile(t, "", markers).config(nil)
		requireError(t, err, ErrConfig, says)
	}
}

func TestConfigModelSpec(t *testing.T) {
	c, err := configOf(t, map[string]string{"modelspec.prediction_type": "v", "modelspec.resolution": "1024x768"})
	require.NoError(t, err)
	assert.Equal(t, "v_prediction", c.Scheduler.PredictionType)
	assert.Equal(t, 1024, c.Default.Width)
	assert.Equal(t, 768, c.Default.Height)
	c, err = configOf(t, map[string]string{"modelspec.prediction_type": "v", MetadataKey: `{"scheduler":{"prediction_type":"epsilon"}}`,
		"modelspec.resolution": "huge"})
	require.NoError(t, err)
	assert.Equal(t, "epsilon", c.Scheduler.PredictionType, "our own key comes first")
	assert.Zero(t, c.Default.Width)
}

func TestConfigBesideALoneComponent(t *testing.T) {
	dir := t.TempDir()
	vae := stFile(`{"decoder.mid.block_1.conv1.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)
	path := write(t, dir, "vae.safetensors", vae)
	c, err := ReadConfig(path)
	require.NoError(t, err)
	assert.Empty(t, c.Sources)
	write(t, dir, "config.json", []byte(`{"_class_name":"AutoencoderKL","scaling_factor":0.5,"norm_num_groups":8}`))
	c, err = ReadConfig(path)
	require.NoError(t, err)
	assert.Equal(t, 0.5, c.VAE.ScalingFactor)
	assert.Equal(t, 8, c.VAE.NormNumGroups)
	write(t, dir, "config.json", []byte(`{"_class_name":"UNet2DConditionModel","norm_num_groups":8}`))
	c, err = ReadConfig(path)
	require.NoError(t, err)
	assert.Empty(t, c.Sources, "another component's config is not taken")
	write(t, dir, "config.json", []byte(`{"_class_name":"AutoencoderKL","scaling_factor":"x"}`))
	_, err = ReadConfig(path)
	requireError(t, err, ErrConfig, "config.json", "scaling_factor")
}

func TestFolderFiles(t *testing.T) {
	index := `{"_class_name":"StableDiffusionXLPipeline","unet":["diffusers","UNet2DConditionModel"],"vae":["diffusers","AutoencoderKL"],"text_encoder":[null,null]}`
	names := func(files ...string) string {
		dir := t.TempDir()
		write(t, dir, "model_index.json", []byte(index))
		write(t, dir, "vae/diffusion_pytorch_model.safetensors", nil)
		for _, f := range files {
			write(t, dir, "unet/"+f, []byte(`{"weight_map":{"a":"s-00002-of-00002.safetensors","b":"s-00001-of-00002.safetensors","c":"s-00001-of-00002.safetensors"}}`))
		}
		folder, err := FolderFiles(dir)
		if err != nil {
			return strings.ReplaceAll(err.Error(), dir, "")
		}
		require.Len(t, folder.Components, 2)
		c, _ := folder.Component("unet")
		var b strings.Builder
		for _, f := range c.Files {
			b.WriteString(filepath.Base(f) + " ")
		}
		return strings.TrimSpace(b.String() + c.Variant)
	}
	const stem = "diffusion_pytorch_model"
	assert.Equal(t, stem+".safetensors", names("config.json", stem+".safetensors", stem+".fp16.safetensors", stem+".bin"))
	assert.Equal(t, stem+".fp16.safetensors fp16", names(stem+".fp16.safetensors", stem+".bin", stem+".non_ema.safetensors"))
	assert.Equal(t, stem+".bin", names(stem+".bin", "model.safetensors"))
	assert.Equal(t, stem+".fp16.bin fp16", names(stem+".fp16.bin"))
	shards := "s-00001-of-00002.safetensors s-00002-of-00002.safetensors"
	assert.Equal(t, shards, names(stem+".safetensors.index.json", "s-00001-of-00002.safetensors", "s-00002-of-00002.safetensors"))
	assert.Equal(t, shards+" fp16", names(stem+".fp16.safetensors.index.json", "s-00001-of-00002.safetensors", "s-00002-of-00002.safetensors"))
	assert.Equal(t, shards+" fp16", names(stem+".safetensors.index.fp16.json", "s-00001-of-00002.safetensors", "s-00002-of-00002.safetensors"))
	assert.Contains(t, names(stem+".safetensors.index.json", "s-00001-of-00002.safetensors"), "shard 2 of 2 is missing")
	assert.Contains(t, names("config.json", stem+"-00001-of-00002.safetensors"), "holds no weights")
}

func TestFolderFilesRefuses(t *testing.T) {
	try := func(kind error, says string, files map[string]string) {
		t.Helper()
		dir := t.TempDir()
		for name, text := range files {
			write(t, dir, name, []byte(text))
		}
		_, err := FolderFiles(dir)
		requireError(t, err, kind, says)
	}
	try(ErrNotAFile, "without model_index.json", nil)
	try(ErrConfig, "unet", map[string]string{"model_index.json": `{"unet":3}`})
	try(ErrConfig, "unet", map[string]string{"model_index.json": `{"unet":["diffusers",4]}`})
	try(ErrConfig, "bad JSON", map[string]string{"model_index.json": `{`})
	try(ErrFormat, "names none", map[string]string{"model_index.json": `{}`})
	try(ErrNotFound, "unet", map[string]string{"model_index.json": `{"unet":["diffusers","UNet2DConditionModel"]}`})
	try(ErrUnsupported, "_class_name", map[string]string{"config.json": `{"_class_name":"FluxTransformer2DModel"}`})
	try(ErrConfig, "file name in the same folder", map[string]string{"config.json": `{"_class_name":"AutoencoderKL"}`,
		"diffusion_pytorch_model.safetensors.index.json": `{"weight_map":{"a":"../../secret"}}`})
	try(ErrConfig, "names no file", map[string]string{"config.json": `{"_class_name":"AutoencoderKL"}`,
		"diffusion_pytorch_model.safetensors.index.json": `{}`})
	_, err := FolderFiles(filepath.Join(t.TempDir(), "absent"))
	requireError(t, err, ErrNotFound)
	_, err = FolderFiles(write(t, t.TempDir(), "file", nil))
	requireError(t, err, ErrNotAFile)

	dir := t.TempDir()
	write(t, dir, "config.json", []byte(`{"architectures":["CLIPTextModelWithProjection"],"hidden_act":"gelu"}`))
	write(t, dir, "model.safetensors", nil)
	f, err := FolderFiles(dir)
	require.NoError(t, err)
	assert.Equal(t, "text_encoder_2", f.Components[0].Name)
	c, err := ReadConfig(dir)
	require.NoError(t, err)
	assert.Equal(t, "gelu", c.TextEncoder2.HiddenAct)
}
