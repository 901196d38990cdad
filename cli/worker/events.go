package worker

// Events lists the names of events.
var Events = []string{"hello", "accepted", "started", "progress", "preview", "image", "latents", "failed", "restarted", "error", "done"}
