export type { Check, Finding, Verdict } from './checks/check.ts';
export type { Exchange } from './exchange.ts';
export { jsonReport, junitReport, summary, textReport } from './report.ts';
export type { Result } from './run.ts';
export { checks, runChecks } from './run.ts';
export { NotCheckable, type TargetOptions } from './target.ts';
