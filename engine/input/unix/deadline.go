package unix

import "time"

// past is a deadline that ends what waits; noDeadline takes it back.
var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
)
