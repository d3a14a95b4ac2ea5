//go:build nvidia

package graph_test

import _ "errorcell/backend/cuda"
