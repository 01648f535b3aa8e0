package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/windows"
)

// What can be asked of the snapshots of a world.
const (
	SnapshotTake   = "take"
	SnapshotVerify = "verify"
	SnapshotRevert = "revert"
	SnapshotRemove = "remove"
)

// hypervisor is where the world's machines have their snapshots: an address on loopback that the world's own
// precaution commands ask.
type hypervisor struct {
	http.Server
	address string
}

func (w *World) openHypervisor() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return err
	}
	w.snapshots = &hypervisor{address: "http://" + listener.Addr().String()}
	w.snapshots.Handler = http.HandlerFunc(w.serveSnapshots)
	go w.snapshots.Serve(listener) //nolint:errcheck // it ends when the world does
	return nil
}

// serveSnapshots answers POST /<what>/<node>/<name>: 200 done, 404 no such machine or snapshot.
func (w *World) serveSnapshots(out http.ResponseWriter, in *http.Request) {
	if w.isClosed() {
		panic(http.ErrAbortHandler) // net/http cuts the connection
	}
	part := strings.Split(strings.TrimPrefix(in.URL.Path, "/"), "/")
	if in.Method != http.MethodPost || len(part) != 3 {
		http.Error(out, "POST /what/node/name", http.StatusBadRequest)
		return
	}
	i := slices.IndexFunc(w.hosts, func(h *host) bool { return strings.EqualFold(h.name, part[1]) })
	if i < 0 {
		http.Error(out, "there is no such machine", http.StatusNotFound)
		return
	}
	m, there := w.hosts[i].computer, slices.Contains(w.hosts[i].computer.Points(), part[2])
	fate := record.AsItComes
	if part[0] == SnapshotRevert || (part[0] == SnapshotTake) != there && part[0] != SnapshotVerify {
		fate = w.Log.FateOf(record.Write{Time: w.Clock.Now(), Node: w.hosts[i].name, What: "snapshot " + part[0], Detail: part[2]})
	}
	if fate == record.Unapplied {
		panic(http.ErrAbortHandler)
	}
	var err error
	switch what := part[0]; {
	case what == SnapshotTake && !there:
		err = m.TakePoint(part[2])
	case what == SnapshotVerify && !there:
		err = windows.ErrNoPoint
	case what == SnapshotRevert:
		err = m.RevertTo(part[2])
	case what == SnapshotRemove && there:
		err = m.RemovePoint(part[2])
	}
	switch {
	case fate == record.Lost:
		panic(http.ErrAbortHandler)
	case errors.Is(err, windows.ErrNoPoint):
		http.Error(out, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(out, err.Error(), http.StatusInternalServerError)
	}
}

// ErrNoSnapshot: there is none of that name.
var ErrNoSnapshot = errors.New("there is no such snapshot")

// AskSnapshots asks the snapshots at an address for something; it is what the world's precaution commands do.
func AskSnapshots(ctx context.Context, address, what, node, name string) error {
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/"+url.PathEscape(what)+"/"+url.PathEscape(node)+"/"+url.PathEscape(name), nil)
	if err != nil {
		return err
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		return err
	}
	defer out.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(out.Body, 1000))
	switch out.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return ErrNoSnapshot
	}
	return fmt.Errorf("HTTP %d: %s", out.StatusCode, text)
}

// precautionEnviron is the world's precaution, for whoever asks for OCTOPATCH_PRECAUTION=command or hyperv.
func (w *World) precautionEnviron() []string {
	var env []string
	if w.hyperv != nil {
		env = w.hypervEnviron()
	}
	if w.program == "" {
		return env
	}
	env = append(env, "OCTOPATCH_REHEARSAL_SNAPSHOTS="+w.snapshots.address)
	for _, what := range []string{SnapshotTake, SnapshotVerify, SnapshotRevert, SnapshotRemove} {
		env = append(env, "OCTOPATCH_PRECAUTION_"+strings.ToUpper(what)+`="`+w.program+`" rehearse --snapshot `+what)
	}
	return env
}

// ImageShare is where the world's machines can put disk images; their volume E: is another place.
const ImageShare = windows.BackupShare

// Images lists what lies there of each machine, by node.
func (w *World) Images() map[string][]string {
	all := map[string][]string{}
	for _, h := range w.hosts {
		if list := h.computer.Images(); len(list) > 0 {
			all[h.name] = list
		}
	}
	return all
}

// Snapshots lists the snapshots of the machines, by node.
func (w *World) Snapshots() map[string][]string {
	all := map[string][]string{}
	for _, h := range w.hosts {
		if points := h.computer.Points(); len(points) > 0 {
			all[h.name] = points
		}
	}
	return all
}
