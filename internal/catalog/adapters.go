package catalog

import "github.com/daguerre-go/daguerre/internal/adapters"

// Adapter reads the header of an adapter by its name. With an error, the report has the path of the file if it was found.
func (c *Catalog) Adapter(name string) (adapters.Report, error) {
	if c.listed != nil {
		return adapters.Report{}, errRemote
	}
	path, err := c.path(LoRA, name)
	if err != nil {
		return adapters.Report{}, err
	}
	f, err := adapters.Inspect(path)
	if err != nil {
		return adapters.Report{Path: path}, err
	}
	f.Close()
	return f.Report, nil
}
