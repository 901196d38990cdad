package request

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/HugoSmits86/nativewebp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTinyPicturesInBase64: the smallest file of each format is a picture and no path, under every name that takes one.
func TestTinyPicturesInBase64(t *testing.T) {
	dot := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	var files [4]bytes.Buffer
	require.NoError(t, png.Encode(&files[0], dot))
	require.NoError(t, gif.Encode(&files[1], dot, nil))
	require.NoError(t, jpeg.Encode(&files[2], dot, nil))
	require.NoError(t, nativewebp.Encode(&files[3], dot, nil))
	for i := range files {
		data := files[i].Bytes()
		text := base64.StdEncoding.EncodeToString(data)
		for _, form := range []string{`{"init_images":[%q],"mask":%q}`, `{"image":%q,"mask_image":"data:image/png;base64,%s"}`} {
			run, err := DecodeJSON(fmt.Appendf(nil, form, text, text))
			require.NoError(t, err)
			assert.Equal(t, Picture{Data: data}, run.Jobs[0].InitImage, "%d", i)
			assert.Equal(t, Picture{Data: data}, run.Jobs[0].MaskImage, "%d", i)
		}
	}
	for _, path := range []string{"picture.png", "R0lGODlh.gif", "/9j/photo.jpg", "UklGR/x.webp", "iVBORw0KGgo/1.png",
		"RIFFs and more/pictures.png"} {
		run, err := DecodeJSON(fmt.Appendf(nil, `{"init_images":[%q]}`, path))
		require.NoError(t, err)
		assert.Equal(t, Picture{Path: path}, run.Jobs[0].InitImage)
	}
}

// TestSeedsAtTheEdge: the largest seed is one, and what is larger is refused with its key.
func TestSeedsAtTheEdge(t *testing.T) {
	for _, c := range []struct{ seed, images, says string }{
		{"9223372036854775807", "1", ""},
		{"9223372036854775806", "2", ""},
		{"9223372036854775807", "2", "seed: is 9223372036854775807, and the last of 2 pictures would have a seed beyond 2^63-1"},
		{"9223372036854775808", "1", "seed"},
		{"18446744073709551616", "1", "seed"},
		{"-1", "1", ""},
		{"-5", "1", ""},
		{"-9223372036854775808", "4", ""},
		{"-9223372036854775809", "1", "seed"},
		{"1.5", "1", "seed: is 1.5; expected an integer"},
	} {
		for form, decode := range map[string]func([]byte) (Run, error){
			`{"prompt":"","seed":%s,"num_images":%s}`:   DecodeJSON,
			"prompt = ''\nseed = %s\nnum_images = %s\n": DecodeTOML,
		} {
			run, err := decode(fmt.Appendf(nil, form, c.seed, c.images))
			if err == nil {
				err = run.ValidateJobs()
			}
			if c.says == "" {
				require.NoError(t, err, c.seed)
				assert.Equal(t, c.seed, fmt.Sprint(run.Jobs[0].Seed))
				continue
			}
			require.ErrorIs(t, err, ErrInvalid, c.seed)
			assert.ErrorContains(t, err, c.says, c.seed)
			assert.ErrorContains(t, err, c.seed)
		}
	}
	_, err := DecodeJSON([]byte(`{"seed":9223372036854775808}`))
	assert.ErrorContains(t, err, "an integer must be between -9223372036854775808 and 9223372036854775807")
}
