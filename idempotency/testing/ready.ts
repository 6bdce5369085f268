import type { ChildProcess } from 'node:child_process';

/**
 * Resolves when the process prints `text` (in whatever case) to its standard output.
 * @throws when it ends before
 */
export function ready(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    // Not its exit, at which the reason may still be in the pipe.
    child.on('close', (code) =>
      reject(new Error(`ended with ${code} before "${text}":\n${output}`)),
    );
    child.on('error', reject);
    child.stdout?.on('data', (chunk) => {
      if (output.length > 100_000) return;
      output += chunk;
      if (output.toLowerCase().includes(text)) resolve();
    });
  });
}
