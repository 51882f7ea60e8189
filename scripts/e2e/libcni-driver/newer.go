//go:build gc_and_status

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func gc(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList, valid []string) error {
	args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
	for _, one := range valid {
		container, ifname, found := strings.Cut(one, "/")
		if !found {
			return fmt.Errorf("%q is not CONTAINER/INTERFACE", one)
		}
		attachment := types.GCAttachment{ContainerID: container, IfName: ifname}
		args.ValidAttachments = append(args.ValidAttachments, attachment)
	}
	return cni.GCNetworkList(ctx, list, args)
}

func status(ctx context.Context, cni *libcni.CNIConfig, list *libcni.NetworkConfigList) error {
	return cni.GetStatusNetworkList(ctx, list)
}
