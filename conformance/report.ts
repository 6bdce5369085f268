import { start } from './checks/check.ts';
import { type Exchange, withoutCredential } from './exchange.ts';
import { checks, type Result } from './run.ts';

const signs = { pass: 'pass', fail: 'FAIL', 'not-applicable': 'n/a ' } as const;

/** Exchanges that are shown of one failure. The last tell most: a check ends where it failed. */
const shownMax = 6;

/** The table for people; what failed is followed by its exchanges. */
export function textReport(results: readonly Result[]): string {
  return [...results.map(resultLine), ...failures(results), '', summary(results)].join('\n');
}

/** One line of the table, as soon as its check is done. */
export function resultLine({ check, verdict, reason }: Result): string {
  const width = Math.max(...checks.map(({ id }) => id.length));
  return `${signs[verdict]}  ${check.id.padEnd(width)}  ${reason}`;
}

/** What failed, with what the standards say and the exchanges that show it. */
export function failures(results: readonly Result[]): string[] {
  const lines: string[] = [];
  for (const { check, verdict, exchanges } of results) {
    if (verdict !== 'fail') continue;
    lines.push('', `${check.id}: ${check.title}`);
    lines.push(`  draft     ${check.draft}`, `  practice  ${check.practice}`);
    lines.push(...exchangeLines(exchanges).map((line) => `  ${line}`));
  }
  return lines;
}

/** Exchanges that look alike in one line. */
function exchangeLines(exchanges: readonly Exchange[]): string[] {
  const groups = new Map<string, number[]>();
  for (const exchange of exchanges) {
    const text = line(exchange);
    const times = groups.get(text);
    if (times) times.push(exchange.ms);
    else groups.set(text, [exchange.ms]);
  }
  const lines = Array.from(groups, ([text, times]) => {
    const [least, most] = [Math.min(...times).toFixed(0), Math.max(...times).toFixed(0)];
    if (times.length === 1) return `${text} (${least} ms)`;
    return `${text} (${times.length} times, ${least}–${most} ms)`;
  });
  if (lines.length <= shownMax) return lines;
  return [`… and ${lines.length - shownMax} others before these`, ...lines.slice(-shownMax)];
}

export function summary(results: readonly Result[]): string {
  const count = (verdict: string) => results.filter((result) => result.verdict === verdict).length;
  const text = `${count('pass')} passed, ${count('fail')} failed, ${count('not-applicable')} not applicable`;
  const stopped = results.filter((result) => result.stopped);
  if (stopped.length === 0) return text;
  return `${text}\n${stopped.length} could not be done: ${stopped[0]?.reason}`;
}

function line({ sent, received, error }: Exchange): string {
  const keys = sent.headers.filter(([name]) => name.toLowerCase() === 'idempotency-key');
  const key = keys.map(([, value]) => value.slice(0, 40)).join(' and ') || 'no key';
  const answer = received ? `${received.status} ${start(received, 100)}` : String(error);
  return `${sent.method} ${withoutCredential(sent.url)} [${key}] → ${answer}`;
}

export function jsonReport(url: string, results: readonly Result[]): string {
  return JSON.stringify({ url: withoutCredential(url), results: results.map(plain) }, null, 2);
}

function plain({ check, verdict, reason, exchanges, ms }: Result) {
  const { id, title, draft, practice } = check;
  return { id, title, verdict, reason, draft, practice, ms, exchanges: exchanges.map(shown) };
}

function shown({ sent, received, error, ms }: Exchange) {
  return {
    request: {
      method: sent.method,
      url: withoutCredential(sent.url),
      headers: sent.headers.map(([name, value]) => [name, plainNames.test(name) ? value : '…']),
      body: sent.body.toString(),
    },
    response: received && {
      status: received.status,
      headers: {
        ...received.headers,
        ...(received.headers['set-cookie'] && { 'set-cookie': '…' }),
      },
      body: received.body.toString(),
    },
    error,
    ms,
  };
}

/** A report is passed around; any other header that was given may be a credential. */
const plainNames = /^(content-type|(x-)?idempotency-key)$/i;

/** JUnit XML, which CI systems read. */
export function junitReport(results: readonly Result[]): string {
  const failed = results.filter((result) => result.verdict === 'fail').length;
  const cases = results.map(({ check, verdict, reason, exchanges, ms }) => {
    const name = `name="${xml(`${check.id}: ${check.title}`)}" time="${(ms / 1000).toFixed(3)}"`;
    const open = `  <testcase classname="idempotency" ${name}`;
    if (verdict === 'pass') return `${open}/>`;
    const inner =
      verdict === 'fail'
        ? `<failure message="${xml(reason)}">${xml(exchangeLines(exchanges).join('\n'))}</failure>`
        : `<skipped message="${xml(reason)}"/>`;
    return `${open}>${inner}</testcase>`;
  });
  const head = `<testsuite name="idempotency" tests="${results.length}" failures="${failed}">`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...cases, '</testsuite>', ''].join('\n');
}

function xml(text: string): string {
  const printable = text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, '?');
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return printable.replace(/[&<>"]/g, (sign) => entities[sign] as string);
}
