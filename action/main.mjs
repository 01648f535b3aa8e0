// Fetches the released octopatch of the version beside this file, compares it with the checksum that stands
// beside this file too, and only then runs it. Whoever pins this action by its commit pins the bytes that run.
// There are no dependencies and there is no build step: what you read is what runs.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { command, environment } from './settings.mjs'

const windows = process.platform === 'win32'
const beside = name => readFileSync(new URL(name, import.meta.url), 'utf8').trim()
const input = name => process.env[`INPUT_${name}`]?.trim() || process.env[`OCTOPATCH_${name}`]?.trim() || ''
const state = process.env.GITHUB_STATE || devNull
const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')

async function released() {
  const system = { linux: 'linux', win32: 'windows', darwin: 'darwin' }[process.platform]
  const machine = { x64: 'amd64', arm64: 'arm64' }[process.arch]
  const asset = `octopatch_${system}_${machine}${windows ? '.exe' : ''}`
  const version = beside('version')
  const wanted = beside('checksums.txt').split('\n').map(line => line.split('  ')).find(([, name]) => name?.trim() === asset)?.[0]
  if (!wanted) throw Error(`octopatch ${version} has no released ${asset}: pin the action to a release, or set the input "binary"`)

  const folder = join(process.env.RUNNER_TOOL_CACHE || process.env.RUNNER_TEMP || tmpdir(), 'octopatch', version)
  const binary = join(folder, asset)
  if (existsSync(binary) && sha256(readFileSync(binary)) === wanted) return binary

  const from = input('DOWNLOAD_URL') || 'https://github.com/octopatch/octopatch/releases/download'
  const url = `${from.replace(/\/+$/, '')}/v${version}/${asset}`
  const bytes = await fetched(url)
  const got = sha256(bytes)
  if (got !== wanted) throw Error(`${url} has the SHA-256 ${got}, and action/checksums.txt says ${wanted}: nothing was executed`)

  mkdirSync(folder, { recursive: true })
  const fresh = `${binary}.${process.pid}` // another job may do the same at this moment
  writeFileSync(fresh, bytes, { mode: 0o755 })
  renameSync(fresh, binary)
  return binary
}

async function fetched(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(300_000) })
    if (!answer.ok) throw Error(`status ${answer.status}`)
    return Buffer.from(await answer.arrayBuffer())
  } catch (error) {
    const why = error.cause ? `${error.message}: ${error.cause.message || error.cause.code}` : error.message
    throw Error(`${url} could not be fetched (${why}): through a proxy, set NODE_USE_ENV_PROXY=1 beside HTTPS_PROXY in the step's env; without internet, set the input "binary"`)
  }
}

function run(binary) {
  appendFileSync(state, `binary=${binary}\n`) // post.mjs asks it where things stand
  const child = spawn(binary, { env: environment(), stdio: ['ignore', 'inherit', 'inherit'] })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGBREAK']) {
    process.on(signal, () => {
      if (windows) return // octopatch is on the same console and has it already; a kill here would be the end of it
      child.kill(signal)
      // The runner kills this process 2.5 s after SIGTERM, and would leave octopatch behind without a parent.
      if (signal === 'SIGTERM') setTimeout(() => child.kill('SIGKILL'), 1500).unref()
    })
  }
  child.on('error', error => {
    appendFileSync(state, 'ended=never\n')
    fail(error)
  })
  child.on('exit', (code, signal) => {
    appendFileSync(state, `ended=${code ?? signal}\n`)
    process.exitCode = code ?? 1
  })
}

function fail(error) {
  command('error', `octopatch: ${error.message}`)
  process.exitCode = 1
}

try {
  run(input('BINARY') || (await released()))
} catch (error) {
  fail(error)
}
