// An input is one of octopatch's settings by another name: nodes is OCTOPATCH_NODES, server is OCTOPUS_URL. An
// empty input is none, and the variable of the environment stays, if there is one.
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const octopus = { SERVER: 'OCTOPUS_URL', API_KEY: 'OCTOPUS_API_KEY', ACCESS_TOKEN: 'OCTOPUS_ACCESS_TOKEN' }
const shim = ['BINARY', 'DOWNLOAD_URL'] // are for main.mjs and no settings

export function environment() {
  const env = { ...process.env }
  for (const [name, value] of Object.entries(process.env)) {
    if (!name.startsWith('INPUT_')) continue
    delete env[name]
    const input = name.slice('INPUT_'.length)
    if (value.trim() && !shim.includes(input)) env[octopus[input] ?? `OCTOPATCH_${input}`] = value
  }
  for (const name of shim) delete env[`OCTOPATCH_${name}`]
  env.OCTOPATCH_REPORT_DIR ||= join(process.env.RUNNER_TEMP ?? tmpdir(), `octopatch-${process.env.GITHUB_ACTION ?? 'report'}`)
  return env
}

// command writes a workflow command in one line, whatever its text holds.
export function command(name, text) {
  console.log(`::${name}::${text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')}`)
}
