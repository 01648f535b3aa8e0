package winhost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/procedure"
	"github.com/octopatch/octopatch/internal/winhost/scripts"
)

// asked is one command as the fake host received it.
type asked struct {
	script  string
	nonce   string
	request map[string]any
	stdin   string
	limit   time.Duration
	ctx     context.Context
	out     func(string)
}

// say sends a line with the call's nonce; part is answer, error or progress.
func (a asked) say(part, text string) {
	a.out(fmt.Sprintf(`{"nonce":%q,%q:%s}`, a.nonce, part, text))
}

// fakeHost is a host that answers as the test says. What it is not prepared for fails the test.
type fakeHost struct {
	t     *testing.T
	reply func(n int, a asked) error // n counts from 1
	mu    sync.Mutex
	all   []asked
}

func (f *fakeHost) Run(ctx context.Context, line string, stdin []byte, limit time.Duration, stdout func(string)) (int, string, error) {
	if line != scripts.CommandLine {
		f.t.Errorf("the command line is %q", line)
	}
	a := f.parse(string(stdin))
	a.ctx, a.limit, a.out = ctx, limit, stdout
	f.mu.Lock()
	f.all = append(f.all, a)
	n := len(f.all)
	f.mu.Unlock()
	err := f.reply(n, a)
	return 0, "", err
}

// parse reads stdin as scripts.Bootstrap does.
func (f *fakeHost) parse(stdin string) asked {
	lines := strings.Split(strings.TrimSuffix(stdin, "\n"), "\n")
	a := asked{nonce: lines[0], stdin: stdin}
	parts, n := [2]string{}, 0
	for _, line := range lines[1:] {
		if len(line) > 1000 {
			f.t.Errorf("a line of %d characters", len(line))
		}
		if line == "." {
			n++
			continue
		}
		parts[n] += line
	}
	script, err := base64.StdEncoding.DecodeString(parts[0])
	if err != nil || n != 2 {
		f.t.Errorf("stdin with %d parts: %v", n, err)
	}
	for _, name := range scripts.Names() {
		if scripts.Text(name) == string(script) {
			a.script = name
		}
	}
	text, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		f.t.Error(err)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&a.request); err != nil || a.script == "" {
		f.t.Errorf("script %q, request %q: %v", a.script, text, err)
	}
	return a
}

// names lists the scripts that were run, in order.
func (f *fakeHost) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, a := range f.all {
		names = append(names, a.script)
	}
	return names
}

func newFake(t *testing.T, reply func(n int, a asked) error) (*Host, *fakeHost) {
	t.Helper()
	f := &fakeHost{t: t, reply: reply}
	return New("OCTO-01", f, clock.New(time.Now(), 1000)), f
}

func noReply() error {
	return &procedure.Fault{Kind: procedure.ErrNoReply, Subject: "OCTO-01:5986", Problem: "the connection ended", Remedy: "look"}
}

func unreachable() error {
	return &procedure.Fault{Kind: procedure.ErrUnreachable, Subject: "OCTO-01:5986", Problem: "no connection", Remedy: "look"}
}

func denied() error {
	return &procedure.Fault{Kind: procedure.ErrDenied, Subject: "OCTO-01:5986", Problem: "the login was refused", Remedy: "look"}
}

const journalText = `{"format":1,"run":"r1","counter":4,"node":"OCTO-01","owner":"me","topology":"ha","updated":1,"future":{"kept":true},
	"octopus":{"known":true},"host":{"services":[{"name":"OctopusDeploy","state":"Running","start":"Auto","delayed":true,"dependents":[]}],
	"watchdogs":[{"name":"Octopus Watchdog OctopusServer","enabled":true}],"boot":"133000000000000000","build":"20348","ubr":2000,"restored":false}}`

const windowsText = `{"boot":"133000000000000001","bootTime":1790000000,"caption":"Microsoft Windows Server 2022 Standard","build":"20348","ubr":2113}`
