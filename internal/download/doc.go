// Package download fetches one file at a time from a server, over one connection or several. What came stays in a part file beside its
// mark. A later call, also of a later process, goes on from there if the server says that the file is still the same.
//
// A part never has the file's own name. Whoever calls Run looks at the sum, and renames the part only if the sum is right.
package download
