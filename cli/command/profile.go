package command

import "github.com/daguerre-go/daguerre/cli/progress"

// reportProfile tells where the time of all jobs went.
func (s *session) reportProfile() error {
	entries, err := s.pipe.Profile()
	if err != nil {
		return err
	}
	var p progress.Profile
	for _, e := range entries {
		p.Operations = append(p.Operations, progress.Operation(e))
	}
	s.report.Report(p)
	return nil
}
