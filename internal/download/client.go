package download

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// NewClient makes a client that does not wait for ever for an answer. It uses the proxy of the environment. It does not let itself be sent
// from https to http, and takes nobody's token to another server. It speaks HTTP/1, so that several connections are several.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	transport.DisableCompression = true
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.ForceAttemptHTTP2 = false
	transport.ReadBufferSize = 256 << 10
	transport.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return fmt.Errorf("%w, ten times in a row", errSentOn)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w without encryption", errSentOn)
	}
	if via[0].URL.Host != req.URL.Host {
		req.Header.Del("Authorization") // package http takes it to other ports and to hosts below the first
		req.Header.Del("Cookie")
	}
	req.Header.Del("Referer") // it would tell the address before
	return nil
}

// Shown writes an address for people: without its password and its query, which may hold a token.
func Shown(u *url.URL) string {
	v := *u
	if v.RawQuery != "" {
		v.RawQuery = "..."
	}
	return v.Redacted()
}
