/** Facts about this machine, from systeminformation and /proc. */
import { readFile, statfs } from 'node:fs/promises';
import { networkInterfaces, release } from 'node:os';
import si from 'systeminformation';
import type { MachineFacts } from '../node/kubelet/node-registration.js';

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ppc64: 'ppc64le',
  s390x: 's390x',
};
/** Upstream's hard eviction thresholds: memory.available < 100Mi, nodefs.available < 10%. */
const MIN_MEMORY_BYTES = 100 * 1024 * 1024;
const MIN_DISK_SHARE = 0.1;
const MIN_PID_SHARE = 0.02;

export async function readMachineFacts(dataDir: string): Promise<MachineFacts> {
  // Not si.osInfo(): it asks DNS for this machine's full name, which takes 10 s where no resolver answers.
  const [cpu, memory, system, disk] = await Promise.all([si.cpu(), si.mem(), si.uuid(), statfs(dataDir)]);
  const boot = await readText('/proc/sys/kernel/random/boot_id');
  return {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    bootId: boot,
    machineId: (await readText('/etc/machine-id')) || system.os,
    systemUuid: system.hardware || system.os,
    kernelVersion: release(),
    osImage: osImageOf(await readText('/etc/os-release')),
    cpus: Math.max(1, cpu.cores || 1),
    memoryBytes: memory.total,
    ephemeralStorageBytes: disk.blocks * disk.bsize,
    pressure: () => readPressure(dataDir),
  };
}

/** As the kubelet does: the distribution's pretty name (os-release(5)). */
function osImageOf(osRelease: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? 'Linux';
}

async function readPressure(dataDir: string): Promise<{ memory: boolean; disk: boolean; pids: boolean }> {
  const [memory, disk, loadavg, pidMax] = await Promise.all([
    readText('/proc/meminfo'),
    statfs(dataDir),
    readText('/proc/loadavg'),
    readText('/proc/sys/kernel/pid_max'),
  ]);
  const available = Number(/MemAvailable:\s+(\d+)/.exec(memory)?.[1] ?? Number.POSITIVE_INFINITY) * 1024;
  const tasks = Number(/\/(\d+)/.exec(loadavg)?.[1] ?? 0);
  return {
    memory: available < MIN_MEMORY_BYTES,
    disk: disk.bavail / disk.blocks < MIN_DISK_SHARE && disk.bavail * disk.bsize < 2 ** 31,
    pids: tasks > Number(pidMax || 32_768) * (1 - MIN_PID_SHARE),
  };
}

async function readText(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return '';
  }
}

/** The address of the interface with the default route; else the first that is not loopback; else loopback. */
export async function defaultAddress(): Promise<string> {
  const routes = (await readText('/proc/net/route')).split('\n').map((line) => line.split('\t'));
  const device = routes.find(([, destination]) => destination === '00000000')?.[0];
  const interfaces = Object.entries(networkInterfaces()).filter(([name]) => device === undefined || name === device);
  const addresses = interfaces.flatMap(([, list]) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
}
