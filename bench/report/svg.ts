/** One bar: its length is the median, its whisker the range. */
export interface Bar {
  readonly label: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Drawn in the colour that stands out. */
  readonly isOurs: boolean;
}

export interface Chart {
  /** Of the file, without `.svg`. */
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly Bar[];
}

const width = 720;
const left = 250;
const right = 110;
const top = 54;
const barHeight = 20;
const barGap = 12;
const plot = width - left - right;

/** Horizontal bars as SVG; legible on white and on black, since pages are read on both. */
export function barChart({ title, unit, bars }: Chart): string {
  const height = top + bars.length * (barHeight + barGap) + 10;
  const longest = Math.max(...bars.map(({ max }) => max));
  const scale = (value: number) => (value / longest) * plot;
  const body = bars.map((bar, at) => drawBar(bar, top + at * (barHeight + barGap), scale));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #555; }
  .title { font-weight: 600; font-size: 15px; }
  .ours { fill: #2f6fde; } .other { fill: #9aa3ad; }
  .range { stroke: #333; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) { text { fill: #bbb; } .range { stroke: #eee; } }
</style>
<text class="title" x="10" y="22">${escapeXml(title)}</text>
<text x="10" y="41">${escapeXml(unit)}; the line is the range over all rounds</text>
${body.join('\n')}
</svg>
`;
}

function drawBar(bar: Bar, y: number, scale: (value: number) => number): string {
  const middle = y + barHeight / 2;
  const length = Math.max(1, scale(bar.median));
  const value = Math.round(bar.median).toLocaleString('en');
  const from = (left + scale(bar.min)).toFixed(1);
  const to = (left + scale(bar.max)).toFixed(1);
  return [
    `<text x="${left - 10}" y="${middle + 4}" text-anchor="end">${escapeXml(bar.label)}</text>`,
    `<rect class="${bar.isOurs ? 'ours' : 'other'}" x="${left}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>`,
    `<line class="range" x1="${from}" x2="${to}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${(left + scale(bar.max) + 8).toFixed(1)}" y="${middle + 4}">${value}</text>`,
  ].join('\n');
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
