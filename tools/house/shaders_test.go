package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shaderOf names one shader of ggml-vulkan for each operation of ggml that native code builds graphs of.
var shaderOf = map[string]string{
	"add": "add_f32_f32_f32", "add_inplace": "add_f32_f32_f32", "cast": "cpy_f32_f16", "concat": "concat_i32", "cont": "contig_cpy_f32_f32",
	"conv_2d_direct": "conv2d_f32_unroll", "cpy": "cpy_f32_f32", "div": "div_f32_f32_f32", "flash_attn_ext": "flash_attn_f32_f16",
	"geglu_erf_swapped": "geglu_erf_f32", "geglu_swapped": "geglu_f32", "gelu_erf": "gelu_erf_f32", "get_rows": "get_rows_f32",
	"group_norm": "group_norm_f32", "im2col": "im2col_f32", "interpolate": "upscale_f32", "leaky_relu": "leaky_relu_f32",
	"mean": "sum_rows_f32", "mul": "mul_f32_f32_f32", "mul_mat": "matmul_f32_f32", "norm": "norm_f32", "pad_ext": "pad_f32",
	"pad_ext_circular": "pad_f32", "pool_2d": "pool2d_f32", "relu": "relu_f32", "repeat": "repeat_i32", "repeat_4d": "repeat_i32",
	"scale": "scale_f32", "scale_bias": "scale_f32", "sigmoid": "sigmoid_f32", "silu": "silu_f32", "soft_max_ext": "soft_max_f32",
	"sqr": "sqr_f32", "sqrt": "sqrt_f32", "sub": "sub_f32_f32_f32", "tanh": "tanh_f32",
}

// noShader are functions of ggml that compute nothing on a device, and custom operations, which only the CPU has.
var noShader = regexp.MustCompile(`^(backend_.*|graph_.*|gallocr_.*|cpu_.*|is_.*|new_.*|set_.*|get_(type|default|first|next|name|no).*|` +
	`(view|reshape)_[1-4]d|permute|custom_4d|abort|blck_size|build_forward_expand|free|init|log|log_set|n_dims|nbytes|nelements|op_desc|` +
	`prec_set_acc|quantize_chunk|quantize_requires_imatrix|row_size|status_to_string|tensor_overhead|type|type_name|type_size)$`)

// TestShaders: Vulkan's archives leave out shaders that we never run. Each operation that native code names is in them.
func TestShaders(t *testing.T) {
	root := filepath.Join("..", "..")
	data, err := os.ReadFile(filepath.Join(root, "third_party", "engine", "vulkan", "left-out.txt"))
	require.NoError(t, err)
	var leftOut []*regexp.Regexp
	for _, line := range strings.Fields(string(data)) {
		leftOut = append(leftOut, regexp.MustCompile(line))
	}
	isLeftOut := func(shader string) bool {
		for _, e := range leftOut {
			if e.MatchString(shader) {
				return true
			}
		}
		return false
	}
	require.True(t, isLeftOut("rms_norm_f32"), "the list is read")

	called := regexp.MustCompile(`\bggml_([a-z0-9_]+)\(`)
	used := map[string]string{} // operation -> a file that names it
	err = filepath.WalkDir(filepath.Join(root, "native", "src"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".cpp" && filepath.Ext(path) != ".h" {
			return err
		}
		data, err := os.ReadFile(path)
		for _, m := range called.FindAllStringSubmatch(string(data), -1) {
			used[m[1]] = path
		}
		return err
	})
	require.NoError(t, err)
	for op, file := range used {
		if noShader.MatchString(op) {
			continue
		}
		shader, known := shaderOf[op]
		if assert.True(t, known, "%s uses ggml_%s; name its shader in shaderOf", file, op) {
			assert.False(t, isLeftOut(shader), "%s uses ggml_%s, and left-out.txt leaves out its shader %s", file, op, shader)
		}
	}
	for op := range shaderOf {
		assert.Contains(t, used, op, "shaderOf names an operation that is not used")
	}
}
