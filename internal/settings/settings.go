// Package settings is the environment, typed: one struct with every setting, its default and its meaning, read
// and checked as a whole, so that all faults are reported at once.
package settings

import (
	"time"

	"github.com/octopatch/octopatch/internal/clock"
	"github.com/octopatch/octopatch/internal/secret"
)

// Settings is what octopatch is told. The help texts are printed by `octopatch settings`.
type Settings struct {
	URL     string        `env:"OCTOPUS_URL" group:"Octopus" help:"Address of the Octopus Server as its users know it, such as https://octopus.example.com, without /api. Required."`
	Key     secret.Secret `env:"OCTOPUS_API_KEY" group:"Octopus" help:"API key of an account with the role System Administrator. This or OCTOPUS_ACCESS_TOKEN is required."`
	Token   secret.Secret `env:"OCTOPUS_ACCESS_TOKEN" group:"Octopus" help:"Access token instead of a key. It must outlive the window."`
	Account string        `env:"OCTOPATCH_SERVICE_ACCOUNT_ID" group:"Octopus" help:"On GitHub, instead of a key: id of the Octopus service account that the job's ID token is exchanged for access tokens of, and they are renewed. The job needs the permission id-token: write."`
	CAFile  string        `env:"OCTOPATCH_OCTOPUS_CA_FILE" group:"Octopus" help:"PEM file with the authority that signed the certificate of OCTOPUS_URL."`

	Phase    string            `env:"OCTOPATCH_PHASE" group:"Topology" help:"The command, when no argument is given."`
	Topology string            `env:"OCTOPATCH_TOPOLOGY" envDefault:"auto" oneof:"auto single ha" group:"Topology" help:"Which of the two documented procedures applies. auto: ha with two or more online nodes, single with exactly one record, anything else refuses."`
	Nodes    Nodes             `env:"OCTOPATCH_NODES" group:"Topology" help:"Nodes in patch order: all, or NAME[=host[:port]],... with Octopus' node names; the host is the name when not said. Required."`
	NodeURLs map[string]string `env:"OCTOPATCH_NODE_URLS" group:"Topology" help:"Each node's own address: NAME=https://...,.... Without it the host is asked at its own listen prefix."`
	Node     string            `env:"OCTOPATCH_NODE" group:"Topology" help:"The node on which a phase runs alone."`
	Services []string          `env:"OCTOPATCH_SERVICES" group:"Topology" help:"Windows services of other Octopus Server instances on the hosts that may be stopped undrained. Unset: none."`

	Auth            string        `env:"OCTOPATCH_WINRM_AUTH" envDefault:"ntlm" oneof:"ntlm kerberos basic" group:"WinRM" help:"How to log on to the hosts. kerberos needs an account of the domain and the hosts' full names; basic works for local accounts and over HTTPS only."`
	Username        string        `env:"OCTOPATCH_WINRM_USERNAME" group:"WinRM" help:"A local administrator of every host: DOMAIN\\user, user@domain or user. Required, here or in the credentials file, unless OCTOPATCH_WINRM_KRB5_CCACHE names the account."`
	Password        secret.Secret `env:"OCTOPATCH_WINRM_PASSWORD" group:"WinRM" help:"Its password."`
	CredentialsFile string        `env:"OCTOPATCH_WINRM_CREDENTIALS_FILE" group:"WinRM" help:"JSON file: node name to username and password; overrides the pair above for these nodes."`
	TLS             bool          `env:"OCTOPATCH_WINRM_TLS" envDefault:"true" group:"WinRM" help:"WinRM over HTTPS. With false it is plain HTTP, as hosts in a domain have it from the beginning, and NTLM or Kerberos encrypts and signs every message."`
	Port            int           `env:"OCTOPATCH_WINRM_PORT" min:"1" max:"65535" group:"WinRM" help:"Port of WinRM where OCTOPATCH_NODES names none. Unset: 5986, and 5985 where OCTOPATCH_WINRM_TLS is false."`
	WinRMCAFile     string        `env:"OCTOPATCH_WINRM_CA_FILE" group:"WinRM" help:"PEM file with the authority that signed the hosts' certificates."`
	Fingerprint     string        `env:"OCTOPATCH_WINRM_FINGERPRINT" group:"WinRM" help:"SHA-256 of the host's certificate in hexadecimal, one value for all or NAME=value,...: trusts exactly that one."`
	ServerName      string        `env:"OCTOPATCH_WINRM_SERVER_NAME" group:"WinRM" help:"The name that the host's certificate carries and that Kerberos knows it by, one value for all or NAME=value,.... Unset: the host in OCTOPATCH_NODES."`
	Insecure        bool          `env:"OCTOPATCH_WINRM_INSECURE" envDefault:"false" group:"WinRM" help:"Trust any certificate of the hosts. Every log says so."`

	KRB5Conf   string `env:"OCTOPATCH_WINRM_KRB5_CONF" group:"WinRM" help:"Kerberos: the configuration file. Unset: /etc/krb5.conf."`
	KRB5CCache string `env:"OCTOPATCH_WINRM_KRB5_CCACHE" group:"WinRM" help:"Kerberos: file with tickets, as kinit -c writes it, instead of name and password. Somebody has to renew it."`
	KRB5Keytab string `env:"OCTOPATCH_WINRM_KRB5_KEYTAB" group:"WinRM" help:"Kerberos: file with the keys of OCTOPATCH_WINRM_USERNAME, instead of its password."`

	DrainTimeout   time.Duration `env:"OCTOPATCH_DRAIN_TIMEOUT" envDefault:"60m" min:"1m" max:"168h" group:"Drain" help:"How long the tasks may take to complete. A single server's queue is held after half of it."`
	OnDrainTimeout string        `env:"OCTOPATCH_ON_DRAIN_TIMEOUT" envDefault:"abort" oneof:"abort cancel" group:"Drain" help:"abort puts everything back (exit 5); cancel cancels the tasks that are left."`
	Queued         string        `env:"OCTOPATCH_QUEUED" envDefault:"run" oneof:"run hold" group:"Drain" help:"Single server: run lets what is queued when Maintenance Mode begins still run; hold holds the queue at once."`
	Interruptions  string        `env:"OCTOPATCH_INTERRUPTIONS" envDefault:"fail" oneof:"fail wait ignore cancel" group:"Drain" help:"What to do with executing tasks that wait for a human. fail: put everything back and name them; wait: until OCTOPATCH_DRAIN_TIMEOUT; ignore: stop the service all the same; cancel: cancel them."`
	IgnoreTasks    []string      `env:"OCTOPATCH_IGNORE_TASKS" group:"Drain" help:"Task types, besides Octopus' own system tasks, that need not be awaited."`

	Categories    []string      `env:"OCTOPATCH_CATEGORIES" envDefault:"security,critical,rollups" group:"Updates" help:"Classifications to install: security, critical, rollups, updates, definitions, servicepacks, featurepacks, tools, or a GUID."`
	IncludeKBs    []string      `env:"OCTOPATCH_INCLUDE_KBS" group:"Updates" help:"KB numbers to install whatever their category."`
	ExcludeKBs    []string      `env:"OCTOPATCH_EXCLUDE_KBS" group:"Updates" help:"KB numbers never to install; beats include."`
	Source        string        `env:"OCTOPATCH_UPDATE_SOURCE" envDefault:"default" oneof:"default wsus windows-update microsoft-update" group:"Updates" help:"Where Windows Update searches; default is what the host is configured for."`
	Reboot        string        `env:"OCTOPATCH_REBOOT" envDefault:"if-required" oneof:"if-required always never" group:"Updates" help:"When to reboot. never leaves a pending reboot to you."`
	MaxRounds     int           `env:"OCTOPATCH_MAX_ROUNDS" envDefault:"5" min:"1" max:"20" group:"Updates" help:"Most rounds of search and install per node."`
	MaxReboots    int           `env:"OCTOPATCH_MAX_REBOOTS" envDefault:"5" min:"1" max:"20" group:"Updates" help:"Most reboots per node."`
	RebootTimeout time.Duration `env:"OCTOPATCH_REBOOT_TIMEOUT" envDefault:"90m" min:"1m" max:"24h" group:"Updates" help:"How long a host may take to be back and quiet."`
	StallTimeout  time.Duration `env:"OCTOPATCH_STALL_TIMEOUT" envDefault:"30m" min:"1m" max:"24h" group:"Updates" help:"No sign of progress for that long means stuck."`

	PatchCommand        string        `env:"OCTOPATCH_PATCH_COMMAND" group:"Updates" help:"A command line for the runner's shell that patches a node instead of Windows Update; the node stands in its environment. Reboots, proof and readiness stay octopatch's."`
	PatchCommandTimeout time.Duration `env:"OCTOPATCH_PATCH_COMMAND_TIMEOUT" envDefault:"4h" min:"1s" max:"24h" group:"Updates" help:"How long it may take before it is ended."`

	Precaution        string        `env:"OCTOPATCH_PRECAUTION" oneof:"none vsphere hyperv image restore-point command" group:"Precaution" help:"What is taken after stop so that the system can be recovered. Required: none must be said."`
	PrecautionKeep    time.Duration `env:"OCTOPATCH_PRECAUTION_KEEP" envDefault:"0s" min:"0s" max:"8760h" group:"Precaution" help:"0s removes it once the node is healthy and soaked. Longer leaves it, with the hour at which it expires in its description; later runs name what has expired, and nobody removes it by itself."`
	PrecautionTimeout time.Duration `env:"OCTOPATCH_PRECAUTION_TIMEOUT" envDefault:"30m" min:"1s" max:"24h" group:"Precaution" help:"How long taking it, and reverting to it, may take."`
	PrecautionTake    string        `env:"OCTOPATCH_PRECAUTION_TAKE" group:"Precaution" help:"command: takes it and returns once it is complete. A command line for the runner's shell, with the node and the name in its environment; any exit code but 0 is a failure."`
	PrecautionVerify  string        `env:"OCTOPATCH_PRECAUTION_VERIFY" group:"Precaution" help:"command: exit code 0 when what was taken is there and usable, 1 when it is not there; anything else means that it cannot be told."`
	PrecautionRevert  string        `env:"OCTOPATCH_PRECAUTION_REVERT" group:"Precaution" help:"command: puts the machine back, and powers it on."`
	PrecautionRemove  string        `env:"OCTOPATCH_PRECAUTION_REMOVE" group:"Precaution" help:"command: removes it; exit code 0 also when it is not there."`

	VSphereURL         string            `env:"OCTOPATCH_VSPHERE_URL" group:"Precaution" help:"vsphere: address of vCenter, or of one ESXi host, such as https://vcenter.example.com."`
	VSphereUsername    string            `env:"OCTOPATCH_VSPHERE_USERNAME" group:"Precaution" help:"vsphere: an account that may create, revert to and remove snapshots of the nodes' virtual machines, and power them on."`
	VSpherePassword    secret.Secret     `env:"OCTOPATCH_VSPHERE_PASSWORD" group:"Precaution" help:"vsphere: its password."`
	VSphereCAFile      string            `env:"OCTOPATCH_VSPHERE_CA_FILE" group:"Precaution" help:"vsphere: PEM file with the authority that signed its certificate."`
	VSphereFingerprint string            `env:"OCTOPATCH_VSPHERE_FINGERPRINT" group:"Precaution" help:"vsphere: SHA-256 of its certificate in hexadecimal: trusts exactly that one."`
	VSphereDatacenter  string            `env:"OCTOPATCH_VSPHERE_DATACENTER" group:"Precaution" help:"vsphere: the data centre in which the virtual machines are looked for. Unset: all."`
	VSphereVMs         map[string]string `env:"OCTOPATCH_VSPHERE_VMS" group:"Precaution" help:"vsphere: NODE=virtual machine,... by name or inventory path. Unset: they are called like their nodes."`
	VSphereMemory      bool              `env:"OCTOPATCH_VSPHERE_MEMORY" envDefault:"false" group:"Precaution" help:"vsphere: with the memory, so that a revert goes on in the middle instead of booting. Needs OCTOPATCH_VSPHERE_QUIESCE=false."`
	VSphereQuiesce     bool              `env:"OCTOPATCH_VSPHERE_QUIESCE" envDefault:"true" group:"Precaution" help:"vsphere: let VMware Tools bring the disks to rest first."`

	HyperVHost        Places            `env:"OCTOPATCH_HYPERV_HOST" group:"Precaution" help:"hyperv: the Hyper-V host of the nodes' virtual machines, host[:port] for all or NODE=host[:port],.... It is reached like the nodes are, with the settings of WinRM."`
	HyperVVMs         map[string]string `env:"OCTOPATCH_HYPERV_VMS" group:"Precaution" help:"hyperv: NODE=virtual machine,.... Unset: they are called like their nodes."`
	HyperVUsername    string            `env:"OCTOPATCH_HYPERV_USERNAME" group:"Precaution" help:"hyperv: an account that may manage Hyper-V there. Unset: that of OCTOPATCH_WINRM_USERNAME, or of its Kerberos tickets."`
	HyperVPassword    secret.Secret     `env:"OCTOPATCH_HYPERV_PASSWORD" group:"Precaution" help:"hyperv: its password."`
	HyperVFingerprint string            `env:"OCTOPATCH_HYPERV_FINGERPRINT" group:"Precaution" help:"hyperv: SHA-256 of the Hyper-V host's certificate in hexadecimal, one value for all or NODE=value,...: trusts exactly that one. Unset: OCTOPATCH_WINRM_CA_FILE or the system's authorities sign it."`
	ImageTarget       string            `env:"OCTOPATCH_IMAGE_TARGET" group:"Precaution" help:"image: where the disk images go, \\\\server\\share[\\folder] or a volume of the host such as E:, which is none of those that Windows needs. A share has to let the computer accounts of the hosts write and delete. They take long: raise OCTOPATCH_PRECAUTION_TIMEOUT."`
	HyperVServerName  string            `env:"OCTOPATCH_HYPERV_SERVER_NAME" group:"Precaution" help:"hyperv: the name that its certificate carries and that Kerberos knows it by, one value for all or NODE=value,.... Unset: the host in OCTOPATCH_HYPERV_HOST."`

	HookBefore  map[string]string `env:"OCTOPATCH_HOOK_BEFORE_" family:"phases" group:"Hooks" help:"A command line for the runner's shell, before that phase (OCTOPATCH_HOOK_BEFORE_STOP); the node stands in its environment. Any exit code but 0 forbids the phase."`
	HookAfter   map[string]string `env:"OCTOPATCH_HOOK_AFTER_" family:"phases" group:"Hooks" help:"The same, after that phase, also when it failed. Its exit code changes nothing."`
	HookTimeout time.Duration     `env:"OCTOPATCH_HOOK_TIMEOUT" envDefault:"5m" min:"1s" max:"24h" group:"Hooks" help:"How long a hook may take before it is ended and counts as failed."`

	OnFailure      string        `env:"OCTOPATCH_ON_FAILURE" envDefault:"hold" oneof:"hold recover" group:"Limits" help:"What becomes of a node whose health is not proved after patching: hold leaves it out of service, recover reverts it to the precaution and opens it again."`
	Recover        string        `env:"OCTOPATCH_RECOVER" oneof:"force lose-data" group:"Limits" help:"For octopatch recover. force: although the node is healthy. lose-data: although the revert takes back what Octopus wrote to the machine's own disks since it was started again; and although the node is healthy."`
	Window         Window        `env:"OCTOPATCH_WINDOW" group:"Limits" help:"The window that is announced and kept: 4h, or 2026-12-13T02:00+10:00/4h. A node that cannot finish in it is not begun (exit code 5). Unset: 4h from now are announced, and nothing is enforced."`
	Deadman        time.Duration `env:"OCTOPATCH_DEADMAN" envDefault:"45m" min:"0s" max:"24h" group:"Limits" help:"After that long without a sign of the run a host starts its own Octopus service again, through a scheduled task that is there from stop to start. 0: never. At least 15m, which a run may be silent."`
	MaxFailedNodes int           `env:"OCTOPATCH_MAX_FAILED_NODES" envDefault:"0" min:"0" max:"100" group:"Limits" help:"How many nodes may fail before no further one is begun."`
	Soak           time.Duration `env:"OCTOPATCH_SOAK" envDefault:"2m" min:"0s" max:"24h" group:"Limits" help:"How long a node must stay healthy after it is opened again."`

	Log           string        `env:"OCTOPATCH_LOG" envDefault:"auto" oneof:"auto text json github octopus" group:"Output" help:"How the log is written. auto: github under GitHub Actions, octopus inside an Octopus step, else text (with a live last line on a terminal)."`
	ReportDir     string        `env:"OCTOPATCH_REPORT_DIR" group:"Output" help:"Directory for report.json, report.html and summary.md. Unset: none are written."`
	Notify        secret.Secret `env:"OCTOPATCH_NOTIFY" group:"Output" help:"Addresses of services that get what must not be missed, separated by blanks, as shoutrrr writes them: slack://..., teams://..., smtp://..., generic+https://.... A message that is not sent is a warning."`
	StateDir      string        `env:"OCTOPATCH_STATE_DIR" group:"Output" help:"Directory for the runner's copies of the journals, which tell that a machine was reverted; it must outlive the run. Unset: none are kept."`
	RunID         string        `env:"OCTOPATCH_RUN_ID" group:"Output" help:"Go on with this unfinished run and no other. Unset: with whichever is open."`
	Takeover      string        `env:"OCTOPATCH_TAKEOVER" group:"Output" help:"The unfinished run to go on with although it is somebody else's, or although its journal was rewound and no newer copy was found, as octopatch status shows it: for when it is sure that its owner is dead, and what its machines are in."`
	StepServerURL string        `env:"OCTOPATCH_STEP_SERVER_URL" group:"Output" help:"Inside a step: address of the Octopus Server that runs the step, to prove that it is another one."`

	RehearsalNodes      int         `env:"OCTOPATCH_REHEARSAL_NODES" envDefault:"3" min:"1" max:"16" group:"Rehearsal" help:"Nodes of the simulated cluster; 1 is a single server."`
	RehearsalSpeed      float64     `env:"OCTOPATCH_REHEARSAL_SPEED" envDefault:"0" min:"0" max:"10000" group:"Rehearsal" help:"Simulated seconds in a second; 0 chooses."`
	RehearsalSeed       int         `env:"OCTOPATCH_REHEARSAL_SEED" envDefault:"1" min:"0" max:"2147483647" group:"Rehearsal" help:"The same seed makes the same world."`
	RehearsalFaults     string      `env:"OCTOPATCH_REHEARSAL_FAULTS" group:"Rehearsal" help:"Faults to inject: name[@node],...; octopatch rehearse --faults lists them."`
	RehearsalKeyless    bool        `env:"OCTOPATCH_REHEARSAL_KEYLESS" envDefault:"false" group:"Rehearsal" help:"Log on with ID tokens, as a GitHub job without a key does."`
	RehearsalPowerShell bool        `env:"OCTOPATCH_REHEARSAL_POWERSHELL" envDefault:"false" group:"Rehearsal" help:"Let the PowerShell on PATH execute the scripts."`
	RehearsalWinRM      string      `env:"OCTOPATCH_REHEARSAL_WINRM" envDefault:"ntlm-https" oneof:"ntlm-https ntlm-http kerberos-https kerberos-http basic-https" group:"Rehearsal" help:"How the simulated hosts are reached; over http every message is sealed. Kerberos comes with a ready ticket, for there is no KDC."`
	RehearsalSnapshots  string      `env:"OCTOPATCH_REHEARSAL_SNAPSHOTS" group:"Rehearsal" help:"Address of the snapshots of a rehearsal served by another process, for OCTOPATCH_PRECAUTION=command there."`
	RehearsalClock      clock.Clock `env:"OCTOPATCH_REHEARSAL_CLOCK" group:"Rehearsal" help:"epoch,speed of a rehearsal served by another process; refused unless every target is loopback."`

	// Credentials is the content of CredentialsFile, by node name.
	Credentials map[string]Credential `env:"-"`
}

// Credential is an account on one host.
type Credential struct {
	Username string        `json:"username"`
	Password secret.Secret `json:"password"`
}

// Nodes is OCTOPATCH_NODES: all, or a list in patch order.
type Nodes struct {
	All  bool
	List []Node
}

// Node is one entry of OCTOPATCH_NODES.
type Node struct {
	Name string
	Host string // the name when not said
	Port int    // 0: OCTOPATCH_WINRM_PORT
}

// Window is OCTOPATCH_WINDOW; a zero Start means the run's start.
type Window struct {
	Start  time.Time
	Length time.Duration
}

// Need says which groups of settings a command cannot do without.
type Need int

// What commands need.
const (
	Nothing Need = iota // settings of other groups may be missing, but must not be wrong
	Octopus             // OCTOPUS_URL and a login
	Hosts               // and nodes with a login
	Change              // and what has to be said before anything is changed
)
