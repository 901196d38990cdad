package scheduler

// alias maps names used elsewhere to a diffusers class and the options that make them equal.
type alias struct {
	names  []string
	class  string
	preset Config
}

// aliases are the sampler names of AUTOMATIC1111, ComfyUI and stable-diffusion.cpp, after the table in diffusers'
// documentation (API, schedulers, overview). Spellings that differ only in case, spaces, "_" and "-" are one
// name.
var aliases = []alias{
	{names: []string{"Euler"}, class: "EulerDiscreteScheduler"},
}

// spacingName is a word that may follow a sampler's name, and the options it stands for.
type spacingName struct {
	key    string
	preset Config
}

// spacingNames are tried in order; a longer word comes before one that ends it.
var spacingNames = []spacingName{
	{"karras", Config{UseKarrasSigmas: new(true)}},
	{"exponential", Config{UseExponentialSigmas: new(true)}},
	{"beta", Config{UseBetaSigmas: new(true)}},
	{"sgmuniform", Config{TimestepSpacing: "trailing"}},
	{"trailing", Config{TimestepSpacing: "trailing"}},
}
