import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inexactness } from './exactJson.ts';

const faultOf = (text: string) => inexactness(text, JSON.parse(text))?.path;

for (const [text, path] of [
  ['{"a":1,"a":2}', '$.a'],
  ['{"a":1,"\\u0061":2}', '$.a'],
  ['{"a" : 1 , "b":{"c":[{"d":1},{"d":1,"e":"\\"d\\":","d":1}]}}', '$.b.c[1].d'],
  ['[[],{"":1,"":2}]', '$[1][""]'],
  ['{"metadata":{"0":"a","0":"b"}}', '$.metadata["0"]'],
  ['{"quantity":0.99999999999999999}', '$.quantity'],
  ['{"lines":[{"quantity":1},{"quantity":4503599627370497.4}]}', '$.lines[1].quantity'],
  ['[9007199254740993]', '$[0]'],
  ['[-9007199254740991.4]', '$[0]'],
  ['[12345678901234567890]', '$[0]'],
  ['[1e400]', '$[0]'],
  ['[1e-400]', '$[0]'],
  ['-1.00000000000000000001', '$'],
  [`{"a":${'['.repeat(9)}${'{"b":1,"b":1}'}${']'.repeat(9)}}`, `$.a${'[0]'.repeat(9)}`],
] as const) {
  test(`${text} is not what JSON.parse makes of it`, () => assert.equal(faultOf(text), path));
}

for (const text of [
  '{"a":{"b":1},"b":[{"b":"b"},{"b":"\\"b\\":1"}]}',
  '{"a":"{\\"a\\":1,\\"a\\":1}","b":":::\\\\"}',
  '[0.1, 1.0, 100e-2, 1e0, -0, 0.0e99999, 9007199254740991, -9007199254740992, 1e21, 12.50E+2]',
  '[0.30000000000000004, 1e300, 5e-324, 195410278416430600, -1.5E+300, 0.00100e3]',
  `[1${'0'.repeat(400)}e-399]`,
  '[true,false,null,"1.5e3"]',
  'null',
  '"\\u0022:"',
]) {
  test(`${text.slice(0, 80)} is`, () => assert.equal(faultOf(text), undefined));
}

for (const [what, text] of [
  ['a number full of zeros', `0.${'0'.repeat(1_000_000)}1`],
  ['an integer that ends in zeros', `1.${'0'.repeat(1_000_000)}1`],
  ['white space behind a name', `{"a":0.1,"b"${' '.repeat(1_000_000)}:"c"${' '.repeat(1_000)}}`],
  ['a name full of escapes', `{"a":0.1,"${'\\"'.repeat(500_000)}":1}`],
] as const) {
  test(`a body of 1 MiB with ${what} is read at once`, () => {
    const value = JSON.parse(text);
    const from = performance.now();
    inexactness(text, value);
    const tookMs = performance.now() - from;
    assert.ok(tookMs < 1_000, `${tookMs} ms`);
  });
}

test('no JSON that was printed from a value is refused, whatever the names', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent);
      assert.equal(inexactness(text, JSON.parse(text)), undefined, text);
    }),
  );
});

test('a member that is written once more is found, wherever it is', () => {
  const name = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(
      name,
      fc.dictionary(name, fc.jsonValue()),
      fc.jsonValue(),
      (twice, others, value) => {
        const members = Object.entries({ ...others, [twice]: value }).concat([[twice, value]]);
        const written = members.map(
          ([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)}`,
        );
        const text = `[0,{${written.join(',')}}]`;
        assert.equal(inexactness(text, JSON.parse(text))?.detail, 'is there twice', text);
      },
    ),
  );
});
