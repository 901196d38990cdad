package bench

import _ "embed" // the schema

// SchemaJSON is the JSON schema of reports.
//
//go:embed report.schema.json
var SchemaJSON []byte
