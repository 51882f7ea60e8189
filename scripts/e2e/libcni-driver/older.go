//go:build !gc_and_status

package main

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/libcni"
)

var errOlder = errors.New("this version of libcni knows neither GC nor STATUS")

func gc(context.Context, *libcni.CNIConfig, *libcni.NetworkConfigList, []string) error {
	return errOlder
}

func status(context.Context, *libcni.CNIConfig, *libcni.NetworkConfigList) error {
	return errOlder
}
