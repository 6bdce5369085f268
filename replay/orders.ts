import { isUtf8 } from 'node:buffer';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isDateTime } from '../inventory/http/dateTime.ts';
import { productCodeLengthMax, productCodeOf } from './productCode.ts';

/** One invoice of the file. */
export interface Order {
  /** Of the file, from 1; the header is line 1. */
  readonly line: number;
  /** A `C` first = a cancellation. */
  readonly invoice: string;
  /** RFC 3339. */
  readonly invoicedAt: string;
  /** The invoice's total; negative for cancellations and write-offs. */
  readonly units: number;
  /** One stock code per invoice line; a code may repeat. */
  readonly stockCodes: readonly string[];
}

/** The file is not what it should be. Its message is one line that names the file's line. */
export class OrdersFileError extends Error {
  override readonly name = 'OrdersFileError';
  readonly line: number;

  constructor(file: string, line: number, fault: string) {
    super(`${file}, line ${line}: ${fault}`);
    this.line = line;
  }
}

const HEADER = 'invoice,invoiced_at,units,stock_codes';

/** The service's own bound on the lines of one command. */
const stockCodesMax = 2_000;

/** Beyond the longest legal line, so that a file without line breaks cannot fill the memory. */
const lineBytesMax = 256 * 1024;

/**
 * Stock codes that contain the space which separates stock codes. The UCI Online Retail data set
 * has this one; without it, each of its 37 invoice lines would be read as two.
 */
const SPACED_CODES = ['BANK CHARGES'];

/**
 * Reads an order history, one invoice at a time, in file order and constant memory.
 *
 * CSV without quoting, gzip or plain (its first bytes tell), UTF-8, LF or CRLF, empty lines at the
 * end allowed; columns `invoice,invoiced_at,units,stock_codes`.
 * @param digest takes the uncompressed bytes that were read
 * @throws OrdersFileError at the first line that is malformed, after all lines before it
 */
export async function* readOrders(file: string, digest?: Hash): AsyncGenerator<Order> {
  let number = 0;
  let emptyLine = 0;
  for await (const line of readLines(file, digest)) {
    number += 1;
    const fail = (fault: string) => new OrdersFileError(file, number, fault);
    if (number === 1) {
      if (line !== HEADER) throw fail(`the header must be ${HEADER}, not ${quote(line)}`);
    } else if (line === '') {
      emptyLine ||= number;
    } else {
      if (emptyLine > 0) throw new OrdersFileError(file, emptyLine, 'is empty');
      yield parseOrder(line, number, fail);
    }
  }
  if (number === 0) throw new OrdersFileError(file, 1, 'the file is empty');
}

type Fail = (fault: string) => OrdersFileError;

function parseOrder(text: string, line: number, fail: Fail): Order {
  const fields = text.split(',');
  const [invoice = '', invoicedAt = '', units = '', codes = ''] = fields;
  if (fields.length !== 4) throw fail(`has ${fields.length} fields instead of 4`);
  if (text.includes('"')) throw fail('quoted fields are not part of this format');
  if (!/^[\x21-\x7e]{1,40}$/.test(invoice)) {
    throw fail(`invoice must be 1 to 40 visible ASCII characters, not ${quote(invoice)}`);
  }
  if (!isDateTime(invoicedAt)) {
    throw fail(`invoiced_at must be an RFC 3339 time from 1900 to 9999, not ${quote(invoicedAt)}`);
  }
  if (!/^-?\d{1,15}$/.test(units)) {
    throw fail(`units must be a whole number of at most 15 digits, not ${quote(units)}`);
  }
  return { line, invoice, invoicedAt, units: Number(units), stockCodes: parseCodes(codes, fail) };
}

function parseCodes(text: string, fail: Fail): string[] {
  const codes = splitCodes(text);
  if (codes.length > stockCodesMax) {
    throw fail(`has ${codes.length} stock codes; at most ${stockCodesMax} are possible`);
  }
  for (const code of codes) {
    if (code === '') throw fail('stock_codes must be separated by one space each, with no other');
    if (/\p{Cc}/u.test(code)) throw fail(`stock code ${quote(code)} has a control character`);
    if (productCodeOf(code).length > productCodeLengthMax) {
      throw fail(`stock code ${quote(code)} is too long for a product code`);
    }
  }
  return codes;
}

function splitCodes(text: string): string[] {
  let joined = text;
  for (const code of SPACED_CODES) {
    if (text.includes(code)) joined = joined.replaceAll(code, code.replace(' ', '\u0000'));
  }
  return joined.split(' ').map((code) => code.replace('\u0000', ' '));
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** Splits into lines without their ends. A line is decoded only when it is whole. */
async function* readLines(file: string, digest: Hash | undefined): AsyncGenerator<string> {
  let line = 0;
  let rest: Buffer = Buffer.alloc(0);
  const fail = (fault: string) => new OrdersFileError(file, line + 1, fault);
  const decode = (bytes: Buffer) => {
    if (!isUtf8(bytes)) throw fail('is not UTF-8');
    line += 1;
    const text = bytes.toString();
    return text.replace(line === 1 ? /^\ufeff/ : '', '').replace(/\r$/, '');
  };
  for await (const chunk of bytesOf(file, fail)) {
    digest?.update(chunk);
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
      yield decode(bytes.subarray(0, end));
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > lineBytesMax) throw fail(`is longer than ${lineBytesMax} bytes`);
    rest = bytes;
  }
  if (rest.length > 0) yield decode(rest);
}

async function* bytesOf(file: string, fail: Fail): AsyncGenerator<Buffer> {
  const isGzip = await startsWithGzip(file);
  const source = createReadStream(file);
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  const stream: Readable = isGzip ? source.pipe(gunzip) : source;
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_')) throw fail(`the gzip data is damaged: ${message}`);
    throw error;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

async function startsWithGzip(file: string): Promise<boolean> {
  for await (const chunk of createReadStream(file, { start: 0, end: 1 })) {
    return (chunk as Buffer).equals(Buffer.from([0x1f, 0x8b]));
  }
  return false;
}
