package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// The two ways in which plugins call others, in one plugin.
//
// With `delegates`, a list of configurations or configuration lists, it is what Multus is: each one is a
// network of its own for the same container, called through libcni; the first has the interface that the
// runtime named, the others net1, net2 and so on. The result is the first one's.
//
// With `delegate`, the configuration of one plugin, it is what flannel is: the name and version are put in,
// the plugin is executed with the environment as it is, and the configuration is kept for DEL.
type delegatingConf struct {
	types.NetConf
	Delegates []json.RawMessage      `json:"delegates"`
	Delegate  map[string]interface{} `json:"delegate"`
}

// Where it keeps what it needs at DEL, below a runtime's /run.
const kept = "/run/delegating"

func delegating() {
	skel.PluginMain(delegatedAdd, delegatedCheck, delegatedDel, version.All, "delegates to others")
}

func delegatedAdd(args *skel.CmdArgs) error {
	conf, err := read(args)
	if err != nil {
		return err
	}
	if conf.Delegate != nil {
		return flannelAdd(args, conf)
	}
	var first types.Result
	for place := range conf.Delegates {
		cni, list, call, err := network(args, conf, place)
		var result types.Result
		if err == nil {
			result, err = cni.AddNetworkList(context.Background(), list, call)
		}
		if err != nil {
			for ; place >= 0; place-- {
				if cni, list, call, err := network(args, conf, place); err == nil {
					_ = cni.DelNetworkList(context.Background(), list, call)
				}
			}
			return fmt.Errorf("network %d: %w", place+1, err)
		}
		if first == nil {
			first = result
		}
	}
	return types.PrintResult(first, conf.CNIVersion)
}

func delegatedCheck(args *skel.CmdArgs) error {
	conf, err := read(args)
	if err != nil {
		return err
	}
	if conf.Delegate != nil {
		conf.Delegate["prevResult"] = conf.RawPrevResult
		return invoke.DelegateCheck(context.Background(), conf.delegateType(), conf.delegateBytes(), nil)
	}
	for place := range conf.Delegates {
		cni, list, call, err := network(args, conf, place)
		if err != nil {
			return err
		}
		if err := cni.CheckNetworkList(context.Background(), list, call); err != nil {
			return err
		}
	}
	return nil
}

func delegatedDel(args *skel.CmdArgs) error {
	conf, err := read(args)
	if err != nil {
		return err
	}
	if conf.Delegate != nil {
		return flannelDel(args)
	}
	var failed error
	for place := len(conf.Delegates) - 1; place >= 0; place-- {
		cni, list, call, err := network(args, conf, place)
		if err == nil {
			err = cni.DelNetworkList(context.Background(), list, call)
		}
		if err != nil {
			failed = err
		}
	}
	return failed
}

func read(args *skel.CmdArgs) (*delegatingConf, error) {
	conf := &delegatingConf{}
	if err := json.Unmarshal(args.StdinData, conf); err != nil {
		return nil, err
	}
	if conf.Delegate != nil {
		conf.Delegate["name"] = conf.Name
		conf.Delegate["cniVersion"] = conf.CNIVersion
	}
	if conf.Delegate == nil && len(conf.Delegates) == 0 {
		return nil, errors.New("neither delegate nor delegates")
	}
	return conf, nil
}

// network is what libcni needs for one of `delegates`.
func network(args *skel.CmdArgs, conf *delegatingConf, place int) (*libcni.CNIConfig, *libcni.NetworkConfigList, *libcni.RuntimeConf, error) {
	ifname := args.IfName
	if place > 0 {
		ifname = fmt.Sprintf("net%d", place)
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(args.Path), kept, nil)
	call, err := callOf(args.ContainerID, args.Netns, ifname)
	if err != nil {
		return nil, nil, nil, err
	}
	list, err := listOf(conf.Delegates[place])
	return cni, list, call, err
}

// listOf reads a configuration list, or the configuration of one plugin.
func listOf(bytes []byte) (*libcni.NetworkConfigList, error) {
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(bytes, &keys); err != nil {
		return nil, err
	}
	if _, found := keys["plugins"]; found {
		return libcni.ConfListFromBytes(bytes)
	}
	single, err := libcni.ConfFromBytes(bytes)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(single)
}

func (conf *delegatingConf) delegateType() string {
	name, _ := conf.Delegate["type"].(string)
	return name
}

func (conf *delegatingConf) delegateBytes() []byte {
	bytes, _ := json.Marshal(conf.Delegate)
	return bytes
}

func flannelAdd(args *skel.CmdArgs, conf *delegatingConf) error {
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(kept, args.ContainerID), conf.delegateBytes(), 0o600); err != nil {
		return err
	}
	result, err := invoke.DelegateAdd(context.Background(), conf.delegateType(), conf.delegateBytes(), nil)
	if err != nil {
		return err
	}
	return types.PrintResult(result, conf.CNIVersion)
}

func flannelDel(args *skel.CmdArgs) error {
	path := filepath.Join(kept, args.ContainerID)
	bytes, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	conf := &types.NetConf{}
	if err := json.Unmarshal(bytes, conf); err != nil {
		return err
	}
	if err := invoke.DelegateDel(context.Background(), conf.Type, bytes, nil); err != nil {
		return err
	}
	return os.Remove(path)
}
