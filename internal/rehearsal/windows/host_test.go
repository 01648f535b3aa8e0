package windows

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/rehearsal/fault"
	"github.com/octopatch/octopatch/internal/rehearsal/record"
	"github.com/octopatch/octopatch/internal/rehearsal/wsman"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

const testNonce = "00112233445566778899aabbccddeeff"

const testSecret = "never-on-the-wire"

// newMachine starts a machine on a fast clock; it is closed when the test ends.
func newMachine(t *testing.T, o Options) *Machine {
	t.Helper()
	if o.Clock == (clock.Clock{}) {
		o.Clock = clock.New(time.Now(), 100)
	}
	if o.Name == "" {
		o.Name = "OCTO-01"
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Configuration == nil {
		o.Configuration = func(string) string {
			return `{"Octopus.Server.NodeName": "` + o.Name + `", "Octopus.WebPortal.ListenPrefixes": "http://127.0.0.1:1/",
				"Octopus.Storage.ExternalDatabaseConnectionString": "Data Source=SQL01;Initial Catalog=Octopus;Password=` + testSecret + `"}`
		}
	}
	if o.Drain == nil {
		o.Drain = func(string, bool) {}
	}
	if o.Log == nil {
		o.Log = &record.Log{}
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func faults(t *testing.T, text string) *fault.Set {
	t.Helper()
	set, err := fault.Parse(text, Faults())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// output is what one command left behind.
type output struct {
	exit   int
	err    error
	stdout string
	stderr string
}

// answer is the JSON of the answer line or, failing that, of the error line.
func (o output) answer(t *testing.T) map[string]any {
	t.Helper()
	var last map[string]any
	for line := range strings.SplitSeq(o.stdout, "\n") {
		var one map[string]any
		if json.Unmarshal([]byte(line), &one) == nil && one["nonce"] == testNonce && one["progress"] == nil {
			last = one
		}
	}
	if last == nil {
		t.Fatalf("no answer: exit %d, %v\nstdout: %s\nstderr: %s", o.exit, o.err, o.stdout, o.stderr)
	}
	return last
}

// runScript hands a script to the machine as a client does.
func runScript(ctx context.Context, m *Machine, text string, ask any) output {
	body, err := json.Marshal(ask)
	if err != nil {
		panic(err)
	}
	var in bytes.Buffer
	in.WriteString(testNonce + "\n")
	for _, part := range [][]byte{[]byte(text), body} {
		encoded := base64.StdEncoding.EncodeToString(part)
		for len(encoded) > 0 {
			n := min(1000, len(encoded))
			in.WriteString(encoded[:n] + "\n")
			encoded = encoded[n:]
		}
		in.WriteString(".\n")
	}
	return runLine(ctx, m, scripts.CommandLine, in.String())
}

func runLine(ctx context.Context, m *Machine, line, stdin string) output {
	var stdout, stderr bytes.Buffer
	exit, err := m.Run(ctx, wsman.Command{Line: line, Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr, User: "octopatch"})
	return output{exit, err, stdout.String(), stderr.String()}
}
