//go:build !nocloud

package blobs

import _ "gocloud.dev/blob/s3blob" // s3://
