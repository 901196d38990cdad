package serve

// hasModes tells that the modes of files do not say who can read them.
const hasModes = false
