package request

import "maps"

// ExpandPromptFiles makes a job of each line of the prompt files that jobs name. read returns a file's lines. Errors are Errors.
func (r *Run) ExpandPromptFiles(read func(path string) ([]string, error)) error {
	var errs Errors
	var jobs []Request
	var given []map[string]bool
	for i, job := range r.Jobs {
		written := map[string]bool(nil)
		if i < len(r.given) {
			written = r.given[i]
		}
		if job.PromptFile == "" {
			jobs, given = append(jobs, job), append(given, written)
			continue
		}
		lines, err := read(job.PromptFile)
		if err == nil && len(lines) == 0 {
			errs.AddFile(r.Path(i, "prompt_file"), "%s has no prompts", job.PromptFile)
		} else if err != nil {
			errs.AddFile(r.Path(i, "prompt_file"), "%v", err)
		}
		if len(lines) > MaxImages {
			errs.AddFile(r.Path(i, "prompt_file"), "%s has %d prompts; at most %d are possible", job.PromptFile, len(lines), MaxImages)
			continue
		}
		job.PromptFile = ""
		for _, line := range lines {
			job.Prompt = line
			jobs, given = append(jobs, job), append(given, maps.Clone(written))
		}
	}
	if len(errs) == 0 && len(jobs) != len(r.Jobs) {
		if r.given == nil { // the top level is the one job
			given = nil
		}
		r.Jobs, r.given = jobs, given
	} else if len(errs) == 0 {
		r.Jobs = jobs
	}
	return errs.Err()
}
