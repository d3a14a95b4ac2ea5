//go:build nvidia

package neurons_test

import _ "errorcell/backend/cuda"
