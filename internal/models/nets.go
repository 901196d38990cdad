package models

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/locate"
	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// NewNets makes a library of the ControlNets in folders and below them: files of weights, and diffusers folders.
func NewNets(directories ...string) *library.Library {
	return library.New(library.Options{Directories: directories, Setting: "controlnet_directories", What: "ControlNets", First: true,
		Extensions: extensions, Folder: modelfile.IsFolder})
}

// NewIPAdapters makes a library of the IP-Adapters and image encoders in folders and below them.
func NewIPAdapters(directories ...string) *library.Library {
	return library.New(library.Options{Directories: directories, Setting: "ip_adapter_directories", What: "IP-Adapters", First: true,
		Extensions: extensions, Folder: modelfile.IsFolder})
}

// NewDetectors makes a library of the detectors in folders and below them.
func NewDetectors(directories ...string) *library.Library {
	return library.New(library.Options{Directories: directories, Setting: "model_directories", What: "detectors", First: true,
		Extensions: extensions})
}

// kindsOfNets are what messages call files that are found by FindNet.
var kindsOfNets = map[string]struct{ what, setting, component string }{"controlnet": {"ControlNet", "controlnet_directories", "controlnet"},
	"ip_adapter":    {"IP-Adapter", "ip_adapter_directories", "ip_adapter"},
	"image_encoder": {"image encoder", "ip_adapter_directories", "image_encoder"},
	"detector":      {"detector", "model_directories", "detector"}}

// FindNet finds the weights of a ControlNet, an IP-Adapter, an image encoder or a detector, as role says, and checks that they are one's.
// name is a file, a diffusers folder, or a name in nets, with or without extension.
func FindNet(role, name string, nets *library.Library) (string, error) {
	kind := kindsOfNets[role]
	path, locateErr := locate.Find(name, nil)
	switch {
	case errors.Is(locateErr, library.ErrNotFound):
		path = name // it may be in the folders
	case locateErr != nil:
		return "", locateErr
	case path != name:
		if other, err := nets.Find(name); err == nil {
			return "", &library.Error{Kind: library.ErrAmbiguous, Name: name, Candidates: []string{other, path}, Message: fmt.Sprintf("2 files "+
				"answer to this name: %s, and %s, which was fetched; write the path of the one that you mean", other, path)}
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		var failed *library.Error
		if path, err = nets.Find(name); errors.Is(err, library.ErrNotFound) && errors.As(err, &failed) {
			text := fmt.Sprintf("%s is no file, and no %s of that name is in %s %v", name, kind.what, kind.setting, nets.Directories())
			if len(failed.Candidates) > 0 {
				text += "; there is " + strings.Join(failed.Candidates, ", ")
			}
			if locateErr != nil {
				text += "; " + locateErr.Error()
			}
			return "", errors.New(text)
		}
		if err != nil {
			return "", err
		}
		if st, err = os.Stat(path); err != nil {
			return "", err
		}
	}
	if st.IsDir() {
		folder, err := modelfile.FolderFiles(path)
		if err != nil {
			return "", err
		}
		part, ok := folder.Component(kind.component)
		if !ok || len(part.Files) != 1 {
			return "", fmt.Errorf("%s is no folder of one %s with its weights in one file; name the file", path, kind.what)
		}
		path = part.Files[0]
	}
	return path, checkPlaced(role, path)
}
