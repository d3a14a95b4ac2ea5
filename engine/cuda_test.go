//go:build nvidia

package engine_test

import _ "errorcell/backend/cuda"
