// Package clients has other programs' clients talk to the built program: OpenAI's in Go and Python, and Python's webuiapi. It is a module
// of its own, so that the program's module does not need these clients. make test-serve-clients runs it.
package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"image"
	"image/color"
	_ "image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// token is what the clients show.
const token = "clients-0123456789abcdef"

// The built program, the folder of the nano models, and a Python that has requirements.txt.
var (
	program = os.Getenv("DAGUERRE_PROGRAM")
	models  = os.Getenv("DAGUERRE_NANO_MODELS")
	python  = os.Getenv("DAGUERRE_CLIENTS_PYTHON")
)

// process is a running server.
type process struct {
	url string
	cmd *exec.Cmd
}

// start starts the program. It ends with the test.
func start(t *testing.T, env []string, flags ...string) *process {
	t.Helper()
	require.NotEmpty(t, program, "make test-serve-clients sets DAGUERRE_PROGRAM, DAGUERRE_NANO_MODELS and DAGUERRE_CLIENTS_PYTHON")
	tokens := filepath.Join(t.TempDir(), "tokens.toml")
	require.NoError(t, os.WriteFile(tokens, []byte("[[token]]\nname = \"clients\"\ntoken = \""+token+"\"\n"), 0o600))
	cmd := exec.Command(program, append([]string{"serve", "--addr", "127.0.0.1:0", "--token-file", tokens, "--model", "nano"}, flags...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, log.String())
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready: ")
	require.True(t, ok, line)
	return &process{url, cmd}
}

// kill ends the server at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the test looks at what is left
	_ = p.cmd.Wait()
}

// serve starts the program with a ControlNet, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	nets := filepath.Join(dir, "nets")
	require.NoError(t, os.Mkdir(nets, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(models, "nano-controlnet-canny.safetensors"), filepath.Join(nets, "canny.safetensors")))
	return start(t, nil, "--data", filepath.Join(dir, "data"), "--controlnet-dir", nets).url
}

func client(url, token string) openai.Client {
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(token), option.WithMaxRetries(0))
}

func pictureOf(t *testing.T, text string) (image.Image, string) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	img, format, err := image.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return img, format
}

// TestGo has OpenAI's client for Go generate, edit, stream, list and fail.
func TestGo(t *testing.T) {
	url := serve(t)
	c, ctx := client(url, token), context.Background()
	page, err := c.Models.List(ctx)
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	assert.Equal(t, "nano", page.Data[0].ID)
	ask := openai.ImageGenerateParams{Model: "nano", Prompt: "a red circle on a blue background", Size: "128x128", N: param.NewOpt[int64](2)}
	ask.SetExtraFields(map[string]any{"seed": 42, "num_inference_steps": 4})
	made, err := c.Images.Generate(ctx, ask)
	require.NoError(t, err)
	require.Len(t, made.Data, 2)
	img, format := pictureOf(t, made.Data[0].B64JSON)
	assert.Equal(t, []any{image.Pt(128, 128), "png"}, []any{img.Bounds().Size(), format})
	again, err := c.Images.Generate(ctx, ask)
	require.NoError(t, err)
	assert.Equal(t, made.Data[0].B64JSON, again.Data[0].B64JSON, "the seed was used")

	var whole, mask bytes.Buffer
	require.NoError(t, png.Encode(&whole, img))
	holed := image.NewNRGBA(img.Bounds())
	for i := range 128 * 128 {
		c := color.NRGBAModel.Convert(img.At(i%128, i/128)).(color.NRGBA)
		if i%128 > 63 {
			c.A = 0
		}
		holed.SetNRGBA(i%128, i/128, c)
	}
	require.NoError(t, png.Encode(&mask, holed))
	edited, err := c.Images.Edit(ctx, openai.ImageEditParams{
		Prompt: "a green square <sd_cpp_extra_args>{\"seed\":3,\"steps\":4}</sd_cpp_extra_args>",
		Image:  openai.ImageEditParamsImageUnion{OfFile: openai.File(&whole, "whole.png", "image/png")},
		Mask:   openai.File(&mask, "mask.png", "image/png")})
	require.NoError(t, err)
	after, _ := pictureOf(t, edited.Data[0].B64JSON)
	assert.NotEqual(t, img.At(100, 64), after.At(100, 64), "the transparent half is repainted")

	stream := c.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{Model: "nano", Prompt: "a red circle", Size: "128x128",
		PartialImages: param.NewOpt[int64](3), OutputFormat: openai.ImageGenerateParamsOutputFormatJPEG})
	var kinds []string
	for stream.Next() {
		e := stream.Current()
		_, format := pictureOf(t, e.B64JSON)
		assert.Equal(t, "jpeg", format)
		kinds = append(kinds, e.Type)
	}
	require.NoError(t, stream.Err())
	assert.Equal(t, "image_generation.completed", kinds[len(kinds)-1])

	for what, c := range map[string]struct {
		c      openai.Client
		model  string
		status int
		code   string
	}{"a wrong token": {client(url, "wrong-0123456789abcdef"), "nano", 401, "invalid_api_key"},
		"a wrong model": {c, "dall-e-3", 404, "model_not_found"}} {
		_, err = c.c.Images.Generate(ctx, openai.ImageGenerateParams{Model: c.model, Prompt: "x"})
		e, ok := errors.AsType[*openai.Error](err)
		require.True(t, ok, "%s: %v", what, err)
		assert.Equal(t, []any{c.status, c.code}, []any{e.StatusCode, e.Code}, what)
	}
}

// TestPython has the clients for Python do the same, and A1111's.
func TestPython(t *testing.T) {
	require.NotEmpty(t, python, "make test-serve-clients sets DAGUERRE_CLIENTS_PYTHON")
	for _, script := range []string{"openai_client.py", "webui_client.py"} {
		t.Run(script, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), python, script, serve(t), token)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}
