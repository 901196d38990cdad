package hubtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// civitai answers like Civitai's API.
func (s *Server) civitai(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[id]
	allowed := s.token != "" && r.Header.Get("Authorization") == "Bearer "+s.token
	if v == nil {
		http.Error(w, `{"error":"no model version with this id"}`, http.StatusNotFound)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/download/") {
		if v.Private && !allowed {
			http.Error(w, `{"error":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		for _, f := range v.Files {
			if f.Name == r.URL.Query().Get("name") {
				sum := SHA256(f.Data)
				s.blobs[sum] = f.Data
				http.Redirect(w, r, s.CDN.URL+"/"+sum+"?Signature=signed", http.StatusTemporaryRedirect)
			}
		}
		return
	}
	var files []map[string]any
	for _, f := range v.Files {
		sum := f.SHA256
		if sum == "" {
			sum = SHA256(f.Data)
		}
		files = append(files, map[string]any{"name": f.Name, "sizeKB": float64(len(f.Data)) / 1024, "type": f.Type, "primary": f.Primary,
			"hashes": map[string]string{"SHA256": strings.ToUpper(sum)}, "downloadUrl": s.Hub.URL + "/api/download/models/" + id + "?name=" +
				url.QueryEscape(f.Name)})
	}
	number, _ := strconv.Atoi(id) // tests give numbers
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"id": number, "modelId": v.Model, "name": "v1.0",
		"model": map[string]any{"name": "A model", "type": "Checkpoint"}, "files": files}) // the client may be gone
}
