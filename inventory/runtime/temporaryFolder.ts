import { accessSync, constants } from 'node:fs';
import os from 'node:os';
import { reasonOf, StartError } from './startError.ts';

/**
 * The system's temporary folder, in which the servers that the service runs have their sockets.
 *
 * A TMPDIR that cannot be used is a mistake to be told: another folder in its place would hide it.
 * @throws StartError when nothing can be made in it
 */
export function temporaryFolder(): string {
  const folder = os.tmpdir();
  try {
    // With the dot a file of that name is refused as well.
    accessSync(`${folder}/.`, constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = isMissing ? 'there is no such folder' : reasonOf(error);
    throw new StartError(`the temporary folder ${folder} (TMPDIR) cannot be used: ${reason}`);
  }
}
