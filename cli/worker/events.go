package worker

// Events lists the names of events.
var Events = []string{"hello", "accepted", "started", "progress", "preview", "image", "latents", "warning", "failed", "restarted", "error", "done"}
