package memory

import "github.com/daguerre-go/daguerre/runtime/backend"

// images is the stage in which pictures become keys and values.
func (e *estimator) images() {
	e.begin(StageImage)
	for _, s := range e.job.Shown {
		if s.Encoder != "" {
			e.buffer(ImageEncoder, Query{Owner: s.Encoder, Stage: backend.StageImageEncode, Batch: 1})
		}
		e.buffer(IPAdapter, Query{Owner: s.Adapter, Stage: backend.StageIPAdapter, Batch: imageRows * s.Pictures, ImageTokens: s.EmbedTokens})
	}
	e.add(HostID, "", "", UseHost, e.job.imageBytes())
	for _, n := range e.job.Nets() {
		e.scratchOf(n.Path, n.Component)
	}
}

// imageRows is the rows of pictures that keys and values are made for: those of the two halves of guidance.
const imageRows = 2

// imageBytes is what keys and values take, once as they are made and once as the UNet reads them.
func (j Job) imageBytes() (n int64) {
	for _, s := range j.Shown {
		n += 2 * 4 * imageRows * int64(s.Prompts) * int64(s.Tokens) * int64(s.Values)
	}
	return n
}

// addImages adds a job's pictures to the query of a UNet.
func (j Job) addImages(q *Query) {
	for _, s := range j.Shown {
		q.ImagePrompts, q.ImageTokens, q.ImageMasks = q.ImagePrompts+s.Prompts, max(q.ImageTokens, s.Tokens), q.ImageMasks || s.Masks
	}
}
