package install

import (
	"cmp"
	"net/http"
	"net/url"

	"github.com/daguerre-go/daguerre/internal/download"
)

// mostDownload is the largest archive that is taken, in bytes.
const mostDownload = 4 << 30

// patient is how long a download bears with a network.
var patient = download.Patient

// newDownload fetches url into the file part, over one connection: archives are small.
func newDownload(client *http.Client, u *url.URL, part string, most int64) *download.File {
	return &download.File{Client: client, URL: u, Agent: "daguerre/" + Version, Part: part, Patience: patient,
		Most: cmp.Or(most, mostDownload), TooLarge: "no file of a release has"}
}

// client is the options' client, or one that does not wait for ever for an answer.
func (o Options) client() *http.Client {
	if o.Client != nil {
		return o.Client
	}
	return download.NewClient()
}
