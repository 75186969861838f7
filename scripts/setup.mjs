/**
 * Makes a checkout ready, and does nothing where nothing is missing: npm packages from the lock file, then system packages.
 *
 *     node scripts/setup.mjs npm    npm packages only
 *     node scripts/setup.mjs lab    and what the lab needs
 *     node scripts/setup.mjs lab libvirt ssh tls    and what these need of it, each where it is named
 *     node scripts/setup.mjs test   and what the tests need
 *
 * Runs on any Node from 18 and nothing else: it is what installs everything else. As root on Debian or Ubuntu it installs system
 * packages; elsewhere it names the missing ones and the command, once.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const [level = 'npm', ...extras] = process.argv.slice(2)
if (!['npm', 'lab', 'test'].includes(level)) {
  console.error(`setup: "${level}": expected npm, lab or test`)
  process.exit(2)
}
/** Of the lab: programs, and the Debian package each comes with. */
const ofExtra = {
  libvirt: { libvirtd: 'libvirt-daemon-system' },
  ssh: { ssh: 'openssh-client', sshd: 'openssh-server' },
  tls: { openssl: 'openssl' },
}
const unknown = extras.find(extra => level !== 'lab' || !Object.hasOwn(ofExtra, extra))
if (unknown !== undefined) {
  console.error(`setup: "${unknown}": expected, after lab, any of ${Object.keys(ofExtra).join(', ')}`)
  process.exit(2)
}
process.chdir(root)
installNpm()
if (level !== 'npm') installSystem(level)

function installNpm() {
  const stamp = join(root, 'node_modules', '.lifeboat-lock')
  const hash = createHash('sha256').update(readFileSync('package-lock.json')).update(process.arch).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash && existsSync('node_modules/.bin/node')) return
  console.error('setup: installing npm packages from the lock file …')
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
  if (!existsSync('node_modules/.bin/node')) {
    fail(`npm did not install Node 24 for ${process.platform} ${process.arch}; Lifeboat runs on Linux, x64 or arm64`)
  }
  writeFileSync(stamp, hash)
}

/** All of those, netcat where libvirt's helper is missing, and virsh to compare with. */
function forTests() {
  return { ...Object.assign({}, ...Object.values(ofExtra)), nc: 'netcat-openbsd', virsh: 'libvirt-clients' }
}

function installSystem(level) {
  const programs = {
    'qemu-system-x86_64': 'qemu-system-x86',
    'qemu-img': 'qemu-utils',
    busybox: 'busybox-static',
    cpio: 'cpio',
    ip: 'iproute2',
    tc: 'iproute2',
    ethtool: 'ethtool',
    ping: 'iputils-ping',
    pgrep: 'procps',
    ...(level === 'test' ? forTests() : Object.assign({}, ...extras.map(extra => ofExtra[extra]))),
  }
  const missing = Object.entries(programs)
    .filter(([program]) => !onPath(program))
    .map(([, name]) => name)
  if (!existsSync('/boot') || !readdirSync('/boot').some(name => name.startsWith('vmlinuz-')))
    missing.push('linux-image-cloud-amd64')
  // Without recommended packages a daemon comes without drivers.
  if (missing.includes('libvirt-daemon-system')) missing.push('libvirt-daemon-driver-qemu')
  const packages = [...new Set(missing)]
  if (packages.length === 0) return
  const command = `apt-get install --no-install-recommends ${packages.join(' ')}`
  const isRoot = process.getuid?.() === 0
  if (!isRoot || !onPath('apt-get')) {
    const how = onPath('apt-get')
      ? `sudo ${command}`
      : `their like by your system's package manager (on Debian: ${command})`
    console.error(`setup: these system packages are missing: ${packages.join(' ')}\nsetup: install them: ${how}`)
    // Tests that need them say so and are skipped; the lab cannot do without.
    if (level === 'lab') process.exit(1)
    return
  }
  console.error(`setup: installing system packages: ${packages.join(' ')} …`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages]
  // The package list may be old or empty on a fresh machine.
  run('apt-get', ['update', '-qq'], { env })
  run('apt-get', install, { env })
}

function onPath(program) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  return folders.some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function run(program, args, options = {}) {
  // Standard output belongs to the command that set-up is done for (`npm run demo -- -o json`).
  const result = spawnSync(program, args, { stdio: ['ignore', 2, 2], ...options })
  if (result.error !== undefined) fail(`${program}: ${result.error.message}`)
  if (result.status !== 0) fail(`${program} ${args.slice(0, 2).join(' ')} ended with ${result.status ?? result.signal}`)
}

function fail(message) {
  console.error(`setup: ${message}`)
  process.exit(1)
}
