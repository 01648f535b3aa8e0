// After a run that was cut short: says where things stand, takes back what can be taken back at once, and names
// what goes on with the rest. GitHub gives all of this five minutes.
import { spawnSync } from 'node:child_process'
import { command, environment } from './settings.mjs'

const { STATE_binary: binary, STATE_ended: ended } = process.env
const env = environment()
const looking = ['plan', 'preflight', 'stage', 'status', 'rehearse', 'settings', 'version', 'help'] // change nothing
const octopatch = (args, more, stdout, seconds) =>
  spawnSync(binary, args, { env: { ...env, ...more }, encoding: 'utf8', stdio: ['ignore', stdout, 'inherit'], timeout: seconds * 1000, killSignal: 'SIGINT' })

// A run that ended by itself has said its last word.
const cut = binary && (ended === undefined || ended === '130' || ended.startsWith('SIG'))
if (cut && !looking.includes(env.OCTOPATCH_PHASE)) after()

function open() {
  const answer = octopatch(['status', '--json'], { OCTOPATCH_LOG: 'text' }, 'pipe', 60)
  return answer.status === 0 ? (JSON.parse(answer.stdout) ?? []) : undefined // what cannot be read is unknown
}

function after() {
  console.log('octopatch was cut short. Where things stand:')
  let runs = open()
  // A node whose service was not stopped needs nothing but Octopus to be as it was.
  for (const run of runs?.filter(run => !run.host || run.host.restored) ?? []) {
    octopatch(['exit'], { OCTOPATCH_NODE: run.node, OCTOPATCH_SOAK: '0s' }, 'inherit', 100)
    runs = undefined
  }
  runs ??= open()
  octopatch(['status'], { OCTOPATCH_LOG: 'text' }, 'inherit', 60)
  if (!runs) command('error', 'octopatch: the hosts could not be asked where the run stands; run octopatch status from a machine that reaches them')
  else if (!runs.length) command('notice', 'octopatch: undone: what the cancelled run had changed is put back, and nothing is open')
  else command('warning', `octopatch: resumable: ${runs.map(run => `run ${run.run} is open on ${run.node}`).join(', ')}. Next: run this job again, or continue as octopatch status says`)
}
