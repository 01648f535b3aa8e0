// After a run that was cut short: says where things stand, takes back what can be taken back at once, and names
// what goes on with the rest. GitHub ends the job five minutes after it was cancelled, whatever runs then; so each
// look may take 45 s, what is taken back gets what is left, and 250 s are the most for all of it.
import { spawn } from 'node:child_process'
import { command, environment } from './settings.mjs'

const second = 1000 // ms
const look = 45
const end = Date.now() + 240 * second
const { STATE_binary: binary, STATE_ended: ended } = process.env
const env = environment()
const looking = ['plan', 'preflight', 'stage', 'status', 'rehearse', 'settings', 'version', 'help'] // change nothing

// A run that ended by itself has said its last word, and one that never began has none. A signal, a crash (2) and
// Windows' codes for both are no such end.
const cut = binary && !['never', '0', '1', '3', '4', '5', '6'].includes(ended)
if (cut && !looking.includes(env.OCTOPATCH_PHASE)) await after()

// octopatch is interrupted at its limit, for which it takes 5 s, and ended where it does not heed that.
function octopatch(args, more, stdout, seconds) {
  return new Promise(resolve => {
    const child = spawn(binary, args, { env: { ...env, ...more }, stdio: ['ignore', stdout, 'inherit'] })
    let said = ''
    child.stdout?.setEncoding('utf8').on('data', data => (said += data))
    const interrupt = setTimeout(() => child.kill('SIGINT'), seconds * second)
    const kill = setTimeout(() => (child.kill('SIGKILL'), child.stdout?.destroy()), (seconds + 7) * second)
    const done = code => (clearTimeout(interrupt), clearTimeout(kill), resolve({ code, said }))
    child.on('error', () => done(undefined))
    child.on('close', done)
  })
}

async function open() {
  const { code, said } = await octopatch(['status', '--json'], { OCTOPATCH_LOG: 'text' }, 'pipe', look)
  try {
    return code === 0 ? (JSON.parse(said) ?? []) : undefined // what cannot be read is unknown
  } catch {
    return undefined
  }
}

async function after() {
  console.log('octopatch was cut short. Where things stand:')
  let runs = await open()
  // A node whose service was not stopped needs nothing but Octopus to be as it was; exit proves the health of one that was.
  const back = runs?.filter(run => !run.host || run.host.restored) ?? []
  for (const run of back) {
    const seconds = (end - Date.now()) / second - 2 * look - 7
    if (seconds < 10) break // it is named below, as what is open
    await octopatch(['exit'], { OCTOPATCH_NODE: run.node, OCTOPATCH_SOAK: '0s' }, 'inherit', seconds)
  }
  if (!runs || back.length) runs = await open()
  await octopatch(['status'], { OCTOPATCH_LOG: 'text' }, 'inherit', look)
  if (!runs) command('error', 'octopatch: the hosts could not be asked where the run stands; run octopatch status from a machine that reaches them')
  else if (!runs.length) command('notice', 'octopatch: undone: what the cancelled run had changed is put back, and nothing is open')
  else command('warning', `octopatch: resumable: ${runs.map(run => `run ${run.run} is open on ${run.node}`).join(', ')}. Next: run this job again, or continue as octopatch status says`)
}
