import { Type } from 'typebox';

/** The largest quantity: every JSON reader keeps it exactly (RFC 8259, section 6). */
const quantityMax = Number.MAX_SAFE_INTEGER;

// Text that a person wrote: no control characters but tab and line breaks. PostgreSQL takes no NUL,
// and logs and terminals should not be driven by a reference. Nor half of a surrogate pair, which
// UTF-8 cannot carry: it would be stored as another character.
const TEXT_PATTERN = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f\\ud800-\\udfff]*$';

export const Code = Type.String({
  pattern: '^[A-Za-z0-9._:-]{1,64}$',
  description: "The caller's own code: 1–64 of `A–Z a–z 0–9 . _ : -`.",
  examples: ['SKU-1'],
});

export const Quantity = Type.Integer({
  minimum: 1,
  maximum: quantityMax,
  description: 'Whole base units.',
});

const NonNegative = Type.Integer({ minimum: 0, maximum: quantityMax });

const Text = (maxLength: number, description: string) =>
  Type.String({ minLength: 1, maxLength, pattern: TEXT_PATTERN, description });

export const Name = Text(200, 'A name for people.');
export const Reason = Text(500, 'Why, for whoever reads the ledger.');

export const DateTime = Type.String({
  format: 'date-time',
  description: 'RFC 3339 with an offset.',
  examples: ['2026-11-23T10:00:00.000Z'],
});

export const metadataBytesMax = 4096;

// Not Type.Record: it makes of the names a pattern that passes what does not match it, and leaves
// names with a line break out of answers.
const textMap = (options: object) =>
  Type.Unsafe<Record<string, string>>({ type: 'object', ...options });

/** What every command may carry besides its effect. */
const details = {
  reference: Type.Optional(Text(200, 'The caller’s own number for it, such as an order.')),
  note: Type.Optional(Text(2000, 'A remark.')),
  occurredAt: Type.Optional(DateTime),
  metadata: Type.Optional(
    textMap({
      propertyNames: Type.String({ minLength: 1, maxLength: 100, pattern: TEXT_PATTERN }),
      additionalProperties: Type.String({ pattern: TEXT_PATTERN }),
      description: `A flat object of strings, at most ${metadataBytesMax} bytes as JSON.`,
    }),
  ),
};

export const linesMax = 2000;

const linesOf = <T extends Record<string, import('typebox').TSchema>>(line: T) =>
  Type.Array(Type.Object(line, { additionalProperties: false }), {
    minItems: 1,
    maxItems: linesMax,
  });

const quantityLines = linesOf({ product: Code, quantity: Quantity });

const closed = { additionalProperties: false } as const;

const expiry = {
  // An example that can be sent as it is.
  expiresAt: Type.Optional(Type.String({ ...DateTime, examples: ['2099-12-31T23:59:59.000Z'] })),
  ttlSeconds: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 315_360_000, description: 'At most ten years.' }),
  ),
};

export const Receipt = Type.Object(
  {
    warehouse: Code,
    lines: linesOf({
      product: Code,
      quantity: Quantity,
      unitCost: Type.Optional(
        Type.Union(
          [
            Type.String({ pattern: '^\\d{1,13}(\\.\\d{1,6})?$' }),
            Type.Number({ minimum: 0, maximum: 1e12 }),
          ],
          { description: 'Decimal, at most six places; kept as text.' },
        ),
      ),
    }),
    ...details,
  },
  closed,
);

export const Shipment = Type.Object({ warehouse: Code, lines: quantityLines, ...details }, closed);

export const Transfer = Type.Object(
  { from: Code, to: Code, lines: quantityLines, ...details },
  closed,
);

export const Adjustment = Type.Object(
  {
    warehouse: Code,
    reason: Reason,
    lines: linesOf({
      product: Code,
      change: Type.Integer({
        minimum: -quantityMax,
        maximum: quantityMax,
        not: { const: 0 },
        description: 'Whole base units, up or down, not 0.',
      }),
    }),
    ...details,
  },
  closed,
);

export const Count = Type.Object(
  {
    warehouse: Code,
    lines: linesOf({
      product: Code,
      counted: NonNegative,
      expectedOnHand: Type.Optional(Type.Integer({ minimum: -quantityMax, maximum: quantityMax })),
      expectedSequence: Type.Optional(NonNegative),
    }),
    ...details,
  },
  closed,
);

