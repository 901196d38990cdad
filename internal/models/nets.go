package models

import (
	"fmt"
	"os"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// FindNet finds the weights of a ControlNet and checks that they are one's. name is a file, a diffusers folder, or a name in one of the
// folders, with or without extension.
func FindNet(name string, directories []string) (string, error) {
	path := name
	if _, err := os.Stat(path); err != nil {
		l := library.New(library.Options{Directories: directories, Setting: "controlnet_directories", What: "ControlNets", First: true,
			Folder: modelfile.IsFolder})
		if path, err = l.Find(name); err != nil {
			return "", fmt.Errorf("%s is no file, and no ControlNet of that name is in controlnet_directories %v", name, directories)
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if st.IsDir() {
		folder, err := modelfile.FolderFiles(path)
		if err != nil {
			return "", err
		}
		part, ok := folder.Component("controlnet")
		if !ok || len(part.Files) != 1 {
			return "", fmt.Errorf("%s is no folder of one ControlNet with its weights in one file; name the file", path)
		}
		path = part.Files[0]
	}
	return path, CheckRole("controlnet", path)
}
