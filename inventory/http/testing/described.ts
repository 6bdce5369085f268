import assert from 'node:assert/strict';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Caller, Reply } from './caller.ts';

export interface Operation {
  security?: object[];
  parameters?: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { required: boolean; content: Record<string, { schema: object }> };
  responses: Record<string, Answer>;
}

interface Answer {
  headers?: Record<string, { $ref: string }>;
  content?: Record<string, { schema: object }>;
}

/** Headers that HTTP itself gives to answers, which no description names. */
const ofHttp = ['connection', 'content-length', 'content-type', 'date', 'keep-alive'];

/** What the service says of itself at `/openapi.json`, to hold its answers against. */
export class Description {
  readonly paths: Record<string, Record<string, Operation>>;
  // Numbers stand in headers as text.
  readonly #headers = new Ajv2020({ strict: false, validateFormats: false, coerceTypes: true });
  readonly #bodies = new Ajv2020({ strict: false, validateFormats: false });
  readonly #compiled = new Map<string, ValidateFunction>();
  readonly #problemMembers: readonly string[];

  constructor(document: object) {
    const { paths, components } = document as {
      paths: Description['paths'];
      components: { schemas: { Problem: { properties: object } } };
    };
    this.paths = paths;
    this.#problemMembers = Object.keys(components.schemas.Problem.properties);
    for (const ajv of [this.#headers, this.#bodies]) ajv.addSchema(document, 'api');
  }

  static async of(caller: Caller): Promise<Description> {
    return new Description((await caller.get('/openapi.json')).body);
  }

  /** Every operation with its method in capitals and its path. */
  operations(): [method: string, path: string, operation: Operation][] {
    return Object.entries(this.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]): [string, string, Operation] => [
        method.toUpperCase(),
        path,
        operation,
      ]),
    );
  }

  /** Asserts that a route is said to answer with this status, media type, headers and body. */
  assertDescribes(route: string, reply: Reply): void {
    const [method = '', path = ''] = route.split(' ');
    const at = `${route} ${reply.status} ${reply.text.slice(0, 300)}`;
    const answer = this.paths[path]?.[method.toLowerCase()]?.responses[reply.status];
    assert.ok(answer, `not described: ${at}`);
    this.#assertHeaders(answer, reply, at);
    const type = reply.headers.get('content-type')?.split(';')[0];
    assert.deepEqual(Object.keys(answer.content ?? {}), type === undefined ? [] : [type], at);
    if (type === undefined) return;
    const steps = ['paths', path, method.toLowerCase(), 'responses', `${reply.status}`, 'content'];
    const pointer = [...steps, type, 'schema'].map(escaped).join('/');
    this.#assertBody(`api#/${pointer}`, type, reply, at);
  }

  #assertHeaders(answer: Answer, reply: Reply, at: string): void {
    const named = new Map(
      Object.entries(answer.headers ?? {}).map(([name, reference]) => [
        name.toLowerCase(),
        reference,
      ]),
    );
    for (const [name, value] of reply.headers) {
      if (ofHttp.includes(name)) continue;
      const reference = named.get(name);
      assert.ok(reference, `${name} is not described: ${at}`);
      const schema = { $ref: `api${reference.$ref}/schema` };
      assert.ok(this.#headers.validate(schema, value), `${name}: ${value} ${at}`);
    }
  }

  #assertBody(reference: string, type: string, reply: Reply, at: string): void {
    const isJson = type.endsWith('json');
    const validate = this.#bodyValidator(reference, isJson);
    assert.ok(
      validate(isJson ? reply.body : reply.text),
      `${JSON.stringify(validate.errors)} ${at}`,
    );
    if (type !== 'application/problem+json') return;
    const others = Object.keys(reply.body).filter((name) => !this.#problemMembers.includes(name));
    assert.deepEqual(others, [], at);
  }

  #bodyValidator(reference: string, isJson: boolean): ValidateFunction {
    const known = this.#compiled.get(reference);
    if (known !== undefined) return known;
    // A member that is not described is one that no reader of the description expects.
    const closed = isJson ? { unevaluatedProperties: false } : {};
    const validate = this.#bodies.compile({ $ref: reference, ...closed });
    this.#compiled.set(reference, validate);
    return validate;
  }
}

/** A step of a JSON Pointer in a URI fragment. */
function escaped(step: string): string {
  return encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'));
}
