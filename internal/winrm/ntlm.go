package winrm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/bodgit/ntlmssp"
)

// ntlm proves the account with NTLMv2: hello, the host's challenge, proof. One value serves one connection.
type ntlm struct {
	o      Options
	client *ntlmssp.Client
}

// account takes a user name apart. ".\name" means an account of the host itself, which only Windows' own
// dialogs read; "name@domain" goes as it is, for the domain controller knows better what stands behind the @.
func account(username string) (domain, name string) {
	domain, name, ok := strings.Cut(username, `\`)
	switch {
	case !ok:
		return "", username
	case domain == ".":
		return "", name
	}
	return domain, name
}

func newNTLM(o Options) *ntlm { return &ntlm{o: o} }

// schemes: Negotiate is what WinRM offers; bare NTLM is taken where it is all that is offered.
func (n *ntlm) schemes() []string { return []string{"Negotiate", "NTLM"} }

func (n *ntlm) hello() ([]byte, error) {
	domain, name := account(n.o.Username)
	client, err := ntlmssp.NewClient(ntlmssp.SetUserInfo(name, n.o.Password.Reveal()), ntlmssp.SetDomain(domain), ntlmssp.SetVersion(ntlmssp.DefaultVersion()))
	if err != nil {
		return nil, err
	}
	n.client = client
	return client.Authenticate(nil, nil)
}

// Flags of NTLM (MS-NLMP 2.2.2.5) that the host must grant.
const (
	ntlmSign     = 0x00000010
	ntlmSeal     = 0x00000020
	ntlmExtended = 0x00080000 // session security of NTLMv2
	ntlm128      = 0x20000000
	ntlmExchange = 0x40000000 // a key of this session's own
)

// prove answers the challenge. The library signs where the host grants no sealing, and would send the message
// in clear: so what the host grants is looked at before anything is proved.
func (n *ntlm) prove(_ context.Context, _ string, challenge, binding []byte) (token []byte, err error) {
	if len(challenge) < 32 {
		return nil, errors.New("the host's NTLM challenge is too short")
	}
	const all = ntlmSign | ntlmSeal | ntlmExtended | ntlm128 | ntlmExchange
	if granted := binary.LittleEndian.Uint32(challenge[20:]); !n.o.TLS && granted&all != all {
		return nil, fmt.Errorf("%w: the host's NTLM allows no sealing with 128 bits", errSealed)
	}
	var bindings *ntlmssp.ChannelBindings
	if binding != nil {
		bindings = &ntlmssp.ChannelBindings{ApplicationData: binding}
	}
	err = guarded(func() error {
		token, err = n.client.Authenticate(challenge, bindings)
		return err
	})
	return token, err
}

// confirm: NTLM has no last word of the host. That it knows the keys, its first sealed answer shows.
func (n *ntlm) confirm([]byte) (sealer, error) {
	if s := n.client.SecuritySession(); s != nil {
		return (*ntlmSealer)(s), nil
	}
	return nil, fmt.Errorf("%w: NTLM made no keys", errSealed)
}

type ntlmSealer ntlmssp.SecuritySession

func (s *ntlmSealer) seal(message []byte) (header, sealed []byte, err error) {
	sealed, header, err = (*ntlmssp.SecuritySession)(s).Wrap(message)
	return header, sealed, err
}

func (s *ntlmSealer) open(header, sealed []byte) ([]byte, error) {
	const signature = 16
	if len(header) != signature || binary.LittleEndian.Uint32(header) != 1 {
		return nil, errors.New("the signature is none of NTLM")
	}
	return (*ntlmssp.SecuritySession)(s).Unwrap(sealed, header)
}

// guarded calls a library's reader of what the host sent: some of them index without looking first.
func guarded(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be read: %v", r)
		}
	}()
	return read()
}
