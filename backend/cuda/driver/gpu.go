package driver

import "errorcell/backend/cuda/driver/internal/virtual"

// GPU, Module and Function are what an emulated device is made of, see Emulate.
// Package emulated has one.
type (
	GPU      = virtual.GPU
	Module   = virtual.Module
	Function = virtual.Function
)
