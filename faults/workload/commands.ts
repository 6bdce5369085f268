import type { Random } from '../random.ts';
import type { Catalogue, Command, Line } from './history.ts';
import type { Profile } from './profile.ts';

/** What a tenant's clients have learnt from answers, to name it in later commands. */
export class Knowledge {
  readonly reservations: string[] = [];
  readonly postings: string[] = [];
  /** Last seen `[onHand, sequence]` of levels, for counts that expect something. */
  readonly levels = new Map<string, { onHand: number; sequence: number }>();

  learn(body: string): void {
    const answer = JSON.parse(body) as Answered;
    const posting = answer.posting ?? answer;
    if (answer.posting !== undefined) remember(this.reservations, answer.id);
    if (posting.id !== undefined) remember(this.postings, posting.id);
    for (const { warehouse, product, onHand, sequence } of posting.movements ?? []) {
      this.levels.set(`${warehouse}|${product}`, { onHand, sequence });
    }
  }
}

interface Answered {
  readonly id: string;
  readonly posting?: Answered;
  readonly movements?: {
    readonly warehouse: string;
    readonly product: string;
    readonly onHand: number;
    readonly sequence: number;
  }[];
}

/** Kept of each: recent ones are likely to be open still. */
const rememberedMax = 40;

function remember(ids: string[], id: string): void {
  if (ids.includes(id)) return;
  ids.push(id);
  if (ids.length > rememberedMax) ids.shift();
}

const nobody = '00000000-0000-7000-8000-000000000000';

/** Draws commands: small quantities, so that stock runs out now and then. */
export class CommandSource {
  readonly #random: Random;
  readonly #profile: Profile;
  readonly #catalogue: Catalogue;
  readonly #types: string[];

  constructor(random: Random, profile: Profile, catalogue: Catalogue) {
    this.#random = random;
    this.#profile = profile;
    this.#catalogue = catalogue;
    this.#types = Object.entries(profile.mix).flatMap(([type, weight]) =>
      Array.from({ length: weight }, () => type),
    );
  }

  type(): string {
    return this.#random.pick(this.#types);
  }

  /** @param foreign another tenant's, whose ids must mean nothing here */
  command(type: string, own: Knowledge, foreign: Knowledge | undefined): Command {
    const random = this.#random;
    const warehouse = random.pick(this.#catalogue.warehouses);
    switch (type) {
      case 'receipt':
        return { type, warehouse, lines: this.#lines(12) };
      case 'shipment':
        return { type, warehouse, lines: this.#lines(9) };
      case 'transfer':
        return this.#transfer(warehouse);
      case 'adjustment':
        return { type, warehouse, lines: this.#adjustments() };
      case 'count':
        return { type, warehouse, lines: this.#counts(warehouse, own) };
      case 'reservation-ship':
      case 'reservation-release':
        return this.#ofReservation(type, this.#id(own.reservations, foreign?.reservations));
      case 'reservation-extend': {
        const reservation = this.#id(own.reservations, foreign?.reservations);
        return { type, reservation, ttlSeconds: random.between(1, 20) };
      }
      case 'reversal':
        return { type, posting: this.#id(own.postings, foreign?.postings) };
      default:
        return this.#reservation(warehouse);
    }
  }

  #lines(quantityMax: number): Line[] {
    const count = this.#random.chance(0.6) ? 1 : this.#random.between(2, 5);
    return Array.from({ length: count }, () => {
      return { product: this.#product(), quantity: this.#random.between(1, quantityMax) };
    });
  }

  #product(): string {
    const { products } = this.#catalogue;
    if (this.#random.chance(0.004)) return 'NOBODY-REGISTERED-THIS';
    if (this.#random.chance(this.#profile.hotShare)) return this.#random.pick(products.slice(0, 2));
    return this.#random.pick(products);
  }

  #transfer(from: string): Command {
    const others = this.#catalogue.warehouses.filter((code) => code !== from);
    return { type: 'transfer', from, to: this.#random.pick(others), lines: this.#lines(6) };
  }

  #adjustments(): { product: string; change: number }[] {
    return this.#lines(8).map(({ product, quantity }) => {
      return { product, change: this.#random.chance(0.5) ? quantity : -quantity };
    });
  }

  #counts(warehouse: string, own: Knowledge) {
    const products = new Set(this.#lines(1).map(({ product }) => product));
    return [...products].map((product) => {
      const line = { product, counted: this.#random.between(0, 60) };
      const seen = own.levels.get(`${warehouse}|${product}`);
      if (seen === undefined || this.#random.chance(0.4)) return line;
      return this.#random.chance(0.5)
        ? { ...line, expectedOnHand: seen.onHand }
        : { ...line, expectedSequence: seen.sequence };
    });
  }

  #reservation(warehouse: string): Command {
    const lines = this.#lines(8);
    if (this.#random.chance(0.3)) return { type: 'reservation', warehouse, lines };
    return { type: 'reservation', warehouse, lines, ttlSeconds: this.#random.between(1, 8) };
  }

  #ofReservation(type: 'reservation-ship' | 'reservation-release', reservation: string): Command {
    if (this.#random.chance(0.6)) return { type, reservation };
    return { type, reservation, lines: [{ product: this.#product(), quantity: 1 }] };
  }

  #id(own: readonly string[], foreign: readonly string[] = []): string {
    if (foreign.length > 0 && this.#random.chance(0.03)) return this.#random.pick(foreign);
    return own.length > 0 ? this.#random.pick(own) : nobody;
  }
}

/** The route and body of a command, as the API documents them. */
export function requestOf(command: Command, reference: string): { path: string; body: Body } {
  const { type } = command;
  switch (type) {
    case 'reservation-ship':
    case 'reservation-release':
    case 'reservation-extend': {
      const { type: _type, reservation, ...body } = command;
      const verb = type.slice('reservation-'.length);
      return { path: `/v1/reservations/${reservation}/${verb}`, body: { ...body, reference } };
    }
    case 'reversal':
      return {
        path: `/v1/postings/${command.posting}/reverse`,
        body: { reason: 'a fault run', reference },
      };
    case 'adjustment': {
      const { type: _type, ...body } = command;
      return { path: '/v1/adjustments', body: { ...body, reason: 'a fault run', reference } };
    }
    default: {
      const { type: _type, ...body } = command;
      return { path: `/v1/${type}s`, body: { ...body, reference } };
    }
  }
}

type Body = Record<string, unknown>;