export const Reservation = Type.Object(
  { warehouse: Code, lines: quantityLines, ...expiry, ...details },
  closed,
);

export const ReservationChange = Type.Object(
  { lines: Type.Optional(quantityLines), ...details },
  closed,
);

export const ReservationExtension = Type.Object({ ...expiry, ...details }, closed);

export const Reversal = Type.Object({ reason: Reason, ...details }, closed);

export const CommandQuery = Type.Object(
  {
    dryRun: Type.Optional(
      Type.Boolean({ description: 'Decide and answer, write nothing; needs no key.' }),
    ),
  },
  closed,
);

export const ReservationParams = Type.Object({ reservation: Type.String({ maxLength: 255 }) });
export const PostingParams = Type.Object({ posting: Type.String({ maxLength: 255 }) });

// ---- answers ----------------------------------------------------------------------------------

export const LevelAnswer = Type.Object(
  {
    warehouse: Code,
    product: Code,
    onHand: Type.Integer(),
    reserved: Type.Integer(),
    available: Type.Integer(),
    sequence: Type.Integer(),
  },
  { title: 'Level' },
);

export const MovementAnswer = Type.Object(
  {
    warehouse: Code,
    product: Code,
    sequence: Type.Integer(),
    onHandChange: Type.Integer(),
    reservedChange: Type.Integer(),
    onHand: Type.Integer(),
    reserved: Type.Integer(),
    available: Type.Integer(),
    unitCost: Type.Optional(Type.String()),
  },
  { title: 'Movement' },
);

export const PostingAnswer = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    type: Type.String(),
    reference: Type.Union([Type.String(), Type.Null()]),
    recordedAt: DateTime,
    movements: Type.Array(MovementAnswer),
    note: Type.Optional(Type.String()),
    occurredAt: Type.Optional(DateTime),
    metadata: Type.Optional(textMap({ additionalProperties: Type.String() })),
    reason: Type.Optional(Type.String()),
    reservation: Type.Optional(Type.String()),
    reverses: Type.Optional(Type.String()),
  },
  { title: 'Posting' },
);

export const ReservationAnswer = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    status: Type.Union([Type.Literal('active'), Type.Literal('closed'), Type.Literal('expired')]),
    warehouse: Code,
    reference: Type.Union([Type.String(), Type.Null()]),
    expiresAt: Type.Union([DateTime, Type.Null()]),
    lines: Type.Array(
      Type.Object({
        product: Code,
        quantity: Type.Integer(),
        shipped: Type.Integer(),
        released: Type.Integer(),
      }),
    ),
    posting: PostingAnswer,
  },
  { title: 'Reservation' },
);

export const ProblemAnswer = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String(),
    errors: Type.Optional(
      Type.Array(
        Type.Object({ path: Type.String(), pointer: Type.String(), detail: Type.String() }),
        {
          description: 'Each fault, by its JSONPath (RFC 9535) and its JSON Pointer (RFC 6901).',
        },
      ),
    ),
    lines: Type.Optional(
      Type.Array(
        Type.Object({
          warehouse: Code,
          product: Code,
          requested: Type.Integer(),
          available: Type.Integer(),
        }),
        { description: 'Every line that is short.' },
      ),
    ),
    level: Type.Optional(LevelAnswer),
    levels: Type.Optional(
      Type.Array(LevelAnswer, { description: 'Every level that changed; `level` is the first.' }),
    ),
    warehouse: Type.Optional(Code),
    product: Type.Optional(Code),
    products: Type.Optional(Type.Array(Code)),
    resource: Type.Optional(
      Type.Union([Type.Literal('reservation'), Type.Literal('posting')], {
        description: 'What a command named and is not there; `id` is its id.',
      }),
    ),
    id: Type.Optional(Type.String()),
    reservation: Type.Optional(Type.String()),
    posting: Type.Optional(Type.String()),
    reversal: Type.Optional(Type.String({ description: 'The posting that reversed `posting`.' })),
  },
  {
    title: 'Problem',
    description: 'RFC 9457. Which further members there are depends on `code`.',
    additionalProperties: true,
  },
);

/** A page of a list. */
export const page = <T extends import('typebox').TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    next: Type.Union([Type.String(), Type.Null()]),
  });

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 100.' })),
  cursor: Type.Optional(
    Type.String({ maxLength: 1024, description: '`next` of the page before.' }),
  ),
};
