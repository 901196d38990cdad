// Package hubcache reads and writes the folders that pulled models are in. For models of Hugging Face it is the cache of the Python package
// huggingface_hub, in the same layout, so that Python programs and this one share one copy:
//
//	models--owner--name/blobs/SUM              the bytes; SUM is the SHA-256, or git's SHA-1 for small files
//	models--owner--name/snapshots/COMMIT/FILE  a link to a blob, or the file itself where there are no symbolic links
//	models--owner--name/refs/main              the commit that a branch was at when it was pulled
//	models--owner--name/trees/COMMIT.json      what the commit holds, with sizes and sums
//
// Models of Civitai and of other addresses lie in the same layout in the user's data folder. Nothing here makes a connection.
package hubcache
