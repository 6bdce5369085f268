import { hash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify';
import { ApiError } from '../errors.ts';

export type Role = 'reader' | 'writer' | 'admin';

/** Whom an API key speaks for. */
export interface Principal {
  readonly tenant: string;
  readonly role: Role;
  /** The key's name, for audit trails. */
  readonly name: string;
}

export type FindPrincipal = (secretSha256: string) => Promise<Principal | undefined>;

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal;
    /**
     * When the key of the request has to be looked up again, in `performance.now()` milliseconds.
     */
    principalUntil: number;
  }
  interface FastifyContextConfig {
    /** The least role that may call the route; absent: no API key needed. */
    role?: Role;
  }
}

const RANK: Record<Role, number> = { reader: 0, writer: 1, admin: 2 };

/**
 * How long a key is trusted without asking the database again: so long a revoked key still works.
 * An unknown key is asked for every time, so that a new one works at once.
 */
const trustMs = 5_000;
/** Keys remembered; beyond it the memory starts anew. */
const trustedMax = 10_000;

const BEARER = /^Bearer +([\x21-\x7e]{1,512})$/i;

/**
 * Refuses every request to a route with a `role` whose API key does not have it. Add it before the
 * routes.
 */
export function addAuthentication(app: FastifyInstance, findPrincipal: FindPrincipal): void {
  const trusted = new Map<string, Trusted>();
  /** Look-ups on their way: all requests of a key wait for one. */
  const asked = new Map<string, LookUp>();
  app.decorateRequest('principal', null as never);
  app.decorateRequest('principalUntil', 0);
  app.addHook('onRoute', (route) => {
    const role = route.config?.role;
    if (role !== undefined) {
      const hook = authenticate(role);
      route.onRequest = [...[route.onRequest ?? []].flat(), hook];
      // Once more with the body there: it may arrive when the key has long been revoked.
      route.preValidation = [hook, ...[route.preValidation ?? []].flat()];
    }
  });

  function authenticate(role: Role): onRequestHookHandler {
    return (request, _reply, done) => {
      // Before the question: the answer says what was true then, however late it comes.
      const askedAt = performance.now();
      if (request.principalUntil > askedAt) return done();
      const secretSha256 = secretOf(request);
      if (secretSha256 === undefined) return done(unauthenticated());
      const known = trusted.get(secretSha256);
      if (known !== undefined && known.until > askedAt) return done(admit(request, known, role));
      lookUp(secretSha256, askedAt).then(
        (found) => done(found === undefined ? unauthenticated() : admit(request, found, role)),
        (error: Error) => done(error),
      );
    };
  }

  function lookUp(secretSha256: string, askedAt: number): Promise<Trusted | undefined> {
    const known = asked.get(secretSha256);
    // What one finds that was asked long ago may not be so any more.
    if (known !== undefined && known.askedAt + trustMs > askedAt) return known.found;
    trusted.delete(secretSha256);
    const found = find(secretSha256, askedAt).finally(() => {
      if (asked.get(secretSha256)?.found === found) asked.delete(secretSha256);
    });
    asked.set(secretSha256, { askedAt, found });
    return found;
  }

  async function find(secretSha256: string, askedAt: number): Promise<Trusted | undefined> {
    const principal = await findPrincipal(secretSha256);
    if (principal === undefined) return undefined;
    if (trusted.size >= trustedMax) trusted.clear();
    const found = { principal, until: askedAt + trustMs };
    trusted.set(secretSha256, found);
    return found;
  }
}

/** A key that was found, and until when it is not looked up again. */
interface Trusted {
  readonly principal: Principal;
  readonly until: number;
}

interface LookUp {
  readonly askedAt: number;
  readonly found: Promise<Trusted | undefined>;
}

function secretOf(request: FastifyRequest): string | undefined {
  const secret = BEARER.exec(request.headers.authorization ?? '')?.[1];
  return secret === undefined ? undefined : sha256(secret);
}

/** Lower-case hex. Only this is ever stored or looked up. */
export function sha256(secret: string): string {
  return hash('sha256', secret, 'hex');
}

function admit(
  request: FastifyRequest,
  { principal, until }: Trusted,
  role: Role,
): Error | undefined {
  if (RANK[principal.role] < RANK[role]) {
    return new ApiError(
      'forbidden',
      `This needs the role ${role}; the key is a ${principal.role}.`,
    );
  }
  request.principal = principal;
  request.principalUntil = until;
  return undefined;
}

function unauthenticated(): Error {
  return new ApiError('unauthenticated', 'Send Authorization: Bearer with a valid API key.');
}
