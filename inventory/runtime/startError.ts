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

const WORDS: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'a file of that name is in the way',
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'no answer in time',
  EHOSTUNREACH: 'no route to the host',
};

/** Of PostgreSQL (SQLSTATE) or of the system; frameworks have codes too, such as `FST_ERR_…`. */
const DATABASE_CODE = /^(?:[0-9A-Z]{5}|E[A-Z]+)$/;

/**
 * A failure of the database at a start, in one line. Another error is a defect of ours, and keeps
 * its stack.
 */
export function withoutDatabase(error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error instanceof StartError || !DATABASE_CODE.test(code)) return error;
  return new StartError(`the database cannot be used: ${reasonOf(error)}`, { cause: error });
}

/**
 * What an operator needs of an I/O error: its code in words, else its message.
 *
 * A connection that failed on every address of a host comes as one AggregateError without a
 * message.
 */
export function reasonOf(error: unknown): string {
  const { code = '' } = error as NodeJS.ErrnoException;
  const words = WORDS[code];
  if (words !== undefined) return words;
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return (error instanceof Error ? error.message : String(error)) || code || 'no reason given';
}
