// A runtime that does nothing but call libcni, and what else the scripts beside this folder need of Go:
// traffic that is counted, and plugins that delegate to others as Multus and flannel do.
//
//	driver [FLAG...] add|check|del LIST CONTAINER NAMESPACE INTERFACE
//	driver [FLAG...] gc LIST [CONTAINER/INTERFACE...]      whatever else there is of the network goes
//	driver [FLAG...] status LIST
//	driver serve ADDRESS:PORT                              see traffic.go
//	driver ask tcp|udp|connect ADDRESS:PORT MILLISECONDS
//
// CNI_PATH, CNI_ARGS and CAP_ARGS are those of cnitool. ADD prints the result as a runtime gets it from
// the library; errors go to stderr, with their code. Called with CNI_COMMAND it is a plugin, see
// delegating.go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

var (
	cache  = flag.String("cache", "/var/lib/cni", "where results are kept")
	record = flag.String("record", "", "a folder for what each plugin is given and prints")
	limit  = flag.Duration("limit", time.Minute, "how long all plugins together may take")
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		delegating()
		return
	}
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, told(err))
		os.Exit(1)
	}
}

func told(err error) string {
	var plugins *types.Error
	if errors.As(err, &plugins) {
		return fmt.Sprintf("code %d: %s; %s", plugins.Code, plugins.Msg, plugins.Details)
	}
	return err.Error()
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: see the beginning of main.go")
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "serve":
		return serve(args[0])
	case "ask":
		return ask(args)
	}
	list, err := load(args[0])
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(os.Getenv("CNI_PATH")), *cache, recorder())
	ctx, done := context.WithTimeout(context.Background(), *limit)
	defer done()
	switch verb {
	case "gc":
		return gc(ctx, cni, list, args[1:])
	case "status":
		return status(ctx, cni, list)
	}
	if len(args) != 4 {
		return fmt.Errorf("%s LIST CONTAINER NAMESPACE INTERFACE", verb)
	}
	call, err := callOf(args[1], args[2], args[3])
	if err != nil {
		return err
	}
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, call)
		if err != nil {
			return err
		}
		return result.PrintTo(os.Stdout)
	case "check":
		return cni.CheckNetworkList(ctx, list, call)
	case "del":
		return cni.DelNetworkList(ctx, list, call)
	}
	return fmt.Errorf("no such verb: %s", verb)
}

// load reads a list, or a single plugin's file, which the library makes a list of.
func load(path string) (*libcni.NetworkConfigList, error) {
	if strings.HasSuffix(path, ".conflist") {
		return libcni.ConfListFromFile(path)
	}
	single, err := libcni.ConfFromFile(path)
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(single)
}

func callOf(container, netns, ifname string) (*libcni.RuntimeConf, error) {
	call := &libcni.RuntimeConf{ContainerID: container, NetNS: netns, IfName: ifname}
	for _, pair := range strings.Split(os.Getenv("CNI_ARGS"), ";") {
		if key, value, found := strings.Cut(pair, "="); found {
			call.Args = append(call.Args, [2]string{key, value})
		}
	}
	if capabilities := os.Getenv("CAP_ARGS"); capabilities != "" {
		if err := json.Unmarshal([]byte(capabilities), &call.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("CAP_ARGS: %w", err)
		}
	}
	return call, nil
}
