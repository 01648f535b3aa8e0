package precaution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/octopatch/octopatch/internal/procedure"
)

// Remote is a Windows machine that runs the scripts of a precaution: the node's own host, or the one that its
// virtual machine runs on. The scripts stand with all others, so that what is proved of those holds for them too.
// Errors are Faults; after one that is Transient it is not known what the script did.
type Remote interface {
	// Script runs the script of that name, decodes its one answer and has it checked. Progress, which may be nil,
	// is told each line that the script writes before it.
	Script(ctx context.Context, name string, request any, answer interface{ Check() error }, limit time.Duration, progress func(json.RawMessage)) error
}

// Open is the way to the Windows machine that a precaution of the node's machine is taken on.
type Open func(m procedure.Machine) (Remote, error)
