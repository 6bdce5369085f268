/**
 * A reason not to start that the operator can act on.
 *
 * Its message is one line and complete by itself: main prints it without a stack and exits with 1.
 */
export class StartError extends Error {
  override name = 'StartError';

  constructor(message: string, options?: ErrorOptions) {
    super(message.replaceAll(/\s+/g, ' ').trim(), options);
  }
}

/** The part of an I/O error that an operator needs: its code in words, without stack or syscall. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const words: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    ENOSPC: 'the disk is full',
    EROFS: 'the file system is read-only',
    ENOTDIR: 'a part of the path is not a folder',
    EEXIST: 'a file of that name is in the way',
    EDQUOT: 'the disk quota is used up',
  };
  return words[code ?? ''] ?? (error instanceof Error ? error.message : String(error));
}
