package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/version"
)

// recording executes plugins as libcni does by itself, and keeps what they print: JSON with its keys sorted, since
// in which order they come changed with the reference's releases.
type recording struct {
	invoke.RawExec
	version.PluginDecoder
	count int
}

func recorder() invoke.Exec {
	return &recording{RawExec: invoke.RawExec{Stderr: os.Stderr}}
}

func (r *recording) ExecPlugin(ctx context.Context, plugin string, stdin []byte, environ []string) ([]byte, error) {
	stdout, err := r.RawExec.ExecPlugin(ctx, plugin, stdin, environ)
	if *record == "" {
		return stdout, err
	}
	verb := ""
	for _, pair := range environ {
		if value, found := strings.CutPrefix(pair, "CNI_COMMAND="); found {
			verb = value
		}
	}
	r.count++
	name := filepath.Join(*record, fmt.Sprintf("%d-%s-%s", r.count, verb, filepath.Base(plugin)))
	text := stdout
	var value interface{}
	if err != nil {
		text = []byte(told(err) + "\n")
	} else if json.Unmarshal(stdout, &value) == nil {
		if text, err = json.MarshalIndent(value, "", "  "); err != nil {
			return nil, err
		}
	}
	if failed := os.WriteFile(name, text, 0o600); failed != nil {
		return nil, failed
	}
	return stdout, err
}
