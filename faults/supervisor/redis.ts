import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findRedisServer } from '../../inventory/runtime/childRedis.ts';
import type { Target } from '../network/link.ts';
import type { Place } from './place.ts';
import type { Undertaker } from './undertaker.ts';

const readyWaitMs = 20_000;

/** A Redis on a Unix socket, to be killed, paused, emptied and started from an old snapshot. */
export class RedisServer {
  readonly target: { readonly path: string } & Target;
  readonly #folder: string;
  readonly #undertaker: Undertaker;
  #child: ChildProcess | undefined;

  constructor(place: Place, undertaker: Undertaker) {
    this.#undertaker = undertaker;
    this.#folder = path.join(place.folder, 'redis');
    mkdirSync(this.#folder);
    this.target = { path: path.join(this.#folder, 'redis.sock') };
  }

  async start(): Promise<void> {
    const command = findRedisServer();
    if (command === undefined) throw new Error('needs redis-server or valkey-server on PATH');
    const { path: socket } = this.target;
    const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', this.#folder];
    this.#child = spawn(command, args, { cwd: '/', stdio: 'ignore', detached: true });
    this.#undertaker.process(this.#child);
    const deadline = performance.now() + readyWaitMs;
    while (!(await this.call('PING').then(isPong, () => false))) {
      if (performance.now() > deadline) throw new Error('Redis does not start');
      await delay(20);
    }
  }

  /** @param forget also its snapshot, so that the next start is empty */
  async kill(forget: boolean): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    if (forget) rmSync(path.join(this.#folder, 'dump.rdb'), { force: true });
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** One command without arguments, past all links. @returns the raw reply, its first piece */
  async call(command: string): Promise<string> {
    const socket = connect(this.target.path);
    try {
      socket.setTimeout(5_000, () => socket.destroy(new Error('Redis does not answer')));
      socket.write(`*1\r\n$${command.length}\r\n${command}\r\n`);
      const [reply] = await once(socket, 'data');
      return String(reply);
    } finally {
      socket.destroy();
    }
  }
}

function isPong(reply: string): boolean {
  return reply.startsWith('+PONG');
}
