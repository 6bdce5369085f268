import type { Exchange } from './exchange.ts';
import type { Result } from './run.ts';

const signs = { pass: 'pass', fail: 'FAIL', 'not-applicable': 'n/a ' } as const;

/** The table for people; what failed is followed by its exchanges. */
export function textReport(results: readonly Result[]): string {
  const width = Math.max(...results.map((result) => result.check.id.length));
  const lines = results.map(
    ({ check, verdict, reason }) => `${signs[verdict]}  ${check.id.padEnd(width)}  ${reason}`,
  );
  for (const { check, verdict, exchanges } of results) {
    if (verdict !== 'fail') continue;
    lines.push('', `${check.id}: ${check.title}`);
    lines.push(`  draft     ${check.draft}`, `  practice  ${check.practice}`);
    for (const exchange of exchanges.slice(0, 4)) lines.push(`  ${line(exchange)}`);
  }
  lines.push('', summary(results));
  return lines.join('\n');
}

export function summary(results: readonly Result[]): string {
  const count = (verdict: string) => results.filter((result) => result.verdict === verdict).length;
  return `${count('pass')} passed, ${count('fail')} failed, ${count('not-applicable')} not applicable`;
}

function line({ sent, received, error, ms }: Exchange): string {
  const keys = sent.headers.filter(([name]) => name.toLowerCase() === 'idempotency-key');
  const key = keys.map(([, value]) => value.slice(0, 40)).join(' and ') || 'no key';
  const answer = received
    ? `${received.status} ${received.body.toString('utf8', 0, 100)}`
    : String(error);
  return `${sent.method} ${sent.url} [${key}] → ${answer} (${ms.toFixed(0)} ms)`;
}

export function jsonReport(url: string, results: readonly Result[]): string {
  return JSON.stringify({ url, results: results.map(plain) }, null, 2);
}

function plain({ check, verdict, reason, exchanges, ms }: Result) {
  const { id, title, draft, practice } = check;
  return { id, title, verdict, reason, draft, practice, ms, exchanges: exchanges.map(shown) };
}

function shown({ sent, received, error, ms }: Exchange) {
  return {
    request: {
      method: sent.method,
      url: sent.url,
      headers: sent.headers.map(([name, value]) => [name, redact(name, value)]),
      body: sent.body.toString(),
    },
    response: received && {
      status: received.status,
      headers: received.headers,
      body: received.body.toString(),
    },
    error,
    ms,
  };
}

/** A report is passed around; credentials stay here. */
function redact(name: string, value: string): string {
  return /authorization|cookie|token|secret|api-key/i.test(name) ? '…' : value;
}

/** JUnit XML, which CI systems read. */
export function junitReport(results: readonly Result[]): string {
  const failures = results.filter((result) => result.verdict === 'fail').length;
  const cases = results.map(({ check, verdict, reason, ms }) => {
    const name = `name="${xml(`${check.id}: ${check.title}`)}" time="${(ms / 1000).toFixed(3)}"`;
    const open = `  <testcase classname="idempotency" ${name}`;
    if (verdict === 'pass') return `${open}/>`;
    const inner =
      verdict === 'fail'
        ? `<failure message="${xml(reason)}"/>`
        : `<skipped message="${xml(reason)}"/>`;
    return `${open}>${inner}</testcase>`;
  });
  const head = `<testsuite name="idempotency" tests="${results.length}" failures="${failures}">`;
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
